#include <trawl/watchdog.hpp>

#include <asio/steady_timer.hpp>

#include <array>
#include <bit>
#include <ctime>
#include <string>
#include <system_error>

namespace trawl {
namespace {

/// Counts durations in buckets of 1/16 of a power of two of nanoseconds (HDR histogram): 2 KiB
/// whatever is measured.
class histogram {
public:
    void add(duration length) {
        auto const ns = static_cast<std::uint64_t>(std::max<std::int64_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(length).count(), 0));
        ++counts_[bucket(ns)];
        ++total_;
        most_ = std::max(most_, length);
    }

    watchdog::quantiles figures() const { return {total_, at(0.5), at(0.99), at(0.999), most_}; }

private:
    static std::size_t bucket(std::uint64_t ns) {
        if (ns < 16) return ns;
        auto const shift = static_cast<unsigned>(std::bit_width(ns)) - 5;
        return std::min<std::size_t>(16 * (shift + 1) + ((ns >> shift) & 15), buckets - 1);
    }
    static std::uint64_t upper_end(std::size_t index) {
        if (index < 16) return index;
        auto const shift = index / 16 - 1;
        return ((16 + index % 16 + 1) << shift) - 1;
    }
    duration at(double quantile) const {
        auto left = static_cast<std::uint64_t>(quantile * static_cast<double>(total_));
        for (std::size_t i = 0; i < buckets; ++i) {
            if (counts_[i] > left)
                return std::min<duration>(std::chrono::nanoseconds(upper_end(i)), most_);
            left -= counts_[i];
        }
        return most_;
    }

    static constexpr std::size_t buckets = 16 * 40; // up to 2^43 ns, some 2.4 hours
    std::array<std::uint64_t, buckets> counts_{};
    std::uint64_t total_ = 0;
    duration most_{};
};

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
    return {state_->hold.figures(), state_->lag.figures()};
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
