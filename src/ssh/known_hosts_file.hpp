#pragma once

#include "ssh/known_hosts.hpp"

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

namespace trawl::ssh::detail {

/// One known_hosts file and how far it has been read. Its functions block and may run on a pool
/// thread, one at a time.
class known_hosts_file {
public:
    explicit known_hosts_file(std::filesystem::path path) : path_(std::move(path)) {}

    /// The whole file; empty when there is none. Throws error(errc::bad_known_hosts).
    std::string read();

    struct addition {
        std::string others;          ///< what other processes appended since the last read
        std::size_t others_line = 1; ///< the line at which that begins
        bool written = false;        ///< our line is in the file now
        std::size_t line = 0;        ///< where
    };
    /// Appends the line for `key` in one write under flock(2), after it has read what others
    /// appended; when that already names a key for `name`, nothing is written.
    addition append(std::string const& name, host_key const& key);

    std::filesystem::path const& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
    std::uint64_t size_ = 0, inode_ = 0;
    std::size_t lines_ = 0;       // newlines in the first size_ bytes
    bool ends_in_newline_ = true; // those bytes do
};

} // namespace trawl::ssh::detail
