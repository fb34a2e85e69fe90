#include "icmp/pace.hpp"
#include "test.hpp"

#include <algorithm>
#include <random>
#include <vector>

using namespace trawl;
using namespace trawl::icmp::detail;
using namespace std::chrono_literals;

namespace {

constexpr time_point start{1000s};

/// What a loop sends that wakes up late by what `lateness()` says.
template <class Lateness>
std::vector<time_point> sends(send_pace& pace, time_point from, duration length,
                              Lateness lateness) {
    std::vector<time_point> all;
    for (auto now = from; now < from + length;) {
        while (pace.allows(now)) {
            pace.took(now);
            all.push_back(now);
        }
        now = std::max(now, pace.next()) + lateness();
    }
    return all;
}

std::size_t most_within(std::vector<time_point> const& all, duration window) {
    std::size_t most = 0;
    for (auto i = all.begin(); i != all.end(); ++i)
        most = std::max(most,
                        static_cast<std::size_t>(std::upper_bound(i, all.end(), *i + window) - i));
    return most;
}

} // namespace

TEST_CASE("the rate holds though the loop wakes up late", "[icmp]") {
    double const rate = GENERATE(1.0, 10.0, 1000.0, 10000.0, 100000.0);
    std::mt19937 chance(7);
    send_pace pace(rate);
    // Mostly 60 us, now and then 20 ms.
    auto const late = [&] { return chance() % 5000 == 0 ? duration(20ms) : duration(60us); };
    auto const all = sends(pace, start, 20s, late);
    CHECK(static_cast<double>(all.size()) == Approx(20 * rate).epsilon(0.01).margin(1));
    auto const burst = std::max(1.0, rate / 1000) + 1;
    CHECK(static_cast<double>(most_within(all, 0ns)) <= burst);
    CHECK(static_cast<double>(most_within(all, 10ms)) <= rate / 100 * 1.25 + burst);
}

TEST_CASE("a pace without a limit allows always", "[icmp]") {
    send_pace pace(0);
    for (int i = 0; i < 1000; ++i) {
        REQUIRE(pace.allows(start));
        pace.took(start);
    }
}

TEST_CASE("lost answers halve the pace, which recovers", "[icmp]") {
    double const limit = GENERATE(0.0, 50000.0);
    send_pace pace(limit);
    auto const on_time = [] { return duration(20us); }; // 50,000 a second without a limit
    auto now = start;
    auto const rate = [&](duration length) {
        auto const all = sends(pace, now, length, on_time);
        now += length;
        return static_cast<double>(all.size()) / std::chrono::duration<double>(length).count();
    };
    // Without a limit a turn would go on and on: one send each.
    auto const steady = [&](duration length) {
        if (limit > 0) return rate(length);
        std::size_t count = 0;
        for (auto const end = now + length; now < end; now += 20us)
            if (pace.allows(now)) pace.took(now), ++count;
        return static_cast<double>(count) / std::chrono::duration<double>(length).count();
    };
    CHECK(steady(1s) == Approx(50000).epsilon(0.02));
    pace.slow_down(now);
    CHECK(steady(90ms) == Approx(25000).epsilon(0.05));
    pace.slow_down(now); // within 100 ms: the same loss
    CHECK(steady(5ms) == Approx(25000).epsilon(0.2));
    steady(3s);
    CHECK(steady(1s) == Approx(50000).epsilon(0.02));
}
