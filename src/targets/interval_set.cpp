#include "targets/interval_set.hpp"

#include <algorithm>
#include <limits>

namespace trawl::targets::detail {

namespace {
constexpr auto most = std::numeric_limits<std::uint64_t>::max();
}

std::uint64_t saturated_size(interval const& span) noexcept {
    auto const less_one = span.last - span.first;
    return less_one >= most ? most : static_cast<std::uint64_t>(less_one) + 1;
}

std::uint64_t saturated_sum(std::uint64_t a, std::uint64_t b) noexcept {
    return b > most - a ? most : a + b;
}

void interval_set::add(interval span) {
    // The first interval that ends at or after span.first - 1 is the first that may touch it.
    auto at = by_last_.lower_bound(span.first == 0 ? 0 : span.first - 1);
    while (at != by_last_.end() && (at->second <= span.last || at->second - 1 == span.last)) {
        span.first = std::min(span.first, at->second);
        span.last = std::max(span.last, at->first);
        at = by_last_.erase(at);
    }
    by_last_.emplace_hint(at, span.last, span.first);
}

bool interval_set::contains(wide number) const {
    auto const at = by_last_.lower_bound(number);
    return at != by_last_.end() && at->second <= number;
}

std::vector<interval> interval_set::all() const {
    std::vector<interval> spans;
    for (auto const& [last, first] : by_last_) spans.push_back({first, last});
    return spans;
}

std::vector<interval> interval_set::gaps(interval span) const {
    std::vector<interval> open;
    for (auto at = by_last_.lower_bound(span.first); at != by_last_.end(); ++at) {
        auto const [last, first] = *at;
        if (first > span.last) break;
        if (first > span.first) open.push_back({span.first, first - 1});
        if (last >= span.last) return open;
        span.first = last + 1;
    }
    open.push_back(span);
    return open;
}

} // namespace trawl::targets::detail
