#include "icmp/channel_sweep.hpp"
#include "icmp/on_link.hpp"
#include "icmp/packet_ring.hpp"
#include "test.hpp"

#include <cstdlib>
#include <ctime>
#include <iostream>

using namespace trawl;
using namespace trawl::icmp::detail;
using namespace std::chrono_literals;

namespace {

constexpr std::uint16_t id = 0x7a12;

std::unique_ptr<packet_ring_channel> open(family f, packet_options how = {}) {
    std::error_code failure;
    auto raw = test::raw_channel(f, id);
    auto by = route_monitor::open(failure);
    REQUIRE(by);
    auto made = packet_ring_channel::open(f, id, raw, by, how, failure);
    if (!made) FAIL(failure.message());
    return made;
}

double processor_time() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// Runs a sweep; says what it took when TRAWL_FIGURES is set.
void run(char const* what, test::channel_sweep& s, std::vector<host> const& targets,
         duration timeout) {
    auto const before = processor_time();
    s.run(targets, timeout);
    auto const each = (processor_time() - before) * 1e6 / static_cast<double>(targets.size());
    if (std::getenv("TRAWL_FIGURES"))
        std::cout << "# " << what << ": " << s.answered << " answered, last answer after "
                  << std::chrono::duration_cast<std::chrono::milliseconds>(s.took).count()
                  << " ms, CPU " << each << " us a probe\n";
}

struct behind_gateway : test::far_network {
    behind_gateway() {
        answer_for("10.77.0.0/16");
        answer_for("fd00:77::/112");
        sh("ping -c 1 -w 5 fd00:99::2"); // the link has settled
    }
};

} // namespace

TEST_CASE("rings find 65,536 hosts behind a gateway, IPv4 and IPv6", "[icmp]") {
    behind_gateway far;
    for (auto const& [f, first] :
         {std::pair(family::v4, "10.77.0.0"), std::pair(family::v6, "fd00:77::")}) {
        auto const all = test::row(first, 65536);
        CAPTURE(first);
        {
            auto const by = open(f);
            test::channel_sweep sweep(*by, id);
            run("rings", sweep, all, 2s);
            CHECK(sweep.answered == 65536);
            CHECK(sweep.strange == 0);
            CHECK(sweep.refused == 0);
            CHECK(by->drops() == 0);
        }
        if (!std::getenv("TRAWL_FIGURES")) continue;
        auto const raw = test::raw_channel(f, id);
        test::channel_sweep sweep(*raw, id);
        run("raw socket", sweep, all, 2s);
    }
}

TEST_CASE("rings tell when a reply arrived and how far it came", "[icmp]") {
    behind_gateway far;
    for (auto const& [f, text] :
         {std::pair(family::v4, "10.77.1.2"), std::pair(family::v6, "fd00:77::1:2")}) {
        if (f == family::v6) far.answer_for("fd00:77::1:0/112");
        auto const by = open(f, {.shape = {.payload = 56}});
        host const target{asio::ip::make_address(text)};
        parcel p{.number = 7, .target = target};
        p.bytes = write_echo(f, id, 3, {.number = 9});
        int failure = 0;
        REQUIRE(by->send({&p, 1}, failure) == 1);
        time_point left{};
        std::vector<channel::arrived> got;
        for (auto const until = clock::now() + 2s; got.empty() && clock::now() < until;) {
            for (auto const& d : by->departures()) {
                CHECK(d.number == 7);
                left = d.when;
            }
            bool more = false;
            auto const some = by->receive(more);
            got.assign(some.begin(), some.end());
        }
        REQUIRE(got.size() == 1);
        CHECK(got[0].from == target);
        CHECK(got[0].what.kind == kind::reply);
        CHECK(got[0].what.sequence == 3);
        CHECK(got[0].hops_left == std::uint8_t{64});
        CHECK(got[0].what.size == 64);
        CHECK(got[0].when > left);
        CHECK(got[0].when < clock::now());
    }
}

TEST_CASE("rings deliver ICMP errors about our echoes", "[icmp]") {
    behind_gateway far;
    for (auto const& [f, text] :
         {std::pair(family::v4, "10.78.1.2"), std::pair(family::v6, "fd00:78::1")}) {
        auto const by = open(f);
        host const target{asio::ip::make_address(text)};
        parcel p{.number = 7, .target = target};
        p.bytes = write_echo(f, id, 3, {.number = 9});
        int failure = 0;
        REQUIRE(by->send({&p, 1}, failure) == 1);
        std::optional<channel::arrived> got;
        for (auto const until = clock::now() + 2s; !got && clock::now() < until;) {
            by->departures();
            bool more = false;
            for (auto const& a : by->receive(more)) got = a;
        }
        REQUIRE(got);
        CHECK(got->what.kind == kind::unreachable);
        CHECK(got->what.id == id);
        CHECK(got->what.destination == target);
    }
}

TEST_CASE("rings ask neighbours by themselves, and leave the loopback to the kernel", "[icmp]") {
    test::on_link_network link;
    link.answer_for("10.66.16.0/22");
    auto const by = open(family::v4);
    auto all = test::row("10.66.16.0", 1024);
    all.push_back(host(asio::ip::make_address("127.0.0.1")));
    all.push_back(host(asio::ip::make_address("10.64.0.1")));
    all.push_back(host(asio::ip::make_address("203.0.113.1")));
    test::channel_sweep sweep(*by, id);
    run("on-link /22 by rings", sweep, all, 500ms);
    CHECK(sweep.answered == 1026);
    CHECK(sweep.departed == 1024);
    CHECK(sweep.refused == 1);
    CHECK(sweep.last_refusal == ENETUNREACH);
}

TEST_CASE("a gateway that does not answer is asked once a second and leaves echoes unanswered",
          "[icmp]") {
    test::on_link_network link;
    link.sh("ip route add 10.77.0.0/16 via 10.65.1.1"); // nobody there
    auto const by = open(family::v4, {.table = {.hold = 150ms, .ask_again = 50ms}});
    test::channel_sweep sweep(*by, id);
    sweep.run(test::row("10.77.0.0", 5000), 300ms);
    CHECK(sweep.answered == 0);
    CHECK(sweep.departed == 0);
    CHECK(sweep.refused == 0);
    CHECK(by->next_wake() == time_point::max()); // forgotten
}

TEST_CASE("rings refuse what does not fit into the MTU, and what a dead interface was to send",
          "[icmp]") {
    behind_gateway far;
    auto const target = test::row("10.77.0.1", 3);
    {
        auto const by = open(family::v4, {.shape = {.payload = 1473}});
        test::channel_sweep sweep(*by, id);
        sweep.run(target, 50ms);
        CHECK(sweep.refused == 3);
        CHECK(sweep.last_refusal == EMSGSIZE);
    }
    CHECK(open(family::v4, {.shape = {.payload = 65507}})->capacity() > 1000);
    auto const by = open(family::v4, {.shape = {.payload = 1472}});
    test::channel_sweep sweep(*by, id);
    sweep.run(target, 500ms);
    CHECK(sweep.answered == 3);
    far.sh("ip link set near down");
    test::channel_sweep down(*by, id);
    down.run(target, 50ms);
    CHECK(down.answered == 0);
    CHECK(down.refused == 3);
    CHECK(down.last_refusal == ENETUNREACH);
    far.sh("ip link set near up");
    far.sh("ip route replace default via 10.99.0.2");
    test::channel_sweep up(*by, id); // the ring is in step with the kernel still
    up.run(target, 2s);
    CHECK(up.answered == 3);
}

TEST_CASE("replies that find the ring full are counted as dropped", "[icmp]") {
    behind_gateway far;
    auto const by = open(family::v4, {.receive_buffer = 1}); // the smallest ring
    auto const all = test::row("10.77.0.0", 8192);
    REQUIRE(by->capacity() < all.size());
    std::vector<parcel> out;
    for (auto const& target : all) {
        out.push_back({.number = out.size(), .target = target});
        out.back().bytes = write_echo(family::v4, id, 1, {});
    }
    int failure = 0;
    std::span<parcel const> rest(out);
    for (auto const until = clock::now() + 5s; !rest.empty() && clock::now() < until;)
        rest = rest.subspan(by->send(rest.first(std::min<std::size_t>(rest.size(), 64)), failure));
    REQUIRE(rest.empty());
    std::size_t got = 0;
    auto read = [&] {
        by->departures();
        for (bool more = true; more;) got += by->receive(more).size();
    };
    for (auto const until = clock::now() + 1s; clock::now() < until;) read();
    CHECK(got + by->drops() >= all.size());
}
