#pragma once

// Bodies of trawl::queue; included by trawl/queue.hpp only.
#include <trawl/queue.hpp>

namespace trawl {

template <class T>
void queue<T>::put(T& value) {
    items_.push_back(std::move(value));
    ++unfinished_;
    if (consumers_.wake_one()) ++promised_items_;
}

template <class T>
T queue<T>::take() {
    T value = std::move(items_.front());
    items_.pop_front();
    if (!closed_ && producers_.wake_one()) ++promised_room_;
    return value;
}

template <class T>
queue_status queue<T>::try_push(T& value) {
    if (closed_) return queue_status::closed;
    if (!room()) return queue_status::full;
    put(value);
    return queue_status::ok;
}

template <class T>
awaitable<queue_status> queue<T>::push_until(time_point deadline, T value) {
    if (budget_.spent()) co_await yield();
    auto const status = try_push(value);
    if (status != queue_status::full) co_return status;
    detail::waiter self(producers_);
    auto const woken = co_await self.wait(deadline);
    if (woken == detail::wake::cancelled) detail::throw_cancelled();
    if (woken == detail::wake::timed_out) co_return queue_status::full;
    if (closed_) co_return queue_status::closed;
    --promised_room_;
    put(value);
    co_return queue_status::ok;
}

template <class T>
awaitable<> queue<T>::push(T value) {
    if (!budget_.spent() && try_push(value) == queue_status::ok) co_return;
    auto const status = co_await push_until(detail::no_deadline, std::move(value));
    if (status == queue_status::closed) throw error(errc::closed, "queue push");
}

template <class T>
std::optional<T> queue<T>::try_pop(queue_status* status) {
    bool const there = items_.size() > promised_items_;
    if (status)
        *status = there ? queue_status::ok : closed_ ? queue_status::closed : queue_status::empty;
    if (!there) return std::nullopt;
    return take();
}

template <class T>
awaitable<std::optional<T>> queue<T>::pop_until(time_point deadline, queue_status* status) {
    if (budget_.spent()) co_await yield();
    queue_status seen{};
    auto value = try_pop(&seen);
    if (seen == queue_status::empty) {
        detail::waiter self(consumers_);
        auto const woken = co_await self.wait(deadline);
        if (woken == detail::wake::cancelled) detail::throw_cancelled();
        if (woken == detail::wake::signalled) {
            if (promised_items_ > 0)
                --promised_items_, value = take(), seen = queue_status::ok;
            else
                seen = queue_status::closed; // close() wakes without a promise, after all that have
                                             // one
        }
    }
    if (status) *status = seen;
    co_return value;
}

template <class T>
awaitable<std::optional<T>> queue<T>::pop() {
    return pop_until(detail::no_deadline, nullptr);
}

template <class T>
void queue<T>::task_done() {
    assert(unfinished_ > 0 && "task_done without an element");
    if (--unfinished_ == 0) joiners_.wake_all();
}

template <class T>
awaitable<> queue<T>::join() {
    while (unfinished_ > 0) {
        detail::waiter self(joiners_);
        if (co_await self.wait() == detail::wake::cancelled) detail::throw_cancelled();
    }
}

template <class T>
void queue<T>::close() {
    if (std::exchange(closed_, true)) return;
    promised_room_ = 0;
    producers_.wake_all();
    consumers_.wake_all();
}

} // namespace trawl
