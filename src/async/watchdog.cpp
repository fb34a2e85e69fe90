#include <trawl/watchdog.hpp>

#include "async/histogram.hpp"

#include <asio/steady_timer.hpp>

#include <ctime>
#include <string>
#include <system_error>

namespace trawl {
namespace {

watchdog::quantiles figures_of(histogram const& h) {
    return {h.total(), h.at(0.5), h.at(0.99), h.at(0.999), h.most()};
}

duration thread_cpu_time() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

} // namespace

struct watchdog::state {
    state(asio::io_context& context, duration every) : io(context), beat(every), heart(context) {}

    void next_beat(time_point from) {
        due = from + beat;
        heart.expires_at(due);
        heart.async_wait([this](std::error_code failure) {
            io.get_executor().on_work_started();
            if (failure) return;
            auto const now = clock::now();
            lag.add(now - due);
            next_beat(now);
        });
        io.get_executor().on_work_finished(); // the heartbeat is no work: run() returns without it
    }

    asio::io_context& io;
    duration beat;
    asio::steady_timer heart;
    time_point due{};
    histogram hold, lag;
};

watchdog::watchdog(asio::io_context& io, duration beat)
    : state_(std::make_unique<state>(io, beat)) {}
watchdog::~watchdog() = default;

void watchdog::run() {
    auto& s = *state_;
    auto& io = s.io;
    io.get_executor()
        .on_work_started(); // so that the first heartbeat cannot end the loop before it began
    s.next_beat(clock::now());
    io.get_executor().on_work_finished();
    for (;;) {
        auto began = clock::now();
        while (io.poll_one() != 0) {
            auto const ended = clock::now();
            s.hold.add(ended - began);
            began = ended;
        }
        auto const cpu = thread_cpu_time();
        if (io.run_one() == 0) break;
        s.hold.add(thread_cpu_time() - cpu);
    }
}

watchdog::report watchdog::figures() const {
    return {figures_of(state_->hold), figures_of(state_->lag)};
}

void watchdog::publish(observer& to) const {
    auto say = [&to](std::string const& name, quantiles const& q) {
        auto metric = [&](char const* which, duration value) {
            to.metric("trawl_loop_" + name + "_seconds_" + which,
                      std::chrono::duration<double>(value).count());
        };
        metric("p50", q.p50), metric("p99", q.p99), metric("p999", q.p999), metric("max", q.max);
    };
    auto const seen = figures();
    say("hold", seen.hold);
    say("lag", seen.lag);
}

} // namespace trawl
