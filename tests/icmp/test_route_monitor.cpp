#include "icmp/channel_sweep.hpp"
#include "icmp/namespaces.hpp"
#include "icmp/neighbour.hpp"
#include "icmp/on_link.hpp"
#include "icmp/packet_ring.hpp"
#include "icmp/route_monitor.hpp"
#include "test.hpp"

#include <cerrno>

#include <net/if.h>

using namespace trawl;
using namespace trawl::icmp::detail;
using namespace std::chrono_literals;

namespace {

constexpr std::uint16_t id = 0x7a13;

host address(std::string const& text) { return host(asio::ip::make_address(text)); }

/// A monitor, and a clock on which it may always read.
struct monitored {
    std::shared_ptr<route_monitor> monitor;
    time_point now = clock::now();

    monitored() {
        std::error_code failure;
        monitor = route_monitor::open(failure);
        REQUIRE(monitor);
    }
    std::shared_ptr<routes const> latest() { return monitor->latest(now += 1min); }
};

/// Both kinds of channel that send frames.
std::unique_ptr<channel> open(bool rings) {
    std::error_code failure;
    auto raw = test::raw_channel(family::v4, id);
    auto by = route_monitor::open(failure);
    REQUIRE(by);
    std::unique_ptr<channel> made;
    if (rings)
        made = packet_ring_channel::open(family::v4, id, raw, by, {}, failure);
    else
        made = neighbour_channel::open(family::v4, raw, by, {.few = 0}, failure);
    REQUIRE(made);
    return made;
}

/// Past the time in which routes are not read again.
void let_pause_pass() { ::usleep(110'000); }

} // namespace

TEST_CASE("routes are those that the kernel has now", "[icmp]") {
    test::far_network far;
    monitored by;
    auto const first = by.latest();
    auto const target = address("198.51.100.1"), six = address("fd00:1234::1");
    REQUIRE((first->lookup(target) && first->lookup(six)));
    CHECK(first->lookup(target)->gateway == address("10.99.0.2"));
    far.sh("ip route add 198.51.100.0/24 via 10.99.0.77");
    CHECK(by.latest()->lookup(target)->gateway == address("10.99.0.77"));
    far.sh("ip route del 198.51.100.0/24 && ip -6 route del default");
    CHECK(by.latest()->lookup(target)->gateway == address("10.99.0.2"));
    CHECK(by.latest()->lookup(six) == nullptr);
    far.sh("ip rule add fwmark 7 table 100");
    CHECK(by.latest()->lookup(target) == nullptr);
    far.sh("ip rule del fwmark 7 table 100 && ip link set near mtu 1400");
    CHECK(by.latest()->lookup(target)->mtu == 1400);
    far.sh("ip addr del 10.99.0.1/24 dev near && ip addr add 10.99.0.9/24 dev near");
    far.sh("ip route replace default via 10.99.0.2");
    CHECK(by.latest()->lookup(target)->source == address("10.99.0.9"));
    far.sh("ip link del near");
    CHECK(by.latest()->lookup(target) == nullptr);
    CHECK(first->lookup(target)->gateway == address("10.99.0.2")); // a snapshot stays what it was
}

TEST_CASE("routes are the same object until something changes that matters", "[icmp]") {
    test::far_network far;
    monitored by;
    auto const first = by.latest();
    CHECK(by.latest() == first);
    far.sh("ip link set near alias uplink");
    far.sh("ip route add 198.51.100.0/24 via 10.99.0.2 && ip route del 198.51.100.0/24");
    far.sh("ip route add 198.51.100.0/24 via 10.99.0.2 table 77");
    CHECK(by.latest() == first);
}

TEST_CASE("routes that change all the time are not read all the time", "[icmp]") {
    test::far_network far;
    std::error_code failure;
    auto const by = route_monitor::open(failure);
    REQUIRE(by);
    auto const target = address("198.51.100.1");
    auto const mtu = [&](time_point when) { return by->latest(when)->lookup(target)->mtu; };
    auto const began = clock::now();
    far.sh("ip link set near mtu 1400");
    CHECK(mtu(began + 1s) == 1400);
    far.sh("ip link set near mtu 1300");
    CHECK(mtu(began + 1s + 50ms) == 1400);
    CHECK(mtu(began + 1min) == 1300);
}

TEST_CASE("more changes than the kernel keeps are not overlooked", "[icmp]") {
    test::far_network far;
    monitored by;
    far.sh(
        "seq 0 2999 | awk '{printf \"route add 172.16.%d.%d/32 via 10.99.0.2\\n\", $1/256, $1%256}'"
        " | ip -batch -");
    far.sh("ip route add 198.51.100.0/24 via 10.99.0.77");
    auto const now = by.latest();
    CHECK(now->lookup(address("198.51.100.1"))->gateway == address("10.99.0.77"));
    CHECK(by.latest() == now);
}

TEST_CASE("frames go where the kernel's packets would by now", "[icmp]") {
    bool const rings = GENERATE(false, true);
    CAPTURE(rings);
    test::on_link_network link;
    link.answer_for("10.66.16.0/24");
    auto const by = open(rings);
    auto const targets = test::row("10.66.16.1", 3);
    auto const ask = [&] {
        let_pause_pass();
        test::channel_sweep sweep(*by, id);
        sweep.run(targets, sweep.took + 300ms);
        return sweep;
    };
    CHECK(ask().answered == 3);

    link.sh("ip route add unreachable 10.66.16.0/24"); // frames would pass by it
    auto const forbidden = ask();
    CHECK(forbidden.answered == 0);
    CHECK((forbidden.refused == 3 && forbidden.last_refusal == EHOSTUNREACH));

    link.sh("ip route replace 10.66.16.0/24 via 10.64.0.2");
    CHECK(ask().answered == 3);

    link.sh("ip route del 10.66.16.0/24 && ip link set near down");
    auto const down = ask();
    CHECK(down.answered == 0);
    CHECK((down.refused == 3 && down.last_refusal == ENETUNREACH));
    link.sh("ip link set near up");
    CHECK(ask().answered == 3);

    link.sh("ip link del near");
    CHECK(ask().refused == 3);
    auto const before = ::if_nametoindex("near");
    link.connect(); // of another index and another link address
    CHECK(::if_nametoindex("near") != before);
    auto const anew = ask();
    CHECK(anew.answered == 3);
    CHECK(anew.departed == 3); // asked anew
}

TEST_CASE("what does not change the routes leaves the neighbours known", "[icmp]") {
    test::on_link_network link;
    link.answer_for("10.66.16.0/24");
    auto const by = open(false);
    auto const targets = test::row("10.66.16.1", 3);
    test::channel_sweep first(*by, id);
    first.run(targets, 300ms);
    CHECK(first.departed == 3);
    link.sh("ip link set near alias uplink");
    let_pause_pass();
    test::channel_sweep second(*by, id);
    second.run(targets, 300ms);
    CHECK(second.answered == 3);
    CHECK(second.departed == 0);
}

TEST_CASE("echoes that wait for an address while the routes change count as lost here", "[icmp]") {
    test::on_link_network link; // nobody answers
    auto const by = open(false);
    test::channel_sweep sweep(*by, id);
    sweep.run(test::row("10.66.16.1", 5), 20ms);
    CHECK(by->drops() == 0);
    link.sh("ip addr add 10.70.0.1/24 dev near");
    let_pause_pass();
    by->departures();
    CHECK(by->drops() == 5);
    CHECK(by->next_wake() == time_point::max());
}
