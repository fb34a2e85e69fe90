#include "icmp/pretend_kernel.hpp"
#include "test.hpp"

using namespace trawl::test;
using trawl::icmp::status;

TEST_CASE("count sends that many echoes, an interval apart", "[icmp]") {
    pretend_kernel::settings how;
    how.alive = odd;
    pretend_world world(how);
    first_hosts hosts(50);
    auto const results =
        world.run(world.core.open({.timeout = 300ms, .count = 4, .interval = 500ms}, &hosts));
    CHECK(complete(results, 50));
    for (auto const& r : results) {
        REQUIRE(r.sent == 4);
        REQUIRE(r.received == (odd(r.target) ? 4u : 0u));
        REQUIRE(r.status == (odd(r.target) ? status::up : status::down));
    }
    auto const took = pretend_kernel::now() - pretend_kernel::start;
    CHECK(took >= 1800ms);
    CHECK(took < 1900ms);
}

TEST_CASE("a timeout beyond the interval does not hold the next echo up", "[icmp]") {
    pretend_kernel::settings how;
    how.alive = odd;
    how.rtt = 500ms; // the answers to two echoes are on their way at a time
    pretend_world world(how);
    first_hosts hosts(4);
    auto const results =
        world.run(world.core.open({.timeout = 700ms, .count = 3, .interval = 200ms}, &hosts));
    CHECK(tally(results) == std::map<status, std::size_t>{{status::up, 2}, {status::down, 2}});
    for (auto const& r : results) CHECK(r.received == (odd(r.target) ? 3u : 0u));
    CHECK(world.core.stats().sent == 12);
    CHECK(pretend_kernel::now() - pretend_kernel::start >= 1100ms);
    CHECK(pretend_kernel::now() - pretend_kernel::start < 1150ms);
}

TEST_CASE("a lane whose echoes nobody takes stops sending until half of them are", "[icmp]") {
    pretend_kernel::settings how;
    how.duplicates = 1; // must not add to what waits without end either
    pretend_world world(how);
    first_hosts hosts(10);
    auto& lane = world.core.open(
        {.timeout = 100ms, .count = 0, .interval = 10ms, .every_echo = true, .unread = 1000},
        &hosts);
    world.run(lane, 60s);                 // 10 echoes each 10 ms: 120,000 with their duplicates
    auto const most = 1000 + 10 * 10 * 2; // those that were under way
    CHECK(lane.unread() >= 1000);
    CHECK(lane.unread() <= most);
    auto const sent = world.core.stats().sent;
    CHECK(sent <= most);
    while (lane.unread() > 501) lane.echoes.pop();
    CHECK_FALSE(lane.resumes());
    world.run(lane, 1s);
    CHECK(world.core.stats().sent == sent);
    lane.echoes.pop();
    world.run(lane, 1s);
    CHECK(world.core.stats().sent > sent);
    CHECK(lane.unread() <= most);
    world.core.close(lane);
}

TEST_CASE("a lane that has stopped sending lets the others send", "[icmp]") {
    pretend_world world;
    first_hosts hosts(5000), others(5000);
    auto& stalled = world.core.open({.timeout = 100ms, .unread = 200}, &hosts);
    auto const results = world.run(world.core.open({.timeout = 100ms}, &others));
    CHECK(complete(results, 5000));
    CHECK(stalled.unread() >= 200);
    CHECK(stalled.unread() <= 200 + driver::turn_packets);
    world.core.close(stalled);
}

TEST_CASE("every echo is told of, duplicates too", "[icmp]") {
    pretend_kernel::settings how;
    how.alive = odd;
    how.duplicates = 1;
    pretend_world world(how);
    first_hosts hosts(20);
    auto& lane = world.core.open(
        {.timeout = 300ms, .count = 3, .interval = 100ms, .every_echo = true}, &hosts);
    world.run(lane);
    std::map<std::uint64_t, std::vector<std::uint32_t>> replies, lost, again;
    while (!lane.echoes.empty()) {
        auto const e = lane.echoes.pop();
        REQUIRE(e.target == nth(static_cast<std::uint32_t>(e.tag)));
        auto& of = e.duplicate ? again : e.status == status::up ? replies : lost;
        of[e.tag].push_back(e.index);
        if (e.status != status::up) continue;
        REQUIRE(e.answer);
        REQUIRE(e.answer->from == e.target);
        REQUIRE(e.answer->bytes == echo_size);
        REQUIRE(e.answer->type == 0);
        REQUIRE(e.rtt);
    }
    std::vector<std::uint32_t> const all{0, 1, 2};
    for (std::uint32_t i = 0; i < 20; ++i) {
        CHECK(replies[i] == (odd(nth(i)) ? all : std::vector<std::uint32_t>{}));
        // The last one's duplicate comes when its target has its outcome: it is counted only.
        if (!replies[i].empty()) replies[i].pop_back();
        CHECK(again[i] == replies[i]);
        CHECK(lost[i] == (odd(nth(i)) ? std::vector<std::uint32_t>{} : all));
    }
}

TEST_CASE("an echo that cannot be sent is one of the count, and the next is tried", "[icmp]") {
    pretend_kernel::settings how;
    int calls = 0;
    how.refuse = [&](host const&) { return ++calls == 2 ? ENETUNREACH : 0; };
    pretend_world world(how);
    first_hosts hosts(1);
    auto& lane = world.core.open(
        {.timeout = 300ms, .count = 3, .interval = 100ms, .every_echo = true}, &hosts);
    auto const results = world.run(lane);
    REQUIRE(results.size() == 1);
    CHECK(results[0].status == status::up);
    CHECK(results[0].sent == 2);
    CHECK(results[0].received == 2);
    std::vector<status> seen;
    while (!lane.echoes.empty()) seen.push_back(lane.echoes.pop().status);
    CHECK(seen == std::vector{status::up, status::unreachable, status::up});
}

TEST_CASE("each retry waits longer by the backoff", "[icmp]") {
    pretend_kernel::settings how;
    how.alive = [](host const&) { return false; };
    pretend_world world(how);
    first_hosts hosts(100);
    auto const results =
        world.run(world.core.open({.timeout = 100ms, .retries = 3, .backoff = 2}, &hosts));
    CHECK(tally(results)[status::down] == 100);
    CHECK(world.core.stats().sent == 400);
    auto const took = pretend_kernel::now() - pretend_kernel::start;
    CHECK(took >= 1500ms); // 100 + 200 + 400 + 800
    CHECK(took < 1550ms);
}

TEST_CASE("a count without end goes on until the lane is closed", "[icmp]") {
    pretend_world world;
    first_hosts hosts(3);
    auto& lane = world.core.open(
        {.timeout = 100ms, .count = 0, .interval = 10ms, .every_echo = true}, &hosts);
    CHECK(world.run(lane, 1s).empty());
    CHECK(lane.echoes.size() >= 3 * 99);
    CHECK(lane.echoes.size() <= 3 * 101);
    world.core.close(lane);
    CHECK(world.core.idle());
    CHECK(world.core.next_wake() == trawl::time_point::max());
}

TEST_CASE("the rate is kept within a per cent and without bursts", "[icmp]") {
    double const rate = GENERATE(10.0, 333.0, 10000.0, 100000.0);
    pretend_world world;
    auto const count = static_cast<std::uint32_t>(rate * 2) + 1;
    first_hosts hosts(count);
    auto& lane = world.core.open({.timeout = 1s, .rate = rate}, &hosts);
    auto const results = world.run(lane);
    CHECK(complete(results, count));
    double const took =
        std::chrono::duration<double>(world.kernel.last_send - pretend_kernel::start).count();
    CHECK(took == Approx(2).epsilon(0.01));
    CHECK(world.rests >= std::min<std::size_t>(count, 2000) / 2); // it was spread over the time
}

TEST_CASE("a forgotten target has no outcome, and its reply is late", "[icmp]") {
    pretend_world world;
    auto& lane = world.core.open(one_retry);
    auto const slot = world.core.submit(lane, nth(1), 42);
    world.core.submit(lane, nth(2), 43);
    world.drive.turn();
    world.core.forget(slot);
    auto const results = world.run(lane);
    REQUIRE(results.size() == 1);
    CHECK(results[0].tag == 43);
    CHECK(world.core.stats().late == 1);
    CHECK(world.core.idle());
}

TEST_CASE("a closed lane leaves the others and the window as they were", "[icmp]") {
    pretend_kernel::settings how;
    how.alive = odd;
    pretend_world world(how, {.window = 500});
    first_hosts hosts(1000), others(400);
    auto& doomed = world.core.open({.timeout = 10s}, &hosts);
    auto& lane = world.core.open(one_retry, &others);
    world.drive.turn();
    CHECK(doomed.active() > 0);
    world.core.close(doomed);
    auto const results = world.run(lane);
    CHECK(complete(results, 400));
    CHECK(tally(results)[status::up] == 200);
    CHECK(world.core.idle());
    CHECK(world.core.hot() == 0);
}

TEST_CASE("lanes share the sending", "[icmp]") {
    pretend_world world({}, {.window = 64});
    first_hosts many(20000), few(100);
    world.core.open(one_retry, &many);
    auto& lane = world.core.open(one_retry, &few);
    CHECK(world.run(lane, 500ms).size() == 100);
}
