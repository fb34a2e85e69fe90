#pragma once

#include "backup/reading.hpp"
#include "backup/repository.hpp"

#include <trawl/backup.hpp>

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

namespace trawl::backup::detail {

/// A file of a backup by its path, without parsing the manifest. Blocks: for pool jobs.
class finding {
public:
    explicit finding(cat_options o) : options_(std::move(o)) {}

    /// The manifest that counts, and the entry in it; follows a hard link to its file. Throws error:
    /// no_such_archive, bad_name, corrupt, or no_such_file_or_directory, is_a_directory and
    /// not_supported by what the path is.
    void find(std::stop_token const& stop);
    /// Hands the content out in pieces, holes as zeros, and checks its hash. Throws error: corrupt.
    void read(std::stop_token const& stop, std::function<void(std::string_view)> const& take);

    std::filesystem::path manifest_file() const { return store_->shown(file_); }
    std::uint64_t bytes() const noexcept { return entry_.size; }

private:
    bool look_in(std::string const& file, std::stop_token const& stop);
    void must_be_file(std::string const& path) const;

    cat_options options_;
    std::string shown_, file_;
    std::shared_ptr<store> store_;
    manifest head_; ///< without entries
    entry entry_;
};

} // namespace trawl::backup::detail
