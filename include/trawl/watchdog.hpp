#pragma once

#include <trawl/async.hpp>
#include <trawl/observer.hpp>

#include <asio/io_context.hpp>

#include <cstdint>
#include <memory>

namespace trawl {

/// Measures how well an io_context is kept. **hold**: how long one handler ran without
/// interruption. **lag**: how late a heartbeat timer fired.
///
/// run() stands in for io_context::run() on one thread. A handler that was ready is timed by the
/// wall clock; the one that ends an idle wait by the thread's CPU time, because the wait itself
/// cannot be subtracted. A heartbeat every `beat` shows what that leaves out. Costs about 0.1 us a
/// handler.
class watchdog {
public:
    /// Of many measured times, within 1/16 of the true value.
    struct quantiles {
        std::uint64_t count = 0; ///< how many were measured
        duration p50{};          ///< half of them took no longer
        duration p99{};          ///< 99 of 100
        duration p999{};         ///< 999 of 1,000
        duration max{};          ///< the longest, exactly
    };
    /// Both measures, as said above.
    struct report {
        quantiles hold; ///< of handlers
        quantiles lag;  ///< of heartbeats
    };

    /// `io` outlives it; `beat` > 0.
    explicit watchdog(asio::io_context& io, duration beat = std::chrono::milliseconds(5));
    watchdog(watchdog const&) = delete;
    watchdog& operator=(watchdog const&) = delete;
    ~watchdog();

    /// Runs the io_context until it has no more work or is stopped. The heartbeat does not count as
    /// work.
    void run();

    /// Since it was made.
    report figures() const;

    /// Reports the figures as trawl_loop_{hold,lag}_seconds_{p50,p99,p999,max}.
    void publish(observer& to) const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl
