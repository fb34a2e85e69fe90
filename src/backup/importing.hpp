#pragma once

#include "backup/files.hpp"
#include "backup/hash.hpp"

#include <trawl/backup_import.hpp>

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

namespace trawl::backup::detail {

/// {"PATH": "MD5"}; keys as they are. nullopt: it is something else, and `complaint` says what.
std::optional<std::map<std::string, digest>> parse_md5_list(std::string_view json,
                                                            std::string& complaint);

/// A path of an old backup, relative to the source: what stands before that is left out, whether it
/// is the source's whole path (with or without its first slash) or its last component. Empty: the
/// path lies elsewhere.
std::string path_in_source(std::string_view path, std::string_view source);

/// What an import does besides extracting and making: blocking steps for the pool, one at a time.
class importing {
public:
    explicit importing(import_options const& o) : options_(o) {}
    ~importing(); ///< removes the folder of extracted files

    /// Reads the hashes, makes the folder. Throws error.
    void prepare();
    /// Removes from the extracted files what the hashes do not name or name otherwise.
    void sift(std::stop_token const& stop, import_report& into);

    std::filesystem::path const& folder() const noexcept { return folder_; } ///< to extract into
    std::filesystem::path tree() const; ///< in it, what corresponds to the source
    std::chrono::system_clock::time_point when() const noexcept { return when_; }

private:
    import_options const& options_;
    std::map<std::string, digest> hashes_; ///< by path in the source
    std::filesystem::path folder_;
    std::chrono::system_clock::time_point when_;
    descriptor root_;
};

} // namespace trawl::backup::detail
