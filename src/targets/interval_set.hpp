#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace trawl::targets::detail {

/// Wide enough for an IPv6 address.
__extension__ using wide = unsigned __int128;

/// Every number from `first` to `last`, both included, so that the whole of IPv6 is one interval.
struct interval {
    wide first, last;
    friend bool operator==(interval const&, interval const&) = default;
};

/// `last - first + 1`, at most 2^64 - 1.
std::uint64_t saturated_size(interval const& span) noexcept;
/// `a + b`, at most 2^64 - 1.
std::uint64_t saturated_sum(std::uint64_t a, std::uint64_t b) noexcept;

/// A set of numbers as disjoint intervals that do not touch; its memory grows with their number,
/// not with theirs.
class interval_set {
public:
    void add(interval span);
    bool contains(wide number) const;
    /// The parts of `span` that are not in the set, ascending.
    std::vector<interval> gaps(interval span) const;
    /// Every interval, ascending.
    std::vector<interval> all() const;
    bool empty() const noexcept { return by_last_.empty(); }

private:
    std::map<wide, wide>
        by_last_; // last -> first: lower_bound finds the interval at or after a number
};

} // namespace trawl::targets::detail
