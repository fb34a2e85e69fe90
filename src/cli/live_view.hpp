#pragma once

#include "cli/live_model.hpp"

#include <cstddef>
#include <string>

namespace trawl::cli {

/// What a picture is drawn on.
struct live_look {
    std::size_t columns = 80, rows = 24;
    bool colour = true;  ///< 256 of them; without, each state has a letter of its own
    bool unicode = true; ///< block elements: two cells a character, where there is colour
};

/// The picture of a run: a cell for each target, as a grid for up to 256 and along a Hilbert curve
/// beyond, coarser where there is no room; beside it or below the hosts by state, the round trips
/// and the worst hosts.
///
/// At most `rows` lines of at most `columns` characters, each ended by a newline; colours are reset
/// within the line.
std::string draw(live_model const&, live_look const&);

} // namespace trawl::cli
