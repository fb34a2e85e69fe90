#pragma once

#include <cstdint>

namespace trawl::cli {

struct square {
    unsigned x = 0, y = 0;
    bool operator==(square const&) const = default;
};

/// Where the Hilbert curve through 2^order times 2^order squares is after `distance` < 4^order
/// steps; order is 0 to 16. It begins at 0, 0. The squares of every aligned run of 4^k steps form a
/// square themselves, so that a network is one.
square hilbert(unsigned order, std::uint64_t distance) noexcept;

} // namespace trawl::cli
