#include "icmp/pretend_kernel.hpp"
#include "test.hpp"

#include <cerrno>

using namespace trawl::test;
using trawl::icmp::errc;
using trawl::icmp::status;

TEST_CASE("every target ends in one outcome", "[icmp]") {
    pretend_kernel::settings how;
    how.alive = odd;
    pretend_world world(how);
    first_hosts hosts(1000);
    auto const results = world.run(world.core.open(one_retry, &hosts));
    CHECK(complete(results, 1000));
    for (auto const& r : results) {
        REQUIRE(r.status == (odd(r.target) ? status::up : status::down));
        REQUIRE(r.sent == (odd(r.target) ? 1u : 2u));
        REQUIRE(r.received == (odd(r.target) ? 1u : 0u));
        if (odd(r.target)) REQUIRE(r.rtt == 1ms);
    }
    CHECK(world.core.idle());
    CHECK(world.core.hot() == 0);
    CHECK(pretend_kernel::now() - pretend_kernel::start < 2s + 50ms);
}

TEST_CASE("a silent target is down after its last timeout, not before", "[icmp]") {
    pretend_kernel::settings how;
    how.alive = [](host const&) { return false; };
    pretend_world world(how);
    first_hosts hosts(1);
    auto& lane = world.core.open({.timeout = 300ms, .retries = 2}, &hosts);
    CHECK(world.run(lane, 899ms).empty());
    auto const results = world.run(lane, 1ms + 3 * trawl::icmp::detail::engine::expiry_slack);
    REQUIRE(results.size() == 1);
    CHECK(results[0].status == status::down);
    CHECK(results[0].sent == 3);
}

TEST_CASE("lost replies are made good by retries", "[icmp]") {
    for (std::uint32_t seed = 1; seed <= 20; ++seed) {
        pretend_kernel::settings how;
        how.seed = seed, how.loss = 0.3;
        pretend_world world(how);
        first_hosts hosts(500);
        auto const results = world.run(world.core.open({.timeout = 100ms, .retries = 20}, &hosts));
        CAPTURE(seed);
        CHECK(complete(results, 500));
        CHECK(tally(results)[status::up] == 500);
        CHECK(world.core.stats().sent > 600);
        CHECK(world.core.stats().received == 500);
    }
}

TEST_CASE("duplicates are counted and delivered once", "[icmp]") {
    pretend_kernel::settings how;
    how.duplicates = 1;
    pretend_world world(how,
                        {.outstanding = 16}); // slots are used again before the duplicate comes
    first_hosts hosts(2000);
    auto const results = world.run(world.core.open(one_retry, &hosts));
    CHECK(complete(results, 2000));
    CHECK(world.core.stats().received == 2000);
    CHECK(world.core.stats().duplicates == 2000);
    CHECK(world.core.stats().late + world.core.stats().forged == 0);
}

TEST_CASE("a late reply is counted, not delivered", "[icmp]") {
    pretend_kernel::settings how;
    how.rtt = 250ms;
    pretend_world world(how, {.outstanding = 10});
    first_hosts hosts(30);
    auto const results = world.run(world.core.open({.timeout = 100ms}, &hosts));
    CHECK(tally(results)[status::down] == 30);
    CHECK(world.core.stats().late == 30);
    CHECK(world.core.stats().duplicates + world.core.stats().received == 0);
}

TEST_CASE("a reply to the first echo that comes after the second went out is late", "[icmp]") {
    pretend_kernel::settings how;
    how.rtt = 150ms;
    pretend_world world(how);
    first_hosts hosts(1);
    auto const results = world.run(world.core.open({.timeout = 100ms, .retries = 1}, &hosts));
    REQUIRE(results.size() == 1);
    CHECK(results[0].status == status::down);
    CHECK(world.core.stats().late == 2);
}

TEST_CASE("replies in any order find their echoes", "[icmp]") {
    pretend_kernel::settings how;
    how.jitter = 200ms;
    pretend_world world(how);
    first_hosts hosts(5000);
    auto const results = world.run(world.core.open(one_retry, &hosts));
    CHECK(complete(results, 5000));
    CHECK(tally(results)[status::up] == 5000);
    CHECK_FALSE(std::ranges::is_sorted(results, {}, [](auto const& r) { return r.target.octets; }));
}

TEST_CASE("100,000 forged replies are counted and none is believed", "[icmp]") {
    pretend_kernel::settings how;
    how.alive = [](host const&) { return false; };
    pretend_world world(how);
    first_hosts hosts(256);
    auto& lane = world.core.open({.timeout = 10s}, &hosts);
    CHECK(world.run(lane, 1s).empty());
    auto const sent = world.kernel.sent;
    REQUIRE(sent.size() == 256);
    std::mt19937_64 chance(7);
    constexpr int forgeries = 100000;
    for (int i = 0; i < forgeries; ++i) {
        // Everything is right but some bits of the proof, as from who saw other echoes of ours.
        auto const& victim = sent[chance() % sent.size()];
        auto fake = reply_to(victim.bytes);
        auto const& other = sent[chance() % sent.size()];
        switch (i % 4) {
        case 0: fake[8 + chance() % 24] ^= static_cast<std::uint8_t>(1 + chance() % 255); break;
        case 1:
            for (std::size_t b = 8; b < 16; ++b) fake[b] = static_cast<std::uint8_t>(chance());
            break;
        case 2:
            for (std::size_t b = 8; b < 32; ++b) fake[b] = static_cast<std::uint8_t>(chance());
            break;
        case 3: // another echo's slot and time with this one's cookie
            if (other.number == victim.number)
                fake[31] ^= 1;
            else
                std::copy(other.bytes.begin() + 16, other.bytes.end(), fake.begin() + 16);
            break;
        }
        put_checksum(fake);
        world.core.receive(parse(family::v4, fake), victim.target, {}, pretend_kernel::now());
    }
    CHECK(world.core.stats().forged == forgeries);
    CHECK(world.core.stats().received == 0);
    CHECK(tally(world.run(lane))[status::down] == 256);
}

TEST_CASE("our echo answered by another address is a wrong source", "[icmp]") {
    pretend_kernel::settings how;
    how.alive = [](host const&) { return false; };
    pretend_world world(how);
    first_hosts hosts(1);
    auto& lane = world.core.open(one_retry, &hosts);
    CHECK(world.run(lane, 10ms).empty());
    auto const reply = reply_to(world.kernel.sent.at(0).bytes);
    world.core.receive(parse(family::v4, reply), nth(77), {}, pretend_kernel::now());
    CHECK(world.core.stats().wrong_source == 1);
    CHECK(tally(world.run(lane))[status::down] == 1);
}

TEST_CASE("an ICMP error ends its target as unreachable without a retry", "[icmp]") {
    pretend_kernel::settings how;
    how.unreachable = odd;
    pretend_world world(how);
    first_hosts hosts(100);
    auto const results = world.run(world.core.open(one_retry, &hosts));
    CHECK(complete(results, 100));
    for (auto const& r : results) {
        REQUIRE(r.status == (odd(r.target) ? status::unreachable : status::up));
        REQUIRE(r.sent == 1);
        if (odd(r.target)) REQUIRE(r.why == errc::unreachable);
    }
    CHECK(world.core.stats().errors == 50);
}

TEST_CASE("an ICMP error of 8 quoted bytes is believed for the right address and number only",
          "[icmp]") {
    pretend_kernel::settings how;
    how.alive = [](host const&) { return false; };
    pretend_world world(how);
    first_hosts hosts(2);
    auto& lane = world.core.open(one_retry, &hosts);
    CHECK(world.run(lane, 10ms).empty());
    auto const& echo = world.kernel.sent.at(0);
    auto tell = [&](host const& about, bytes request, std::size_t quoted) {
        auto const error = error_about(request, about, 3, 1, quoted);
        world.core.receive(parse(family::v4, error), nth(254), {}, pretend_kernel::now());
    };
    tell(nth(9), echo.bytes, 8); // never asked
    tell(nth(1), echo.bytes, 8); // asked with another number
    auto forged = echo.bytes;
    forged[8] ^= 1;
    tell(nth(0), forged, echo_size); // with a wrong cookie
    CHECK(lane.outcomes.empty());
    CHECK(world.core.stats().forged == 1);
    tell(nth(0), echo.bytes, 8);
    REQUIRE(lane.outcomes.size() == 1);
    auto const done = lane.outcomes.pop();
    CHECK(done.target == nth(0));
    CHECK(done.status == status::unreachable);
}

TEST_CASE("echoes that may be answered at once stay within the window", "[icmp]") {
    pretend_kernel::settings how;
    how.rtt = 5ms, how.room = 100;
    pretend_world world(how, {.window = 75});
    first_hosts hosts(3000);
    auto const results = world.run(world.core.open(one_retry, &hosts));
    CHECK(tally(results)[status::up] == 3000);
    CHECK(world.kernel.most_unanswered <= 75 + driver::send_batch);
    CHECK(world.core.stats().drops == 0);
}

TEST_CASE("silent targets leave the window long before they time out", "[icmp]") {
    pretend_kernel::settings how;
    how.alive = [](host const&) { return false; };
    pretend_world world(how, {.window = 100});
    first_hosts hosts(10000);
    auto const results = world.run(world.core.open({.timeout = 1s}, &hosts));
    CHECK(tally(results)[status::down] == 10000);
    // 100 each 20 ms is 2 s; were each to hold its place for the timeout, it would be 100 s.
    CHECK(pretend_kernel::now() - pretend_kernel::start < 4s);
}

TEST_CASE("what our own buffer lost is asked again and never called down", "[icmp]") {
    for (std::uint32_t seed = 1; seed <= 10; ++seed) {
        pretend_kernel::settings how;
        how.seed = seed, how.room = 40, how.rtt = 3ms,
        how.jitter = 1ms; // the window is wrong on purpose
        pretend_world world(how, {.window = 100000});
        world.stall = 2ms;
        first_hosts hosts(5000);
        auto const results = world.run(world.core.open({.timeout = 100ms, .retries = 0}, &hosts));
        CAPTURE(seed);
        CHECK(complete(results, 5000));
        auto count = tally(results);
        CHECK(world.core.stats().drops > 0);
        CHECK(count[status::down] == 0);
        CHECK(count[status::up] + count[status::unknown] == 5000);
        for (auto const& r : results)
            if (r.status == status::unknown) REQUIRE(r.why == errc::replies_dropped);
    }
}

TEST_CASE("no drops, no rescue: a later drop does not excuse an earlier silence", "[icmp]") {
    pretend_kernel::settings how;
    how.alive = [](host const&) { return false; };
    pretend_world world(how);
    first_hosts hosts(1);
    world.core.note_drops(5, pretend_kernel::now()); // before anything was sent
    pretend_kernel::advance(pretend_kernel::now() + 1s);
    auto const results = world.run(world.core.open({.timeout = 100ms}, &hosts));
    CHECK(tally(results)[status::down] == 1);
    CHECK(results.at(0).sent == 1);
}

TEST_CASE("an errno belongs to its own target", "[icmp]") {
    pretend_kernel::settings how;
    how.refuse = [](host const& h) {
        switch (h.octets[3] % 8) {
        case 1: return EHOSTUNREACH;
        case 3: return EPERM;
        case 5: return ENETUNREACH;
        case 7: return EACCES;
        default: return 0;
        }
    };
    pretend_world world(how);
    first_hosts hosts(800);
    auto const results = world.run(world.core.open(one_retry, &hosts));
    CHECK(complete(results, 800));
    auto count = tally(results);
    CHECK(count[status::up] == 400);
    CHECK(count[status::unreachable] == 200);
    CHECK(count[status::unknown] == 200);
    CHECK(world.core.stats().send_failures == 400);
    for (auto const& r : results)
        if (r.status == status::unknown)
            REQUIRE((r.why.value() == EPERM || r.why.value() == EACCES));
}

TEST_CASE("a kernel short of buffers is not pestered, and others get their turn", "[icmp]") {
    int const failure = GENERATE(ENOBUFS, EAGAIN);
    pretend_kernel::settings how;
    auto const recovers = pretend_kernel::start + 2s;
    how.refuse = [&](host const& h) {
        return odd(h) && pretend_kernel::now() < recovers ? failure : 0;
    };
    pretend_world world(how);
    first_hosts hosts(64);
    auto const results = world.run(world.core.open(one_retry, &hosts));
    CHECK(complete(results, 64));
    CHECK(tally(results)[status::up] == 64);
    CHECK(world.core.stats().deferred > 0);
    CHECK(world.kernel.calls < 2000); // in 2 s
}

TEST_CASE("a kernel that stays short of buffers leaves its targets unknown", "[icmp]") {
    pretend_kernel::settings how;
    how.refuse = [](host const&) { return ENOBUFS; };
    pretend_world world(how);
    first_hosts hosts(1000);
    auto const results = world.run(world.core.open(one_retry, &hosts));
    CHECK(complete(results, 1000));
    CHECK(tally(results)[status::unknown] == 1000);
    CHECK(results.at(0).why.value() == ENOBUFS);
    CHECK(world.core.stats().sent == 0);
    CHECK(world.kernel.calls < 5000);
    CHECK(pretend_kernel::now() - pretend_kernel::start < 10s);
}

TEST_CASE("without room for the proof, number and address find the echo", "[icmp]") {
    pretend_kernel::settings how;
    how.alive = odd;
    how.duplicates = 0.1;
    auto const payload = GENERATE(std::uint16_t{0}, std::uint16_t{8}, std::uint16_t{23});
    pretend_world world(how, {}, {.payload = payload});
    first_hosts hosts(1000);
    auto const results = world.run(world.core.open(one_retry, &hosts));
    CHECK(complete(results, 1000));
    CHECK(tally(results) == std::map<status, std::size_t>{{status::up, 500}, {status::down, 500}});
    CHECK(world.core.stats().forged == 0);
}

TEST_CASE("more echoes than the ring holds wait beside it", "[icmp]") {
    // Every 64th host is silent: what is out spans far more numbers than there are echoes out.
    pretend_kernel::settings how;
    how.alive = [](host const& h) { return h.octets[3] % 64 != 0; };
    pretend_world world(how, {.outstanding = 4096, .window = 100000});
    first_hosts hosts(100000);
    auto const results = world.run(world.core.open({.timeout = 60s, .retries = 1}, &hosts));
    CHECK(complete(results, 100000));
    CHECK(tally(results)[status::down] == 100000 / 64 + 1);
    CHECK(world.core.hot() == 0);
}

TEST_CASE("a departure sets the time from which the round trip counts", "[icmp]") {
    pretend_kernel::settings how;
    how.rtt = 50ms;
    pretend_world world(how);
    first_hosts hosts(1);
    auto& lane = world.core.open({.timeout = 300ms}, &hosts);
    CHECK(world.run(lane, 10ms).empty());
    world.core.departed(world.kernel.sent.at(0).number, pretend_kernel::start + 20ms);
    auto const results = world.run(lane);
    REQUIRE(results.size() == 1);
    CHECK(results[0].rtt == 30ms);
}

TEST_CASE("a missing address family ends its targets as unknown", "[icmp]") {
    pretend_world world;
    driver drive(world.core, &world.kernel, nullptr, &pretend_kernel::now);
    drive.missing_v6 = errc::no_socket;
    auto& lane = world.core.open(one_retry);
    world.core.submit(lane, address("2001:db8::1"), 1);
    drive.turn();
    REQUIRE(lane.outcomes.size() == 1);
    auto const done = lane.outcomes.pop();
    CHECK(done.status == status::unknown);
    CHECK(done.why == errc::no_socket);
}

TEST_CASE("memory does not depend on the number of targets", "[icmp]") {
    pretend_world world({}, {.outstanding = 1000});
    first_hosts hosts(300000);
    auto& lane = world.core.open(one_retry, &hosts);
    std::size_t most = 0, results = 0;
    for (;;) {
        auto const step = world.drive.turn();
        most = std::max(most, world.core.outstanding());
        results += lane.outcomes.size();
        while (!lane.outcomes.empty()) lane.outcomes.pop();
        world.kernel.sent.clear();
        if (step.again) continue;
        auto const next = std::min(step.wake, world.kernel.next_arrival());
        if (next == trawl::time_point::max()) break;
        pretend_kernel::advance(next);
    }
    CHECK(results == 300000); // the sequence numbers went round four times
    CHECK(most <= 1000);
}
