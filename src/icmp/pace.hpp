#pragma once

#include <trawl/async.hpp>

#include <cstdint>

namespace trawl::icmp::detail {

/// When the next echo of a lane may go out: evenly spaced, at most 1 ms of the rate (or one) at
/// once. What a late wake-up cost is made up for at 5/4 of the rate, up to 100 ms of it, so that
/// the rate holds on a busy machine.
///
/// Slows down when this machine loses answers: to half of what went out before, and from there up
/// again by a tenth every 100 ms.
class send_pace {
public:
    /// 0: no limit.
    explicit send_pace(double per_second) noexcept;

    bool allows(time_point now) const noexcept { return now >= next(); }
    void took(time_point now) noexcept;
    time_point next() const noexcept { return due_ > spaced_ ? due_ : spaced_; }

    void slow_down(time_point now) noexcept;

private:
    void recover(time_point now) noexcept;

    duration wanted_{};   // between two echoes
    duration interval_{}; // wanted_, or longer while slowed down
    time_point due_{};    // by the rate
    time_point spaced_{}; // by the limit on bursts
    time_point counted_since_{}, changed_{};
    std::uint32_t counted_ = 0;
    duration lately_{}; // the mean interval of the last 100 ms
};

} // namespace trawl::icmp::detail
