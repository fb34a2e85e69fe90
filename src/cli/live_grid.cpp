#include "cli/live_grid.hpp"

#include "cli/hilbert.hpp"

#include <algorithm>
#include <cmath>

namespace trawl::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_in_rows = 256;
// From few to nearly all of a cell's hosts up.
constexpr colour share_colours[] = {130, 136, 142, 106, 70};

live_mark up_mark(duration rtt) noexcept {
    return up_marks[rtt < 1ms ? 0 : rtt < 10ms ? 1 : rtt < 100ms ? 2 : 3];
}

live_mark share_mark(std::uint64_t part, std::uint64_t whole) noexcept {
    auto const share = static_cast<double>(part) / static_cast<double>(whole);
    auto const tenths = std::clamp(static_cast<int>(share * 10), 1, 9);
    return {share_colours[(tenths - 1) / 2], static_cast<char>('0' + tenths)};
}

} // namespace

live_mark mark_of(icmp::status s) noexcept {
    switch (s) {
    case icmp::status::up: return up_marks[0];
    case icmp::status::down: return down_mark;
    case icmp::status::unreachable: return unreachable_mark;
    case icmp::status::unknown: break;
    }
    return unknown_mark;
}

live_mark mark_of(live_cell const& cell) noexcept {
    using icmp::status;
    if (cell.targets == 0) return {};
    if (cell.known() == 0)
        return cell.asked > 0 ? awaiting_mark : cell.earlier > 0 ? earlier_mark : unprobed_mark;
    if (cell.up() == cell.known()) return up_mark(cell.rtt);
    if (cell.up() > 0) return share_mark(cell.up(), cell.known());
    for (auto s : {status::unknown, status::unreachable})
        if (cell.status[static_cast<std::size_t>(s)] > 0) return mark_of(s);
    return down_mark;
}

live_grid::live_grid(live_model const& model, live_look const& look, std::size_t columns,
                     std::size_t rows)
    : blocks_(look.colour && look.unicode), coloured_(look.colour) {
    choose(model, columns, rows);
}

void live_grid::choose(live_model const& model, std::size_t columns, std::size_t rows) {
    auto const cells = model.cells();
    if (cells == 0) return;
    if (cells <= most_in_rows) {
        auto const side =
            static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(cells))));
        if (fits(side, (cells + side - 1) / side, columns, rows)) return fill_rows(model);
    }
    unsigned finest = 0;
    while ((std::size_t{1} << 2 * finest) < cells) ++finest;
    for (unsigned order = finest; order > 0; --order) {
        std::size_t const side = std::size_t{1} << order;
        if (fits(side, side, columns, rows)) return fill_curve(model, order, finest);
    }
}

bool live_grid::fits(std::size_t side_x, std::size_t side_y, std::size_t columns,
                     std::size_t rows) {
    auto const try_shape = [&](shape s) {
        across_ = side_x, down_ = side_y, shape_ = s;
        return this->columns() <= columns && this->rows() <= rows;
    };
    // Small pictures are large enough to be seen.
    bool const large = side_x * side_y > most_in_rows;
    if (!(large && blocks_) && try_shape(shape::wide)) return true;
    if (blocks_ && try_shape(shape::half)) return true;
    across_ = down_ = 0;
    return false;
}

void live_grid::fill_rows(live_model const& model) {
    marks_.resize(across_ * down_);
    for (std::size_t i = 0; i < model.cells(); ++i) marks_[i] = mark_of(model.cell(i));
    aggregated_ = model.cell(0).targets > 1;
}

void live_grid::fill_curve(live_model const& model, unsigned order, unsigned finest) {
    marks_.resize(across_ * down_);
    std::size_t const run = std::size_t{1} << 2 * (finest - order);
    aggregated_ = run > 1 || model.cell(0).targets > 1;
    for (std::size_t i = 0, from = 0; from < model.cells(); ++i, from += run) {
        live_cell whole;
        for (std::size_t c = from; c < std::min(from + run, model.cells()); ++c)
            whole += model.cell(c);
        auto const place = hilbert(order, i);
        marks_[place.y * across_ + place.x] = mark_of(whole);
    }
}

live_mark const* live_grid::at(std::size_t x, std::size_t y) const {
    if (y >= down_) return nullptr;
    auto const& m = marks_[y * across_ + x];
    return m.letter == ' ' ? nullptr : &m;
}

void live_grid::draw(std::size_t row, styled_line& into) const {
    for (std::size_t x = 0; x < across_; ++x) {
        if (shape_ == shape::wide) {
            auto const* m = at(x, row);
            char const cell[] = {m && !coloured_ ? m->letter : ' ', ' '};
            into.text({cell, 2}, usual, m ? m->shade : usual);
            continue;
        }
        auto const* upper = at(x, 2 * row);
        auto const* lower = at(x, 2 * row + 1);
        if (upper)
            into.text("▀", upper->shade, lower ? lower->shade : usual);
        else
            into.text(lower ? "▄" : " ", lower ? lower->shade : usual);
    }
}

} // namespace trawl::cli
