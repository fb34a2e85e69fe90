#include "async/histogram.hpp"
#include "test.hpp"

#include <trawl/icmp_tally.hpp>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

using namespace std::chrono_literals;
using trawl::duration;
using trawl::histogram;
using trawl::icmp::echo;
using trawl::icmp::status;
using trawl::icmp::tally;

namespace {

echo reply(duration rtt) {
    echo made;
    made.status = status::up;
    made.rtt = rtt;
    return made;
}

echo ended(status as) {
    echo made;
    made.status = as;
    return made;
}

template <class... Durations>
tally of(Durations... rtt) {
    tally made;
    (made.add(reply(rtt)), ...);
    return made;
}

/// Everything a tally tells, to compare two.
std::vector<double> told(tally const& t) {
    auto ns = [](std::optional<duration> d) {
        return d ? std::chrono::duration<double, std::nano>(*d).count() : -1;
    };
    std::vector<double> all{ns(t.least()),  ns(t.average()),     ns(t.most()),         ns(t.last()),
                            ns(t.jitter()), ns(t.quantile(0.5)), ns(t.quantile(0.99)), t.loss()};
    for (auto n : {t.sent(), t.received(), t.lost(), t.unreachable(), t.unknown(), t.duplicates(),
                   t.longest_loss(), t.current_loss()})
        all.push_back(static_cast<double>(n));
    return all;
}

} // namespace

TEST_CASE("a tally of nothing has no round trips and no loss", "[icmp]") {
    tally const none;
    CHECK(none.sent() == 0);
    CHECK(none.loss() == 0);
    CHECK_FALSE(none.least());
    CHECK_FALSE(none.average());
    CHECK_FALSE(none.most());
    CHECK_FALSE(none.last());
    CHECK_FALSE(none.deviation());
    CHECK_FALSE(none.jitter());
    CHECK_FALSE(none.quantile(0.5));
    CHECK(none.outage(1s) == 0s);
    CHECK(sizeof(tally) <= 72);
}

TEST_CASE("a tally tells least, average, most, deviation and jitter", "[icmp]") {
    auto const t = of(1ms, 3ms, 2ms, 6ms);
    CHECK(t.sent() == 4);
    CHECK(t.received() == 4);
    CHECK(t.least() == duration(1ms));
    CHECK(t.average() == duration(3ms));
    CHECK(t.most() == duration(6ms));
    CHECK(t.last() == duration(6ms));
    // population: sqrt((4 + 0 + 1 + 9) / 4) ms
    CHECK(t.deviation() == duration(std::chrono::nanoseconds(std::llround(std::sqrt(3.5) * 1e6))));
    CHECK(t.jitter() == duration(7ms) / 3); // 2, 1 and 4

    auto const one = of(5ms);
    CHECK(one.deviation() == duration(0ms));
    CHECK_FALSE(one.jitter());
    CHECK(one.quantile(0) == duration(5ms));
    CHECK(one.quantile(1) == duration(5ms));
}

TEST_CASE("an average is rounded down to a nanosecond", "[icmp]") {
    CHECK(of(1ns, 2ns).average() == duration(1ns));
    CHECK(of(1ns, 1ns, 2ns).jitter() == duration(0ns));
}

TEST_CASE("every way to get no reply is a loss, and told apart", "[icmp]") {
    tally t;
    t.add(reply(1ms));
    t.add(ended(status::down));
    t.add(ended(status::unreachable));
    t.add(ended(status::unknown));
    CHECK(t.sent() == 4);
    CHECK(t.received() == 1);
    CHECK(t.lost() == 3);
    CHECK(t.unreachable() == 1);
    CHECK(t.unknown() == 1);
    CHECK(t.loss() == 75);
    CHECK(t.outage(200ms) == 600ms);
}

TEST_CASE("the time of an ICMP error is no round trip", "[icmp]") {
    auto error = ended(status::unreachable);
    error.rtt = 9ms;
    tally t;
    t.add(error);
    CHECK_FALSE(t.most());
    t.add(reply(2ms));
    t.add(error);
    CHECK(t.most() == duration(2ms));
    CHECK_FALSE(t.jitter());
}

TEST_CASE("a duplicate is counted and changes nothing else", "[icmp]") {
    auto t = of(1ms);
    auto again = reply(50ms);
    again.duplicate = true;
    t.add(again);
    CHECK(t.duplicates() == 1);
    CHECK(t.sent() == 1);
    CHECK(t.received() == 1);
    CHECK(t.most() == duration(1ms));
}

TEST_CASE("losses between two replies do not break the jitter", "[icmp]") {
    auto t = of(1ms);
    t.add(ended(status::down));
    t.add(reply(4ms));
    CHECK(t.jitter() == duration(3ms));
}

TEST_CASE("the longest loss in a row is known", "[icmp]") {
    tally t;
    auto play = [&t](std::string_view story) {
        for (char c : story) t.add(c == '.' ? reply(1ms) : ended(status::down));
    };
    play("xx");
    CHECK(t.current_loss() == 2);
    CHECK(t.longest_loss() == 2);
    play(".xxx..x");
    CHECK(t.current_loss() == 1);
    CHECK(t.longest_loss() == 3);
    play(".");
    CHECK(t.current_loss() == 0);
}

TEST_CASE("a merged tally tells what one that saw all would tell", "[icmp]") {
    std::mt19937 random(1);
    auto const draw = [&random](int below) { return static_cast<int>(random() % unsigned(below)); };
    for (int round = 0; round < 200; ++round) {
        tally parts[3], whole;
        for (auto& part : parts)
            for (int n = draw(8); n > 0; --n) {
                auto e = draw(3) == 0 ? ended(static_cast<status>(1 + draw(3)))
                                      : reply(std::chrono::microseconds(1 + draw(5000)));
                e.duplicate = draw(10) == 0;
                part.add(e);
                whole.add(e);
            }
        tally left, right = parts[0];
        for (auto const& part : parts) left.add(part);
        tally tail = parts[1];
        tail.add(parts[2]);
        right.add(tail);
        auto const close = [](std::optional<duration> a, std::optional<duration> b) {
            REQUIRE(a.has_value() == b.has_value());
            return !a ||
                   std::abs((*a - *b).count()) <= 2; // nanoseconds: the sums round differently
        };
        CHECK(told(left) == told(right));
        CHECK(close(left.deviation(), whole.deviation()));
        // Differences across the seams are not counted, all else is as in the whole.
        auto merged = told(left), seen = told(whole);
        merged[4] = seen[4] = 0;
        CHECK(merged == seen);
    }
}

TEST_CASE("a tally can be merged with itself, copied and moved", "[icmp]") {
    auto t = of(1ms, 3ms);
    t.add(ended(status::down));
    t.add(t);
    CHECK(t.sent() == 6);
    CHECK(t.received() == 4);
    CHECK(t.average() == duration(2ms));
    CHECK(t.deviation() == duration(1ms));
    CHECK(t.jitter() == duration(2ms));

    auto copy = t;
    copy.add(reply(9ms));
    CHECK(t.most() == duration(3ms));
    CHECK(copy.most() == duration(9ms));
    auto moved = std::move(copy);
    CHECK(moved.sent() == 7);
    CHECK(told(copy) == told(tally()));
    copy = moved;
    CHECK(told(copy) == told(moved));
    moved = {};
    CHECK(told(moved) == told(tally()));
    auto& same = copy;
    copy = same;
    CHECK(copy.sent() == 7);
}

TEST_CASE("a quantile is at most 1/16 too long, over the whole range", "[icmp]") {
    std::mt19937_64 random(2);
    for (double most : {40e3, 2e6, 5e7, 3e11}) { // 40 microseconds to 5 minutes
        std::vector<duration> values;
        tally t;
        std::uniform_real_distribution<double> shape(0, 1);
        for (int i = 0; i < 2000; ++i) {
            std::chrono::nanoseconds const rtt(std::llround(std::pow(most, shape(random))));
            values.push_back(rtt);
            t.add(reply(rtt));
        }
        std::ranges::sort(values);
        for (double q : {0.0, 0.01, 0.5, 0.9, 0.99, 0.999}) {
            auto const exact = values[static_cast<std::size_t>(q * 2000)];
            auto const told = *t.quantile(q);
            CHECK(told >= exact);
            CHECK(told <= exact + exact / 16);
        }
        CHECK(t.quantile(1) == values.back());
    }
}

TEST_CASE("a histogram takes what is negative, zero and too long", "[icmp]") {
    histogram h;
    CHECK(h.at(0.5) == 0ns);
    h.add(-5ns);
    h.add(0ns);
    CHECK(h.at(0.9) == 0ns);
    h.add(100h);
    h.add(200h); // both in the last bucket
    CHECK(h.total() == 4);
    CHECK(h.most() == 200h);
    CHECK(h.at(1) == 200h);
    CHECK(h.at(0.4) == 0ns);
}

TEST_CASE("a histogram grows in both directions and merges", "[icmp]") {
    histogram middle, wide;
    for (auto ns : {1000ns, 1100ns}) middle.add(ns);
    for (auto ns : {3ns, 500000000ns, 1000ns}) wide.add(ns);
    auto other = middle;
    middle.add(wide); // wider on both sides
    wide.add(other);  // within
    for (auto const& h : {middle, wide}) {
        CHECK(h.total() == 5);
        CHECK(h.at(0) == 3ns);
        CHECK(h.at(0.2) >= 1000ns);
        CHECK(h.at(0.5) <= 1100ns + 69ns);
        CHECK(h.at(0.9) == 500000000ns);
    }
    histogram none;
    middle.add(none);
    none.add(middle);
    CHECK(none.total() == 5);
}
