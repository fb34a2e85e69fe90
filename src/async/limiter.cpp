#include <trawl/limiter.hpp>

#include <cassert>

namespace trawl {

awaitable<std::optional<limiter::ticket>> limiter::acquire_until(time_point deadline) {
    if (budget_.spent()) co_await yield();
    if (free_ == 0) {
        detail::waiter self(waiters_);
        auto const woken = co_await self.wait(deadline);
        if (woken == detail::wake::cancelled) detail::throw_cancelled();
        if (woken == detail::wake::timed_out) co_return std::nullopt;
        co_return ticket(*this); // take_back() has handed its place over
    }
    --free_;
    co_return ticket(*this);
}

awaitable<limiter::ticket> limiter::acquire() {
    auto taken = co_await acquire_until(detail::no_deadline);
    co_return std::move(*taken);
}

limiter::ticket limiter::try_acquire() noexcept {
    if (free_ == 0) return {};
    --free_;
    return ticket(*this);
}

void limiter::take_back() noexcept {
    if (!waiters_.wake_one()) ++free_;
}

pacer::pacer(double per_second, duration slack)
    : interval_(
          std::chrono::duration_cast<duration>(std::chrono::duration<double>(1.0 / per_second))),
      slack_(slack) {
    assert(per_second > 0);
}

awaitable<> pacer::turn() {
    auto const now = clock::now();
    next_ = std::max(next_, now - slack_);
    auto const mine = next_;
    next_ += interval_;
    if (mine > now)
        co_await sleep_until(mine);
    else if (budget_.spent())
        co_await yield();
}

} // namespace trawl
