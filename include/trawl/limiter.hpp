#pragma once

#include <trawl/async.hpp>
#include <trawl/detail/hold.hpp>
#include <trawl/detail/parking.hpp>

#include <cstddef>
#include <optional>

namespace trawl {

/// A semaphore: at most `limit` tickets are out at a time, given first come, first served. One
/// executor. Tickets that outlive their limiter hold no place any more.
class limiter {
public:
    /// One place among `limit`; given back when it is destroyed or assigned to. Move-only, the
    /// other has none then: hand it to the child that does the work.
    class [[nodiscard]] ticket {
    public:
        ticket() noexcept = default; ///< no place
        /// Gives the place back now; nothing without one.
        void release() noexcept { place_.give_back(); }
        /// Whether it holds a place.
        explicit operator bool() const noexcept { return bool(place_); }

    private:
        friend class limiter;
        explicit ticket(limiter& owner) noexcept : place_(owner, owner.tickets_) {}
        detail::hold<limiter> place_;
    };

    /// `limit` places; with 0 nobody ever gets one.
    explicit limiter(std::size_t limit) noexcept : free_(limit), limit_(limit) {}
    limiter(limiter const&) = delete;
    limiter& operator=(limiter const&) = delete;

    /// Waits for a place. Cancelling leaves the queue without one.
    awaitable<ticket> acquire();
    /// Waits no longer than `deadline`; nullopt when it passed.
    awaitable<std::optional<ticket>> acquire_until(time_point deadline);
    /// An empty ticket when no place is free.
    ticket try_acquire() noexcept;

    /// Places in all.
    std::size_t limit() const noexcept { return limit_; }
    /// Tickets that are out.
    std::size_t in_use() const noexcept { return limit_ - free_; }

private:
    friend class detail::hold<limiter>;
    void take_back() noexcept;
    std::size_t free_, limit_;
    detail::hold_list<limiter> tickets_;
    detail::waiter_list waiters_;
    detail::turn_budget budget_;
};

/// A budget per second without bursts: turns are evenly spaced, and time that nobody used is not
/// saved up beyond one `slack`. Above 1,000 per second several turns come due in one wake-up of the
/// loop.
class pacer {
public:
    /// `per_second` > 0. `slack`: how much unused time may be caught up after a late wake-up.
    explicit pacer(double per_second, duration slack = std::chrono::milliseconds(1));

    /// Waits for the next turn. Cancelling gives the turn up.
    awaitable<> turn();

private:
    duration interval_, slack_;
    time_point next_{};
    detail::turn_budget budget_;
};

} // namespace trawl
