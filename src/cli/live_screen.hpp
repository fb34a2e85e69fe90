#pragma once

#include "cli/live_view.hpp"

#include <string_view>

namespace trawl::cli {

/// Where the pictures of a run go.
class live_screen {
public:
    virtual ~live_screen() = default;
    /// Size and abilities now.
    virtual live_look look() const = 0;
    /// Puts a picture (draw()'s) in the place of the one before.
    virtual void show(std::string_view picture) = 0;
    /// The last picture; what is written after it comes below.
    virtual void close(std::string_view picture) = 0;
};

} // namespace trawl::cli
