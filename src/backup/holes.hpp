#pragma once

#include <cstdint>
#include <vector>

namespace trawl::backup::detail {

/// A part of a file that holds data; what lies between two of them is a hole.
struct extent {
    std::uint64_t offset = 0, size = 0;
};

/// The parts of an open regular file that hold data, in order. One part that is all of the file: it
/// has no hole, its file system cannot tell, or there are too many to be worth it. Moves the file's
/// offset.
std::vector<extent> data_extents(int file, std::uint64_t size);

} // namespace trawl::backup::detail
