#pragma once

#include <trawl/async.hpp>
#include <trawl/detail/parking.hpp>

#include <cassert>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

namespace trawl {

/// How an attempt on a queue ended: full (push) and empty (pop) are told apart from closed.
enum class queue_status { ok, full, empty, closed };

/// A bounded queue between coroutines of one executor: a slow consumer slows its producer. First
/// come, first served on both sides; a cancelled or expired wait loses neither an element nor a
/// place.
template <class T>
class queue {
public:
    /// `capacity` elements at most, at least 1.
    explicit queue(std::size_t capacity) : capacity_(capacity) { assert(capacity > 0); }
    queue(queue const&) = delete;
    queue& operator=(queue const&) = delete;

    /// Waits for room and appends. Throws error(errc::closed) when the queue is or gets closed;
    /// cancelling drops `value` and leaves the queue as it was.
    awaitable<> push(T value);
    /// As push, no longer than `deadline`: ok, full (the deadline passed) or closed.
    awaitable<queue_status> push_until(time_point deadline, T value);
    /// ok, full or closed at once; `value` is moved from only when ok.
    queue_status try_push(T& value);
    /// As above, for a value that nobody needs when there is no room.
    queue_status try_push(T&& value) { return try_push(value); }

    /// Waits for an element; nullopt when the queue is closed and drained. Cancelling leaves the
    /// queue as it was.
    awaitable<std::optional<T>> pop();
    /// As pop, no longer than `deadline`; `status`, when given, tells empty (the deadline passed)
    /// from closed.
    awaitable<std::optional<T>> pop_until(time_point deadline, queue_status* status = nullptr);
    /// An element at once, or nullopt; `status`, when given, tells empty from closed.
    std::optional<T> try_pop(queue_status* status = nullptr);

    /// Says that one popped element has been dealt with (Python's JoinableQueue).
    void task_done();
    /// Waits until every element that was pushed has been marked with task_done.
    awaitable<> join();

    /// No more pushes; what is queued can still be popped, then pop returns nullopt. Waiting
    /// producers get closed.
    void close();
    /// Whether close() was called; there may still be elements.
    bool closed() const noexcept { return closed_; }

    /// Elements that are in it now.
    std::size_t size() const noexcept { return items_.size(); }
    /// As given to the constructor.
    std::size_t capacity() const noexcept { return capacity_; }
    /// Whether size() is 0.
    bool empty() const noexcept { return items_.empty(); }

private:
    bool room() const noexcept { return items_.size() + promised_room_ < capacity_; }
    void put(T& value);
    T take();

    std::deque<T> items_;
    std::size_t capacity_;
    std::size_t promised_items_ = 0,
                promised_room_ = 0; // held for waiters that are woken but have not run yet
    std::size_t unfinished_ = 0;
    bool closed_ = false;
    detail::waiter_list producers_, consumers_, joiners_;
    detail::turn_budget budget_;
};

} // namespace trawl

#include <trawl/detail/queue.hpp>
