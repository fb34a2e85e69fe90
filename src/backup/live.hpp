#pragma once

#include "backup/files.hpp"
#include "backup/hash.hpp"

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>

namespace trawl::backup::detail {

/// Hashes files of a live tree as a backup would store them. One thread at a time.
class live_hasher {
public:
    explicit live_hasher(hash algorithm) : hash_(algorithm) {}

    /// An open regular file. `sparse`: as GNU's format has it, map and data. nullopt with errno set
    /// when it cannot be read.
    std::optional<digest> of(int file, entry const& facts, bool sparse,
                             std::stop_token const& stop);
    std::uint64_t bytes() const noexcept { return bytes_; }

private:
    hasher hash_;
    std::string buffer_;
    std::uint64_t bytes_ = 0;
};

} // namespace trawl::backup::detail
