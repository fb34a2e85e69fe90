#pragma once

#include <trawl/backup.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

/// Backups of the first scripts of this kind: tar.gz archives beside one JSON object of MD5 hashes.
namespace trawl::backup {

/// Of import_md5().
struct import_options {
    std::filesystem::path hashes; ///< {"PATH": "MD5", ...}: the state after the last archive; PATH
                                  ///< absolute, or as in the archives
    std::vector<std::filesystem::path> archives; ///< from old to new
    std::filesystem::path source;      ///< what they are backups of; need not exist any more
    std::filesystem::path destination; ///< of the new archive; created when missing
    std::string name;                  ///< empty: the source's last component
    backup::level level = backup::level::standard; ///< of compression
    bool zstd = false;                             ///< .tar.zst instead of .tar.gz
    observer* watch = nullptr;                     ///< not owned
};

/// What import_md5() has made of it.
struct import_report {
    report made;              ///< the full backup that the old ones have become
    std::uint64_t agreed = 0; ///< files with the MD5 that `hashes` says
    std::uint64_t forgotten =
        0; ///< files of the archives that `hashes` does not name: deleted since
    std::vector<problem> errors; ///< by path: another MD5, or in no archive; left out
};

/// Makes one full backup with MD5 hashes out of old archives, as a base for increments of `source`
/// (options::hash = md5): it is dated as the newest archive. Each file is taken that has the hash
/// that `hashes` names; the next increment stores the others anew. Needs room for the files in
/// `destination` meanwhile.
///
/// Throws error: corrupt (`hashes` is no such object), what extract() and run() throw. Cancelling
/// leaves nothing under a final name.
awaitable<import_report> import_md5(offload_pool& cpu, import_options configuration);

} // namespace trawl::backup
