#include "icmp/namespaces.hpp"
#include "icmp/route.hpp"
#include "test.hpp"

#include <cerrno>
#include <cstring>

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>

using namespace trawl;
using namespace trawl::icmp::detail;

namespace {

host address(std::string const& text) {
    auto const slash = text.find('/');
    return host(asio::ip::make_address(text.substr(0, slash)));
}

/// "10.0.0.0/8"
route_dump::route route_to(std::string const& prefix, std::uint32_t interface) {
    auto const length = std::stoul(prefix.substr(prefix.find('/') + 1));
    return {.prefix = address(prefix),
            .length = static_cast<std::uint8_t>(length),
            .usable = true,
            .interface = interface};
}

/// Two Ethernet links, 1 and 2, with an address each.
route_dump two_links() {
    route_dump dump;
    for (std::uint32_t i : {1u, 2u}) {
        auto const n = std::to_string(i);
        dump.links.push_back({.interface = i,
                              .mtu = 1500,
                              .address = {2, 0, 0, 0, 0, static_cast<std::uint8_t>(i)},
                              .ethernet = true});
        dump.addresses.push_back({i, address("10." + n + ".0.1"), 16, false});
        dump.addresses.push_back({i, address("fd00:" + n + "::1"), 64, false});
        dump.addresses.push_back({i, address("fe80::" + n), 64, false});
    }
    return dump;
}

std::uint32_t interface_of(routes const& r, std::string const& target) {
    auto const* found = r.lookup(address(target));
    return found ? found->interface : 0;
}

/// Builds netlink messages as the kernel does.
struct netlink_body {
    std::vector<std::uint8_t> bytes;

    template <class T>
    netlink_body& put(T const& value) {
        auto const at = bytes.size();
        bytes.resize(at + ((sizeof value + 3) & ~std::size_t{3}));
        std::memcpy(&bytes[at], &value, sizeof value);
        return *this;
    }
    template <class Value>
    netlink_body& attribute(unsigned short type, Value const& value) {
        put(rtattr{static_cast<unsigned short>(sizeof(rtattr) + std::size(value)), type});
        bytes.insert(bytes.end(), std::begin(value), std::end(value));
        bytes.resize((bytes.size() + 3) & ~std::size_t{3});
        return *this;
    }
    netlink_body& number(unsigned short type, std::uint32_t value) {
        std::array<std::uint8_t, 4> raw;
        std::memcpy(raw.data(), &value, sizeof value);
        return attribute(type, raw);
    }
};

std::vector<std::uint8_t> wrapped(std::uint16_t type, netlink_body const& body,
                                  std::uint16_t flags = 0) {
    netlink_body whole;
    whole.put(nlmsghdr{static_cast<std::uint32_t>(sizeof(nlmsghdr) + body.bytes.size()), type,
                       flags, 1, 1});
    whole.bytes.insert(whole.bytes.end(), body.bytes.begin(), body.bytes.end());
    return whole.bytes;
}

netlink_body route_message() {
    rtmsg head{};
    head.rtm_family = AF_INET, head.rtm_dst_len = 16, head.rtm_type = RTN_UNICAST;
    head.rtm_table = RT_TABLE_MAIN;
    netlink_body m;
    m.put(head).number(RTA_TABLE, RT_TABLE_MAIN).number(RTA_OIF, 7).number(RTA_PRIORITY, 100);
    m.attribute(RTA_DST, std::array<std::uint8_t, 4>{10, 66, 0, 0});
    m.attribute(RTA_GATEWAY, std::array<std::uint8_t, 4>{10, 1, 0, 9});
    m.attribute(RTA_PREFSRC, std::array<std::uint8_t, 4>{10, 1, 0, 1});
    return m;
}

netlink_body link_message() {
    ifinfomsg head{};
    head.ifi_type = ARPHRD_ETHER, head.ifi_index = 7, head.ifi_flags = IFF_UP;
    netlink_body m;
    return m.put(head)
        .number(IFLA_MTU, 1400)
        .attribute(IFLA_ADDRESS, std::array<std::uint8_t, 6>{2, 0, 0, 0, 0, 7});
}

netlink_body address_message() {
    ifaddrmsg head{};
    head.ifa_family = AF_INET, head.ifa_prefixlen = 16, head.ifa_index = 7;
    netlink_body m;
    return m.put(head).attribute(IFA_LOCAL, std::array<std::uint8_t, 4>{10, 1, 0, 1});
}

} // namespace

TEST_CASE("the longest prefix wins, whatever is nested in what", "[icmp]") {
    auto dump = two_links();
    for (auto text : {"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.255.0/24",
                      "10.1.255.255/32", "255.0.0.0/8"})
        dump.routes.push_back(route_to(text, 1));
    for (auto text : {"10.1.2.128/25", "10.1.0.0/24", "10.255.0.0/16", "11.0.0.0/8"})
        dump.routes.push_back(route_to(text, 2));
    routes const r(dump);
    // Against a search of all of them, around every edge.
    std::vector<std::uint32_t> probes;
    for (auto const& one : dump.routes) {
        auto const first = one.prefix.address().to_v4().to_uint();
        auto const last = first | (one.length == 32 ? 0 : 0xffffffffu >> one.length);
        for (auto edge : {first, last})
            for (int d = -1; d <= 1; ++d) probes.push_back(edge + static_cast<std::uint32_t>(d));
    }
    for (auto const value : probes) {
        asio::ip::address_v4 const target(value);
        if (value >> 28 >= 14) continue; // never anyone's way
        route_dump::route const* best = nullptr;
        for (auto const& one : dump.routes) {
            auto const prefix = one.prefix.address().to_v4().to_uint();
            auto const mask = one.length == 0 ? 0 : 0xffffffffu << (32 - one.length);
            if ((value & mask) == prefix && (!best || one.length > best->length)) best = &one;
        }
        CAPTURE(target.to_string());
        REQUIRE(best);
        CHECK(interface_of(r, target.to_string()) == best->interface);
    }
}

TEST_CASE("a way names next hop, source and link", "[icmp]") {
    auto dump = two_links();
    dump.routes = {route_to("10.1.0.0/16", 1), route_to("0.0.0.0/0", 2),
                   route_to("fd00:1::/64", 1)};
    dump.routes[1].gateway = address("10.2.0.9");
    dump.routes[1].mtu = 1280;
    routes const r(dump);
    auto const* link = r.lookup(address("10.1.3.4"));
    REQUIRE(link);
    CHECK(link->on_link);
    CHECK(link->next_hop(address("10.1.3.4")) == address("10.1.3.4"));
    CHECK(link->source == address("10.1.0.1"));
    CHECK(link->link == mac{2, 0, 0, 0, 0, 1});
    CHECK(link->mtu == 1500);
    CHECK(link->ethernet);
    auto const* out = r.lookup(address("192.0.2.1"));
    REQUIRE(out);
    CHECK_FALSE(out->on_link);
    CHECK(out->next_hop(address("192.0.2.1")) == address("10.2.0.9"));
    CHECK(out->source == address("10.2.0.1"));
    CHECK(out->mtu == 1280);
    auto const* six = r.lookup(address("fd00:1::77"));
    REQUIRE(six);
    CHECK(six->source == address("fd00:1::1"));
}

TEST_CASE("a link-local address goes by the link of its scope", "[icmp]") {
    routes const r(two_links());
    auto target = address("fe80::99");
    CHECK(r.lookup(target) == nullptr); // not told which
    target.scope = 2;
    auto const* by = r.lookup(target);
    REQUIRE(by);
    CHECK(by->interface == 2);
    CHECK(by->source == address("fe80::2"));
}

TEST_CASE("what only the kernel can tell has no way", "[icmp]") {
    auto dump = two_links();
    dump.routes = {route_to("0.0.0.0/0", 1), route_to("10.1.0.1/32", 1), route_to("10.9.0.0/16", 1),
                   route_to("10.8.0.0/16", 3)};
    dump.routes[1].local = true;
    dump.routes[2].usable = false;
    {
        routes const r(dump);
        CHECK(interface_of(r, "192.0.2.1") == 1);
        CHECK(interface_of(r, "10.1.0.1") == 0);        // our own
        CHECK(interface_of(r, "10.9.1.1") == 0);        // unreachable, several gateways
        CHECK(interface_of(r, "10.8.1.1") == 0);        // by an interface that was not told
        CHECK(interface_of(r, "224.0.0.1") == 0);       // multicast
        CHECK(interface_of(r, "255.255.255.255") == 0); // broadcast
        CHECK(interface_of(r, "fd00:1::5") == 0);       // no route
    }
    dump.policy_v4 = true;
    CHECK(interface_of(routes(dump), "192.0.2.1") == 0);
}

TEST_CASE("of equal prefixes the lowest metric wins, of equal metrics the kernel chooses",
          "[icmp]") {
    auto dump = two_links();
    dump.routes = {route_to("fd00:9::/64", 1), route_to("fd00:9::/64", 2)};
    dump.routes[0].metric = 10, dump.routes[1].metric = 5;
    CHECK(interface_of(routes(dump), "fd00:9::1") == 2);
    dump.routes[0].metric = 5;
    CHECK(interface_of(routes(dump), "fd00:9::1") == 0);
}

TEST_CASE("netlink messages are read", "[icmp]") {
    route_dump dump;
    int failure = 0;
    CHECK(read_netlink(wrapped(RTM_NEWLINK, link_message()), dump, failure) == dump_state::more);
    CHECK(read_netlink(wrapped(RTM_NEWADDR, address_message()), dump, failure) == dump_state::more);
    CHECK(read_netlink(wrapped(RTM_NEWROUTE, route_message()), dump, failure) == dump_state::more);
    REQUIRE((dump.links.size() == 1 && dump.addresses.size() == 1 && dump.routes.size() == 1));
    CHECK((dump.links[0].ethernet && dump.links[0].interface == 7 && dump.links[0].mtu == 1400));
    CHECK(dump.addresses[0].own == address("10.1.0.1"));
    auto const& r = dump.routes[0];
    CHECK((r.usable && !r.local && r.interface == 7 && r.metric == 100 && r.length == 16));
    CHECK(r.prefix == address("10.66.0.0"));
    CHECK(r.gateway == address("10.1.0.9"));
    CHECK(r.source == address("10.1.0.1"));
}

TEST_CASE("the end, the errors and the interruption of a dump are told", "[icmp]") {
    route_dump dump;
    int failure = 0;
    netlink_body nothing, denied;
    nothing.put(0);
    nlmsgerr refused{};
    refused.error = -EPERM;
    denied.put(refused);
    CHECK(read_netlink(wrapped(NLMSG_DONE, nothing), dump, failure) == dump_state::done);
    CHECK(read_netlink(wrapped(NLMSG_DONE, nothing, NLM_F_DUMP_INTR), dump, failure) ==
          dump_state::interrupted);
    CHECK(read_netlink(wrapped(NLMSG_ERROR, denied), dump, failure) == dump_state::failed);
    CHECK(failure == EPERM);
}

TEST_CASE("a netlink message cut anywhere is refused, never read beyond its end", "[icmp]") {
    for (auto const& [type, body] :
         {std::pair(RTM_NEWLINK, link_message()), std::pair(RTM_NEWADDR, address_message()),
          std::pair(RTM_NEWROUTE, route_message())}) {
        auto const whole = wrapped(static_cast<std::uint16_t>(type), body);
        for (std::size_t length = 1; length < whole.size(); ++length) {
            // In a buffer of its own, so that the sanitizer sees every step too far.
            std::vector<std::uint8_t> const part(
                whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
            route_dump dump;
            int failure = 0;
            CAPTURE(type, length);
            CHECK(read_netlink(part, dump, failure) == dump_state::failed);
            CHECK(failure == EBADMSG);
            // The same with a header that tells the length that is there.
            if (length < sizeof(nlmsghdr)) continue;
            auto shorter = part;
            auto const told = static_cast<std::uint32_t>(length);
            std::memcpy(shorter.data(), &told, sizeof told);
            read_netlink(shorter, dump, failure);
        }
        for (std::size_t at = 0; at < whole.size(); ++at) // lengths that lie
            for (auto value : {0, 1, 3, 255}) {
                auto broken = whole;
                broken[at] = static_cast<std::uint8_t>(value);
                route_dump dump;
                int failure = 0;
                read_netlink(broken, dump, failure);
            }
    }
}

TEST_CASE("the kernel's own tables are read", "[icmp]") {
    test::far_network far;
    std::error_code failure;
    auto const r = routes::read(failure);
    REQUIRE(r);
    auto const index = ::if_nametoindex("near");
    for (auto const& [target, gateway, source] :
         {std::array{"198.51.100.1", "10.99.0.2", "10.99.0.1"},
          std::array{"fd00:1234::1", "fd00:99::2", "fd00:99::1"}}) {
        auto const* by = r->lookup(address(target));
        REQUIRE(by);
        CHECK(by->interface == index);
        CHECK_FALSE(by->on_link);
        CHECK(by->gateway == address(gateway));
        CHECK(by->source == address(source));
        CHECK(by->ethernet);
        CHECK(by->mtu == 1500);
    }
    for (auto target : {"10.99.0.77", "fd00:99::77"}) {
        auto const* by = r->lookup(address(target));
        REQUIRE(by);
        CHECK(by->on_link);
    }
    for (auto target : {"10.99.0.1", "127.0.0.1", "10.99.0.255", "::1", "fd00:99::1", "ff02::1"})
        CHECK(r->lookup(address(target)) == nullptr);
}

TEST_CASE("rules for other tables leave everything to the kernel", "[icmp]") {
    test::far_network far;
    far.sh("ip rule add fwmark 7 table 100");
    std::error_code failure;
    auto const r = routes::read(failure);
    REQUIRE(r);
    CHECK(r->lookup(address("198.51.100.1")) == nullptr);
    CHECK(r->lookup(address("fd00:1234::1")) != nullptr);
}
