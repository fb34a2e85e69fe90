#include "icmp/pace.hpp"

#include <algorithm>
#include <cmath>

namespace trawl::icmp::detail {
namespace {

constexpr duration period = std::chrono::milliseconds(100);

} // namespace

send_pace::send_pace(double per_second) noexcept {
    if (per_second > 0)
        wanted_ = duration(std::max<duration::rep>(1, std::llround(1e9 / per_second)));
    interval_ = wanted_;
}

void send_pace::took(time_point now) noexcept {
    if (counted_++ == 0 && lately_ == duration::zero()) counted_since_ = now;
    if (now - counted_since_ >= period) {
        lately_ = (now - counted_since_) / counted_;
        counted_since_ = now;
        counted_ = 0;
    }
    if (interval_ == duration::zero()) return;
    if (interval_ > wanted_) recover(now);
    // 0.8 ms of 5/4 of the rate are 1 ms of it.
    bool const idle = now - due_ > period; // there was nothing to send, which is not made up for
    due_ = (idle ? now : due_) + interval_;
    spaced_ = std::max(spaced_, now - duration(std::chrono::microseconds(800))) + interval_ * 4 / 5;
}

void send_pace::slow_down(time_point now) noexcept {
    if (now - changed_ < period) return; // for what the last slowing down could not prevent yet
    changed_ = now;
    auto const so_far = counted_ > 0 ? (now - counted_since_) / counted_ : duration{};
    auto const current =
        std::max({interval_, lately_ > duration{} ? lately_ : so_far, duration(1)});
    interval_ = std::min(current * 2, std::max(wanted_, duration(period)));
    due_ = spaced_ = now;
}

void send_pace::recover(time_point now) noexcept {
    if (now - changed_ < period) return;
    changed_ = now;
    interval_ = std::max(wanted_, interval_ * 10 / 11);
    // Without a limit of its own the lane is free again when it is four times as fast as it was.
    if (wanted_ == duration::zero() && interval_ < lately_ / 2) interval_ = {};
}

} // namespace trawl::icmp::detail
