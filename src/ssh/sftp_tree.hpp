#pragma once

#include "ssh/sftp_local.hpp"
#include "ssh/sftp_transfer.hpp"

#include <trawl/task_group.hpp>

#include <string>
#include <vector>

namespace trawl::sftp::detail {

/// Copies a folder with all that is in it, from wherever to wherever: files many at a time, folders
/// one after the other.
class tree_copy {
public:
    explicit tree_copy(transfer_ptr t) : t_(std::move(t)) {}
    virtual ~tree_copy() = default;

    /// `known`: of `from`.
    awaitable<> run(std::string from, std::string to, attributes known);

protected:
    struct contents {
        std::vector<listed_file> items;
        attributes attrs; ///< of the folder itself
    };
    /// Lists the folder `from` and makes `to`.
    virtual awaitable<contents> enter(std::string from, std::string to, attributes known) = 0;
    virtual awaitable<> copy(std::string from, std::string to, attributes known) = 0;
    /// Gives a folder of the target its mode and times.
    virtual awaitable<> settle(std::string folder, attributes wanted) = 0;

    transfer_ptr t_;

private:
    struct pending_folder {
        std::string from, to;
        attributes known;
    };
    struct made_folder {
        std::string path;
        attributes attrs;
    };
    awaitable<> visit(pending_folder at, task_group& group);
    awaitable<> copy_in_group(std::string from, std::string to, attributes known,
                              limiter::ticket place);

    std::vector<pending_folder> waiting_;
    std::vector<made_folder> made_;
};

/// What is in a folder on the server. A link's file is a file; a link to a folder is `other`: it
/// might lead back up.
awaitable<std::vector<listed_file>> remote_items(link_ptr link, std::string folder);

/// The file or, with `recursive`, folder that is to be copied from a server. `operation` is for the
/// message.
awaitable<attributes> source_of(link_ptr link, std::string path, bool recursive,
                                std::string operation);

} // namespace trawl::sftp::detail
