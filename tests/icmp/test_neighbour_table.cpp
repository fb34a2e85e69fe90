#include "icmp/neighbour_table.hpp"
#include "test.hpp"

using namespace trawl;
using namespace trawl::icmp::detail;
using namespace std::chrono_literals;

namespace {

host nth(std::uint32_t n) { return host(asio::ip::make_address_v4(0x0a000000u + n)); }

parcel to(std::uint32_t n, std::uint64_t number) { return {.number = number, .target = nth(n)}; }

mac const station{2, 0, 0, 0, 0, 9};

struct one_link {
    way by{.interface = 5, .on_link = true, .ethernet = true};
    time_point now{1h};

    void ask(neighbour_table& table, std::uint32_t n, std::uint64_t number) {
        table.asked({.address = nth(n), .by = &by}, now);
        table.hold(nth(n), to(n, number), now);
    }
    static neighbour_message answer(std::uint32_t n) {
        return {.answer = true, .about = nth(n), .link = station};
    }
};

} // namespace

TEST_CASE("echoes wait for the answer and leave in their order", "[icmp]") {
    one_link l;
    neighbour_table table;
    l.ask(table, 1, 11);
    l.ask(table, 2, 21);
    l.ask(table, 1, 12);
    CHECK(table.held() == 3);
    CHECK_FALSE(table.find(nth(1), l.now));
    table.learn(one_link::answer(1), 5, l.now + 1ms);
    REQUIRE(table.ready.size() == 2);
    for (auto number : {11u, 12u}) {
        auto const leaving = table.ready.pop();
        CHECK(leaving.what.number == number);
        CHECK(leaving.to == station);
        CHECK(leaving.by == &l.by);
    }
    CHECK(table.held() == 1);
    auto const known = table.find(nth(1), l.now + 2ms);
    REQUIRE(known);
    CHECK(known->at == station);
    CHECK_FALSE(known->stale);
}

TEST_CASE("answers that nobody asked for, or from another link, are ignored", "[icmp]") {
    one_link l;
    neighbour_table table;
    l.ask(table, 1, 1);
    table.learn(one_link::answer(2), 5, l.now);
    table.learn(one_link::answer(1), 6, l.now);
    auto question = one_link::answer(1);
    question.answer = false;
    table.learn(question, 5, l.now);
    CHECK(table.ready.empty());
    CHECK_FALSE(table.find(nth(1), l.now));
    CHECK_FALSE(table.find(nth(2), l.now));
}

TEST_CASE("the answer for a link-local address is found by the link it came from", "[icmp]") {
    one_link l;
    neighbour_table table;
    host target(asio::ip::make_address("fe80::7"));
    auto const told = target;
    target.scope = 5;
    table.asked({.address = target, .by = &l.by}, l.now);
    table.learn({.answer = true, .about = told, .link = station}, 5, l.now);
    CHECK(table.find(target, l.now));
}

TEST_CASE("a silent gateway is asked three times, a silent host once, then both are forgotten",
          "[icmp]") {
    bool const on_link = GENERATE(true, false);
    one_link l;
    l.by.on_link = on_link;
    neighbour_table table;
    auto const began = l.now;
    l.ask(table, 1, 1);
    int questions = 1;
    while (table.next_wake() != time_point::max()) {
        l.now = table.next_wake();
        while (auto const next = table.again(l.now)) {
            CHECK(next->address == nth(1));
            table.asked(*next, l.now);
            ++questions;
        }
    }
    CHECK(questions == (on_link ? 1 : 3));
    CHECK(l.now == began + 3s);
    CHECK(table.held() == 0);
    CHECK_FALSE(table.is_asked(nth(1)));
    table.learn(one_link::answer(1), 5, l.now);
    CHECK(table.ready.empty());
}

TEST_CASE("an echo that came later has its own time to wait", "[icmp]") {
    one_link l;
    neighbour_table table;
    l.ask(table, 1, 1);
    l.now += 2500ms;
    l.ask(table, 1, 2);
    l.now += 1s;
    CHECK_FALSE(table.again(l.now)); // the first one is gone, the second one waits
    CHECK(table.held() == 1);
    table.learn(one_link::answer(1), 5, l.now);
    REQUIRE(table.ready.size() == 1);
    CHECK(table.ready.pop().what.number == 2);
}

TEST_CASE("the number of echoes that wait is bounded, and their places are used again", "[icmp]") {
    one_link l;
    neighbour_table table({.held = 100});
    for (std::uint32_t round = 0; round < 50; ++round) {
        for (std::uint32_t i = 0; i < 100; ++i) {
            REQUIRE_FALSE(table.full());
            l.ask(table, round * 1000 + i, i);
        }
        CHECK(table.full());
        for (std::uint32_t i = 0; i < 100; ++i)
            table.learn(one_link::answer(round * 1000 + i), 5, l.now);
        REQUIRE(table.ready.size() == 100);
        for (std::uint32_t i = 0; i < 100; ++i) REQUIRE(table.ready.pop().what.number == i);
    }
}

TEST_CASE("addresses past the bound are learned anew, and none that is asked for is lost",
          "[icmp]") {
    one_link l;
    neighbour_table table({.known = 10});
    l.ask(table, 999, 1);
    for (std::uint32_t i = 0; i < 25; ++i) {
        l.ask(table, i, i);
        table.learn(one_link::answer(i), 5, l.now);
        CHECK(table.find(nth(i), l.now));
    }
    CHECK_FALSE(table.find(nth(0), l.now));
    CHECK(table.is_asked(nth(999)));
}

TEST_CASE("an old address is used and asked for anew", "[icmp]") {
    one_link l;
    neighbour_table table;
    l.ask(table, 1, 1);
    table.learn(one_link::answer(1), 5, l.now);
    l.now += 31s;
    auto known = table.find(nth(1), l.now);
    REQUIRE((known && known->stale));
    table.asked({.address = nth(1), .by = &l.by}, l.now);
    known = table.find(nth(1), l.now);
    CHECK((known && !known->stale)); // not with every echo
    auto moved = one_link::answer(1);
    moved.link[5] = 10;
    table.learn(moved, 5, l.now);
    known = table.find(nth(1), l.now + 10s);
    REQUIRE(known);
    CHECK(known->at == moved.link);
    CHECK_FALSE(known->stale);
}
