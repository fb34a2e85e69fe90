#pragma once

#include "ssh/sftp_file.hpp"

#include <trawl/limiter.hpp>
#include <trawl/mutex.hpp>

#include <filesystem>
#include <memory>
#include <vector>

namespace trawl::sftp::detail {

/// What all files of one put or get share.
struct transfer {
    transfer(link_ptr over, transfer_options options)
        : link(std::move(over)), how(std::move(options)),
          files(std::max<std::size_t>(how.files_at_once, 1)) {}

    void moved(std::size_t bytes) { done.bytes += bytes, tell(); }
    void finished() { ++done.files, tell(); }
    void skip() { ++done.skipped, tell(); }

    link_ptr link;
    transfer_options how;
    limiter files;
    transferred done;
    duration round_trip{};      ///< to the server, when the transfer began
    std::vector<link_ptr> more; ///< further channels, for large files from afar
    mutex opening_more;

private:
    void tell() const {
        if (how.progress) how.progress(done);
    }
};

using transfer_ptr = std::shared_ptr<transfer>;

// One file, whole or not at all; `local` and `remote` are the names of the file itself. The file of
// get_file is of the kind and size that `known` has.
awaitable<> put_file(transfer_ptr t, std::filesystem::path local, std::string remote);
awaitable<> get_file(transfer_ptr t, std::string remote, std::filesystem::path local,
                     attributes known);

awaitable<transferred> put(link_ptr link, std::filesystem::path local, std::string remote,
                           transfer_options how);
awaitable<transferred> get(link_ptr link, std::string remote, std::filesystem::path local,
                           transfer_options how);

/// The way into a client and out of it.
struct client_access {
    static awaitable<client> start(std::unique_ptr<ssh::detail::byte_stream> stream, options how);
    static link_ptr link(client const& of) { return of.link_; }
};

/// A client over a stream that is open already.
awaitable<client> start_client(std::unique_ptr<ssh::detail::byte_stream> stream, options how);

} // namespace trawl::sftp::detail
