#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace trawl {

/// Counts durations in buckets of 1/16 of a power of two of nanoseconds (HDR histogram), so that a
/// quantile is at most 1/16 too long. Allocates nothing until the first value and then only the
/// buckets between the shortest and the longest one: the round trips of one host take some 300
/// bytes, anything takes 5 KiB at most.
class histogram {
public:
    void add(std::chrono::nanoseconds length) {
        length = std::max(length, std::chrono::nanoseconds(0));
        ++place(bucket(static_cast<std::uint64_t>(length.count())));
        ++total_;
        most_ = std::max(most_, length);
    }

    void add(histogram const& other) {
        for (std::size_t i = 0; i < other.counts_.size(); ++i)
            if (other.counts_[i] != 0) place(other.first_ + i) += other.counts_[i];
        total_ += other.total_;
        most_ = std::max(most_, other.most_);
    }

    std::uint64_t total() const noexcept { return total_; }
    std::chrono::nanoseconds most() const noexcept { return most_; }

    /// The length that `quantile` (0 to 1) of the values do not exceed; 0 when there are none.
    std::chrono::nanoseconds at(double quantile) const {
        auto left = static_cast<std::uint64_t>(quantile * static_cast<double>(total_));
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            if (counts_[i] > left)
                return std::min(std::chrono::nanoseconds(upper_end(first_ + i)), most_);
            left -= counts_[i];
        }
        return most_;
    }

    static constexpr std::size_t buckets = 16 * 40; // up to 2^43 ns, some 2.4 hours

private:
    static std::size_t bucket(std::uint64_t ns) {
        if (ns < 16) return ns;
        auto const shift = static_cast<unsigned>(std::bit_width(ns)) - 5;
        return std::min<std::size_t>(16 * (shift + 1) + ((ns >> shift) & 15), buckets - 1);
    }
    static std::uint64_t upper_end(std::size_t index) {
        if (index < 16) return index;
        auto const shift = index / 16 - 1;
        return ((16 + index % 16 + 1) << shift) - 1;
    }

    std::uint64_t& place(std::size_t index) {
        if (index - first_ >= counts_.size()) grow(index); // below first_ wraps around
        return counts_[index - first_];
    }
    /// A whole power of two (16 buckets) at a time.
    void grow(std::size_t index) {
        auto const begin = index / 16 * 16;
        if (counts_.empty()) first_ = begin;
        if (begin < first_) {
            counts_.insert(counts_.begin(), first_ - begin, 0);
            first_ = begin;
        } else {
            counts_.resize(std::max(counts_.size(), begin + 16 - first_));
        }
    }

    std::vector<std::uint64_t> counts_; // of bucket first_ and what follows
    std::size_t first_ = 0;
    std::uint64_t total_ = 0;
    std::chrono::nanoseconds most_{};
};

} // namespace trawl
