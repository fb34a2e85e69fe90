#include "backup/holes.hpp"

#include <algorithm>
#include <cerrno>

#include <unistd.h>

namespace trawl::backup::detail {

namespace {
/// A map of that many parts is larger than most holes it describes.
constexpr std::size_t most_extents = 100'000;
} // namespace

std::vector<extent> data_extents(int file, std::uint64_t size) {
    std::vector<extent> const dense{{0, size}};
    std::vector<extent> parts;
    for (std::uint64_t at = 0; at < size;) {
        auto const begin = ::lseek(file, static_cast<off_t>(at), SEEK_DATA);
        if (begin < 0 && errno == ENXIO) return parts; // a hole up to the end
        auto const end = begin < 0 ? begin : ::lseek(file, begin, SEEK_HOLE);
        if (end <= begin || parts.size() == most_extents) return dense;
        // What is beyond the size was appended meanwhile.
        if (static_cast<std::uint64_t>(begin) >= size) break;
        at = std::min(static_cast<std::uint64_t>(end), size);
        parts.push_back(
            {static_cast<std::uint64_t>(begin), at - static_cast<std::uint64_t>(begin)});
    }
    return parts;
}

} // namespace trawl::backup::detail
