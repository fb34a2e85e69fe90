#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace trawl::cli {

/// One of the terminal's 256 colours.
using colour = int;
constexpr colour usual = -1;

/// A line for the terminal, cut off at its right margin. Colour sequences take no room, and are
/// written where the colour changes only.
class styled_line {
public:
    /// `coloured` false: colours are not heeded.
    styled_line(std::size_t width, bool coloured) : room_(width), coloured_(coloured) {}

    /// Every code point of `text`, which is valid UTF-8 without controls, is one column.
    styled_line& text(std::string_view text, colour front = usual, colour back = usual);
    /// Blanks up to that column.
    styled_line& column(std::size_t which);
    /// What another line holds, for which there is room.
    styled_line& append(styled_line const& other);

    std::size_t room() const noexcept { return room_; }
    std::size_t width() const noexcept { return width_; }
    /// The bytes, with a newline.
    std::string line() const;

private:
    void style(colour front, colour back);

    std::string bytes_;
    std::size_t width_ = 0, room_;
    bool coloured_;
    colour front_ = usual, back_ = usual;
};

} // namespace trawl::cli
