#include "cli/line_diff.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

namespace trawl::cli {
namespace {

using lines = std::span<std::string_view const>;

constexpr std::size_t most_cells = 250'000;

/// lengths[i][j]: of the longest common subsequence of what follows line i and line j.
class common_lengths {
public:
    common_lengths(lines from, lines to)
        : width_(to.size() + 1), cells_((from.size() + 1) * width_) {
        for (auto i = from.size(); i-- > 0;)
            for (auto j = to.size(); j-- > 0;)
                cells_[i * width_ + j] =
                    from[i] == to[j] ? at(i + 1, j + 1) + 1 : std::max(at(i + 1, j), at(i, j + 1));
    }
    std::uint32_t at(std::size_t i, std::size_t j) const { return cells_[i * width_ + j]; }

private:
    std::size_t width_;
    std::vector<std::uint32_t> cells_;
};

} // namespace

std::optional<std::vector<std::string>> line_diff(std::vector<std::string_view> const& from,
                                                  std::vector<std::string_view> const& to) {
    auto const head = std::ranges::mismatch(from, to);
    lines a(head.in1, from.end()), b(head.in2, to.end());
    while (!a.empty() && !b.empty() && a.back() == b.back())
        a = a.first(a.size() - 1), b = b.first(b.size() - 1);
    if ((a.size() + 1) * (b.size() + 1) > most_cells) return {};
    common_lengths const common(a, b);
    std::vector<std::string> out;
    for (std::size_t i = 0, j = 0; i < a.size() || j < b.size();) {
        if (i < a.size() && j < b.size() && a[i] == b[j])
            ++i, ++j;
        else if (i < a.size() && (j == b.size() || common.at(i + 1, j) >= common.at(i, j + 1)))
            out.push_back("-" + std::string(a[i++]));
        else
            out.push_back("+" + std::string(b[j++]));
    }
    return out;
}

} // namespace trawl::cli
