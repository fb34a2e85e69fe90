#pragma once

#include <trawl/detail/parking.hpp>

#include <asio/execution_context.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>
#include <vector>

namespace trawl::detail {

/// Everything that is parked in one execution context, and the one timer behind all its deadlines.
///
/// A mutex guards it, because several strands of one context park here; a waiter is claimed under
/// it exactly once. The context's shutdown destroys what is still parked, so that nothing leaks
/// when a service stops.
class parking final : public asio::execution_context::service {
public:
    using time_point = std::chrono::steady_clock::time_point;

    static asio::execution_context::id id;

    explicit parking(asio::execution_context& context);

    /// Keeps `self` with its handler until it is claimed.
    void park(waiter& self, park_handler handler, time_point deadline);
    /// Takes `self` out and posts its resumption with `reason`; false when it is not parked (any
    /// more).
    bool claim(waiter& self, wake reason);

private:
    struct entry {
        time_point when;
        waiter* who;
    };

    void shutdown() override;

    std::optional<park_handler> take(waiter& self);
    void link(waiter& self);
    void arm(time_point deadline, asio::any_io_executor const& executor);
    void expire(std::error_code failure);

    // A 4-ary min-heap in heap_; waiter::place_ is the index + 1.
    void insert(entry item);
    void remove(std::size_t place);
    std::size_t sift_up(std::size_t at, entry item);
    std::size_t sift_down(std::size_t at, entry item);
    void set(std::size_t at, entry item);

    asio::io_context* io_ = nullptr; // set with timer_; null when the context is of another kind
    std::mutex mutex_;
    waiter* first_ = nullptr;
    std::vector<entry> heap_;
    std::optional<asio::steady_timer> timer_;
    time_point armed_ = no_deadline; // when timer_ fires; no_deadline: it does not wait
    bool stopped_ = false;
};

} // namespace trawl::detail
