#include <trawl/mutex.hpp>

namespace trawl {

awaitable<std::optional<mutex::guard>> mutex::lock_until(time_point deadline) {
    if (budget_.spent()) co_await yield();
    if (locked_) {
        detail::waiter self(waiters_);
        auto const woken = co_await self.wait(deadline);
        if (woken == detail::wake::cancelled) detail::throw_cancelled();
        if (woken == detail::wake::timed_out) co_return std::nullopt;
        // signalled: take_back() has handed the mutex over without opening it
    }
    locked_ = true;
    co_return guard(*this);
}

awaitable<mutex::guard> mutex::lock() {
    auto taken = co_await lock_until(detail::no_deadline);
    co_return std::move(*taken);
}

mutex::guard mutex::try_lock() noexcept {
    if (locked_) return {};
    locked_ = true;
    return guard(*this);
}

void mutex::take_back() noexcept {
    if (!waiters_.wake_one()) locked_ = false;
}

} // namespace trawl
