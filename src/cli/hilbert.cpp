#include "cli/hilbert.hpp"

#include <utility>

namespace trawl::cli {

// From the smallest square to the whole: the curve so far is one of four quarters, turned or
// mirrored so that its end meets the next one's beginning.
square hilbert(unsigned order, std::uint64_t distance) noexcept {
    square at;
    for (unsigned level = 0; level < order; ++level, distance /= 4) {
        unsigned const side = 1u << level;
        bool const right = (distance & 2) != 0;
        bool const lower = ((distance & 1) != 0) != right;
        if (!lower) {
            if (right) at = {side - 1 - at.x, side - 1 - at.y};
            std::swap(at.x, at.y);
        }
        if (right) at.x += side;
        if (lower) at.y += side;
    }
    return at;
}

} // namespace trawl::cli
