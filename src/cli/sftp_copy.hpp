#pragma once

#include <trawl/async.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/sftp.hpp>
#include <trawl/sftp_sync.hpp>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

/// What `trawl sftp` does on one host, as cp(1) names things: into a folder that is there, else
/// under the name that was given.
namespace trawl::cli {

struct sftp_copy {
    sftp::transfer_options how;
    offload_pool* blocking; ///< for looking at local files; not owned
    std::function<void(sftp::transferred const&)> progress{}; ///< sums over all files so far
    std::function<void(sftp::synced const&)> alike{};         ///< what a sync has done
};

/// `remote`: empty for the login's home.
awaitable<> copy_to(sftp::client& host, sftp_copy how, std::vector<std::filesystem::path> local,
                    std::string remote);

/// What `pattern` stands for on the host; throws when that is nothing. `verb` is for the message.
awaitable<std::vector<std::string>> found_files(sftp::client& host, std::string pattern,
                                                std::string verb);

/// `remote`: paths and patterns; one that matches nothing is a failure. `into_folder`: `local` is a
/// folder, made when it is missing.
awaitable<> copy_from(sftp::client& host, sftp_copy how, std::vector<std::string> remote,
                      std::filesystem::path local, bool into_folder);

/// Files of one host, as copy_from() takes them, to another as copy_to() does.
awaitable<> copy_between(sftp::client& from, std::vector<std::string> paths, sftp::client& to,
                         sftp_copy how, std::string remote);

} // namespace trawl::cli
