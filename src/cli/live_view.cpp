#include "cli/live_view.hpp"

#include "cli/live_grid.hpp"
#include "cli/styled_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

namespace trawl::cli {
namespace {

using namespace std::chrono_literals;
using icmp::status;

constexpr std::size_t panel_width = 34, panel_rows = 8; // at least
constexpr std::size_t most_bars = 8;
constexpr colour bar_colour = 40, dim = 245;

std::string short_time(duration d) {
    auto const us = std::chrono::duration<double, std::micro>(d).count();
    if (us < 999.5) return fmt::format("{:.0f}us", us);
    if (us < 9'995) return fmt::format("{:.2f}ms", us / 1e3);
    if (us < 99'950) return fmt::format("{:.1f}ms", us / 1e3);
    if (us < 999'500) return fmt::format("{:.0f}ms", us / 1e3);
    return fmt::format("{:.1f}s", us / 1e6);
}

double seconds(duration d) { return std::chrono::duration<double>(d).count(); }

/// The texts beside or below the grid, line by line.
class panel {
public:
    panel(live_model const& model, live_look const& look, std::size_t width, std::size_t height)
        : model_(model), look_(look), width_(width), height_(height) {}

    std::vector<styled_line> lines(bool aggregated) {
        states();
        legend(aggregated);
        histogram();
        worst();
        return std::move(lines_);
    }

private:
    styled_line& next() { return lines_.emplace_back(width_, look_.colour); }
    bool has_room(std::size_t rows) const { return lines_.size() + rows <= height_; }

    styled_line& mark(styled_line& l, live_mark const& m) {
        char const letter = look_.colour ? ' ' : m.letter;
        return l.text({&letter, 1}, usual, m.shade);
    }

    void state(live_mark const& m, std::string_view name, std::uint64_t count) {
        mark(next(), m).text(fmt::format(" {:<12}{:>10}", name, count));
    }
    void states() {
        state(unprobed_mark, "unprobed", model_.unprobed());
        if (model_.earlier() > 0) state(earlier_mark, "earlier run", model_.earlier());
        state(awaiting_mark, "awaiting", model_.awaiting());
        for (auto s : {status::up, status::down, status::unreachable, status::unknown})
            state(mark_of(s), icmp::to_string(s), model_.count(s));
    }

    void legend(bool aggregated) {
        static constexpr std::string_view limits[] = {" <1ms ", " <10 ", " <100 ", " more"};
        auto& up = next().text("up ");
        for (std::size_t i = 0; i < std::size(limits); ++i) mark(up, up_marks[i]).text(limits[i]);
        if (!aggregated) return;
        auto& share = next().text("some up % ");
        for (std::uint64_t tenths = 1; tenths <= 9; tenths += 2) {
            live_cell cell;
            cell.targets = 10, cell.status[0] = tenths, cell.status[1] = 10 - tenths;
            mark(share, mark_of(cell)).text(fmt::format(" {}0 ", tenths));
        }
    }

    void histogram() {
        auto const& counts = model_.round_trips().counts();
        auto const some = [](std::uint64_t n) { return n > 0; };
        auto const first = std::ranges::find_if(counts, some);
        if (first == counts.end() || !has_room(3)) return;
        auto const last = std::find_if(counts.rbegin(), counts.rend(), some).base();
        auto const from = static_cast<std::size_t>(first - counts.begin());
        auto const to = static_cast<std::size_t>(last - counts.begin());
        auto const bars = std::min(most_bars, height_ - lines_.size() - 2);
        auto const together = (to - from + bars - 1) / bars;
        std::vector<std::uint64_t> sums;
        for (auto i = from; i < to; ++i) {
            if ((i - from) % together == 0) sums.push_back(0);
            sums.back() += counts[i];
        }
        next();
        next().text("round trips", dim);
        auto const most = *std::ranges::max_element(sums);
        for (std::size_t i = 0; i < sums.size(); ++i)
            bar(std::min(from + (i + 1) * together, counts.size()) - 1, sums[i], most);
    }

    void bar(std::size_t which, std::uint64_t count, std::uint64_t most) {
        auto const limit = rtt_histogram::limit(which);
        auto const name = which + 1 == rtt_histogram::classes ? std::string("more")
                          : limit < 1ms                       ? fmt::format("<{}us", limit / 1us)
                          : limit < 1s                        ? fmt::format("<{}ms", limit / 1ms)
                                                              : fmt::format("<{}s", limit / 1s);
        auto const number = fmt::format(" {}", count);
        auto& l = next().text(fmt::format("{:>6} ", name));
        auto const room = static_cast<double>(l.room() - std::min(l.room(), std::size_t{9}));
        auto const length = static_cast<std::size_t>(
            std::ceil(room * static_cast<double>(count) / static_cast<double>(most)));
        for (std::size_t i = 0; i < length; ++i) l.text(look_.unicode ? "█" : "#", bar_colour);
        l.text(number);
    }

    void worst() {
        auto const hosts = model_.worst().ordered();
        if (hosts.empty() || !has_room(3)) return;
        next();
        next().text("worst hosts", dim);
        for (auto const& h : hosts) {
            if (!has_room(1)) return;
            auto& l = next().append(
                styled_line(std::min<std::size_t>(15, width_), look_.colour).text(h.label));
            l.column(15).text(fmt::format(" {:>4.0f}%{:>7} ", h.loss, short_time(h.average)));
            sparkline(l, h.last);
        }
    }

    /// From the shortest to the longest of these round trips; what was lost is a red x.
    void sparkline(styled_line& l, std::vector<std::optional<duration>> const& last) const {
        static constexpr std::array<std::string_view, 8> blocks{"▁", "▂", "▃", "▄",
                                                                "▅", "▆", "▇", "█"};
        static constexpr std::array<std::string_view, 8> letters{"1", "2", "3", "4",
                                                                 "5", "6", "7", "8"};
        auto const shown = std::min(last.size(), l.room());
        std::optional<duration> least, most;
        for (auto i = last.size() - shown; i < last.size(); ++i) {
            if (!last[i]) continue;
            least = std::min(least.value_or(*last[i]), *last[i]);
            most = std::max(most.value_or(*last[i]), *last[i]);
        }
        for (auto i = last.size() - shown; i < last.size(); ++i) {
            if (!last[i]) {
                l.text("x", down_mark.shade);
                continue;
            }
            auto const range = seconds(*most - *least);
            auto const level = range > 0 ? seconds(*last[i] - *least) / range * 7 : 0;
            auto const step = static_cast<std::size_t>(std::lround(level));
            l.text(look_.unicode ? blocks[step] : letters[step], bar_colour);
        }
    }

    live_model const& model_;
    live_look look_;
    std::size_t width_, height_;
    std::vector<styled_line> lines_;
};

std::string headline(live_model const& m) {
    return fmt::format("trawl ping  {}/{} hosts  {:.1f} s  {:.0f} echoes/s  {:.1f} % loss",
                       m.done(), m.targets(), seconds(m.elapsed()), m.rate(), m.loss());
}

/// `grid` with the panel beside or below it.
std::string put_together(live_model const& model, live_look const& look, live_grid const& grid,
                         bool beside) {
    std::size_t const left = grid.empty() || !beside ? 0 : grid.columns() + 2;
    std::size_t const top = beside ? 0 : grid.rows();
    auto const height = look.rows - std::min(look.rows, top + 1);
    auto const texts = panel(model, look, look.columns - left, height).lines(grid.aggregated());
    auto whole = styled_line(look.columns, look.colour).text(headline(model)).line();
    for (std::size_t row = 0; row + 1 < look.rows; ++row) {
        if (row >= grid.rows() && row >= top + texts.size()) break;
        styled_line line(look.columns, look.colour);
        if (row < grid.rows()) grid.draw(row, line);
        if (row >= top && row - top < texts.size() && texts[row - top].width() > 0)
            line.column(left).append(texts[row - top]);
        whole += line.line();
    }
    return whole;
}

} // namespace

std::string draw(live_model const& model, live_look const& look) {
    auto const less = [](std::size_t from, std::size_t by) { return from - std::min(from, by); };
    live_grid const beside(model, look, less(look.columns, panel_width + 2), less(look.rows, 1));
    live_grid const above(model, look, look.columns, less(look.rows, 1 + panel_rows));
    if (above.area() > beside.area()) return put_together(model, look, above, false);
    return put_together(model, look, beside, true);
}

} // namespace trawl::cli
