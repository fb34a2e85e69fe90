#include "dns/window.hpp"

namespace trawl::dns::detail {

std::optional<window::place> window::try_enter() {
    if (!has_room() || budget_.spent()) return std::nullopt;
    ++inside_;
    wake();
    return place(*this);
}

awaitable<window::place> window::enter() {
    if (has_room()) co_await yield(); // try_enter() said that others come first
    while (!has_room()) {
        trawl::detail::waiter turn(waiters_);
        auto const woken = co_await turn.wait();
        if (woken == trawl::detail::wake::cancelled) {
            wake(); // the next one may have the place that was meant for this one
            trawl::detail::throw_cancelled();
        }
    }
    ++inside_;
    wake();
    co_return place(*this);
}

void window::close() noexcept {
    closed_ = true;
    waiters_.wake_all();
}

/// One at a time: who comes in wakes the next, while there is room.
void window::wake() noexcept {
    if (has_room()) waiters_.wake_one();
}

void window::leave(bool overdue) noexcept {
    --inside_;
    if (overdue) --overdue_;
    wake();
}

void window::grow() noexcept {
    if (size_ >= static_cast<double>(most_)) return;
    size_ += size_ < threshold_ ? 1 : 1 / size_;
}

void window::lose(time_point sent, time_point now) noexcept {
    ++overdue_;
    if (sent > shrunk_) { // once for all that were under way when it was too large
        size_ = threshold_ = std::max(least, size_ * 2 / 3);
        shrunk_ = now;
    }
    wake();
}

} // namespace trawl::dns::detail
