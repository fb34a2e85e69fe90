#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <optional>

// How a coroutine of trawl waits for something that another one does: it parks. Not for use outside
// trawl.
namespace trawl::detail {

class parking;
class waiter_list;

enum class wake { signalled, timed_out, cancelled };

using park_handler =
    asio::async_result<asio::use_awaitable_t<asio::any_io_executor>, void(wake)>::handler_type;

inline constexpr auto no_deadline = std::chrono::steady_clock::time_point::max();

/// One suspended coroutine. It lives in that coroutine's frame, is linked into the list of what it
/// waits for, and, with a deadline, into the one deadline queue of its execution context. Exactly
/// one of signal, deadline and cancellation claims it; the resumption is posted to the coroutine's
/// executor.
class waiter {
public:
    waiter() noexcept = default;
    explicit waiter(waiter_list& list) noexcept;
    waiter(waiter const&) = delete;
    waiter& operator=(waiter const&) = delete;
    ~waiter();

    /// Suspends until woken. An uncancellable wait ignores cancellation signals (for joins).
    asio::awaitable<wake> wait(std::chrono::steady_clock::time_point deadline = no_deadline,
                               bool cancellable = true) {
        auto park = [this, deadline, cancellable](park_handler handler) {
            start(std::move(handler), deadline, cancellable);
        };
        return asio::async_initiate<asio::use_awaitable_t<> const, void(wake)>(std::move(park),
                                                                               asio::use_awaitable);
    }

    /// Claims the waiter and posts its resumption; false when somebody else was first or nobody
    /// waits.
    bool signal() noexcept;

private:
    friend class parking;
    friend class waiter_list;

    void start(park_handler handler, std::chrono::steady_clock::time_point deadline,
               bool cancellable);
    void unlink() noexcept;

    waiter_list* list_ = nullptr;
    waiter *before_ = nullptr,
           *after_ = nullptr; // in list_, touched on the executor of the owner only
    parking* home_ = nullptr;
    waiter *parked_before_ = nullptr, *parked_after_ = nullptr; // in home_, under its mutex
    std::size_t place_ = 0;               // in the deadline heap, from 1; 0: in none
    std::optional<park_handler> handler_; // present while parked
};

/// Waiters in the order of their arrival. Confined to one executor, as its owner is.
class waiter_list {
public:
    waiter_list() noexcept = default;
    waiter_list(waiter_list const&) = delete;
    waiter_list& operator=(waiter_list const&) = delete;
    ~waiter_list();

    /// Wakes the first that nobody else has claimed; false when there is none.
    bool wake_one() noexcept;
    void wake_all() noexcept;

private:
    friend class waiter;
    waiter *first_ = nullptr, *last_ = nullptr;
};

/// Lets an operation that completes at once do so only so many times in a row, so that a full queue
/// cannot hog the loop: every 128th time spent() says that the operation has to go through the
/// scheduler.
class turn_budget {
public:
    bool spent() noexcept { return ++used_ % 128 == 0; }

private:
    unsigned used_ = 0;
};

[[noreturn]] void throw_cancelled();

} // namespace trawl::detail
