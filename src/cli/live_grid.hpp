#pragma once

#include "cli/live_model.hpp"
#include "cli/live_view.hpp"
#include "cli/styled_line.hpp"

#include <string_view>
#include <vector>

namespace trawl::cli {

/// How a state is drawn: a colour, or a letter where there is none.
struct live_mark {
    colour shade = usual;
    char letter = ' ';
    bool operator==(live_mark const&) const = default;
};

constexpr live_mark unprobed_mark{238, '.'}, earlier_mark{67, '='}, awaiting_mark{27, '~'},
    down_mark{160, 'x'}, unreachable_mark{208, '!'}, unknown_mark{133, '?'};
/// Up, with round trips under 1, 10, 100 ms, and longer.
constexpr live_mark up_marks[] = {{46, '+'}, {40, '*'}, {34, '#'}, {28, '@'}};

live_mark mark_of(icmp::status s) noexcept;
/// Several targets: all up, the longest round trip; some up, their share in tenths ('1' to '9');
/// none up, the worst of them (unknown, unreachable, down).
live_mark mark_of(live_cell const& cell) noexcept;

/// The cells of a picture, in lines.
class live_grid {
public:
    /// The largest picture of the model that has room in so many columns and rows; none has: empty.
    live_grid(live_model const&, live_look const&, std::size_t columns, std::size_t rows);

    std::size_t columns() const noexcept { return across_ * (shape_ == shape::wide ? 2 : 1); }
    std::size_t rows() const noexcept { return shape_ == shape::wide ? down_ : (down_ + 1) / 2; }
    bool empty() const noexcept { return across_ == 0; }
    /// Of the one picture or the other.
    std::size_t area() const noexcept { return across_ * down_; }
    /// Whether a cell stands for several targets.
    bool aggregated() const noexcept { return aggregated_; }
    void draw(std::size_t row, styled_line& into) const;

private:
    enum class shape { wide, half }; // a cell is two columns, or half a character

    void choose(live_model const&, std::size_t columns, std::size_t rows);
    bool fits(std::size_t side_x, std::size_t side_y, std::size_t columns, std::size_t rows);
    void fill_rows(live_model const&);
    void fill_curve(live_model const&, unsigned order, unsigned finest);
    live_mark const* at(std::size_t x, std::size_t y) const;

    std::size_t across_ = 0, down_ = 0;
    shape shape_ = shape::wide;
    bool blocks_, coloured_, aggregated_ = false;
    std::vector<live_mark> marks_; // by rows; a blank letter: no target
};

} // namespace trawl::cli
