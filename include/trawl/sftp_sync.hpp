#pragma once

#include <trawl/sftp.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

/// A folder here and one on a server made alike, by sending what differs.
namespace trawl::sftp {

/// One thing that has to be done in the target.
struct sync_step {
    /// What has to be done.
    enum class kind {
        remove,        ///< a file, link or device
        remove_folder, ///< that is empty by now
        make_folder,   ///< with the mode of the source
        copy,          ///< a file's content, mode and times
        set,           ///< mode and times only
    };
    kind what{};            ///< one of these
    std::string path{};     ///< below the folder; empty for the folder itself
    std::uint64_t size = 0; ///< of what is to be copied
};

/// "copy", "remove_folder".
std::string_view name(sync_step::kind of) noexcept;

/// What sync() has done so far: `files` and `bytes` of those it copied.
struct synced : transferred {
    std::uint64_t unchanged = 0; ///< files of the same size, mode and time of change
    std::uint64_t removed = 0;   ///< files and folders
    std::uint64_t set = 0;       ///< files of which only the mode differed
};

/// How sync() goes about it.
struct sync_options {
    bool remove = false;  ///< also what the source does not have. Without it a folder where a file
                          ///< is to come (or the other way round) is errc::in_the_way
    bool dry_run = false; ///< nothing is changed; steps are told, and the figures are what they
                          ///< would be
    bool fsync = false;   ///< as transfer_options.sync
    std::size_t files_at_once = 64;                ///< 1 or more
    std::function<void(sync_step const&)> step{};  ///< before each; must not block or throw
    std::function<void(synced const&)> progress{}; ///< after each piece; must not block or throw
};

/// Makes the folder `remote` on the server like the local folder `from`: what is missing there or
/// has another size or time of change (in seconds) is copied, each file whole or not at all, with
/// modes (without set-id bits) and times; folders are made. Contents are not compared.
///
/// Links to files are copied as files; links to folders and devices are skipped, and what has their
/// names in the target is left alone. In the target no link is followed but `remote` itself, and
/// nothing outside it is touched. Everything is looked at before the first change, in memory: a
/// tree of more than options.max_entries of the client is errc::limit. The first failure ends it;
/// what was done stays, and doing it again goes on from there. `to` outlives the call.
awaitable<synced> sync(std::filesystem::path from, client& to, std::string remote,
                       sync_options how);

/// The other way: makes the local folder `to` like `remote`.
awaitable<synced> sync(client& from, std::string remote, std::filesystem::path to,
                       sync_options how);

} // namespace trawl::sftp
