#include "icmp/frame.hpp"
#include "test.hpp"

#include <algorithm>

using namespace trawl::icmp::detail;

namespace {

host address(char const* text) { return host(asio::ip::make_address(text)); }

mac const near{2, 0, 0, 0, 0, 1}, far{2, 0, 0, 0, 0, 2};
host const near_v4 = address("10.0.0.1"), far_v4 = address("10.0.0.2");
host const near_v6 = address("fd00::1"), far_v6 = address("fd00::12:3456");

using octets = std::vector<std::uint8_t>;

octets question(host const& from, host const& about) {
    octets frame(neighbour_frame);
    frame.resize(write_question(near, from, about, frame));
    return frame;
}

octets answer(host const& from, host const& about) {
    neighbour_message const asked{.about = about, .link = near, .source = from};
    octets frame(neighbour_frame);
    frame.resize(write_answer(far, asked, frame));
    return frame;
}

octets cut(octets const& whole, std::size_t length) {
    return {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)};
}

octets slice(octets const& whole, std::size_t from, std::size_t length) {
    auto const begin = whole.begin() + static_cast<std::ptrdiff_t>(from);
    return {begin, begin + static_cast<std::ptrdiff_t>(length)};
}

/// Sets the checksum of the ICMPv6 message in an Ethernet frame anew.
void repair(octets& frame) {
    frame[14 + 42] = frame[14 + 43] = 0;
    auto const ip = parse_ipv6(bytes(frame).subspan(14));
    auto const sum = checksum_v6(ip->source, ip->destination, ip->payload);
    frame[14 + 42] = static_cast<std::uint8_t>(sum >> 8);
    frame[14 + 43] = static_cast<std::uint8_t>(sum & 0xff);
}

parcel echo_to(host const& target) {
    parcel p{.number = 1, .target = target};
    p.bytes = write_echo(target.family, 0x1234, 0xabcd, {.cookie = 1, .number = 2, .sent = 4});
    return p;
}

octets echo_frame(parcel const& p, echo_shape const& shape) {
    octets frame(shape.frame_size(p.target.family) + 7, 0xee);
    auto const& from = p.target.family == family::v4 ? near_v4 : near_v6;
    frame.resize(write_echo_frame(near, far, from, p, shape, 0x4321, frame));
    return frame;
}

} // namespace

TEST_CASE("an ARP request has the layout of RFC 826", "[icmp]") {
    CHECK(question(near_v4, far_v4) == octets{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,    0, 0, 0, 0,
                                              1,    0x08, 0x06, 0,    1,    0x08, 0x00, 6, 4, 0, 1,
                                              2,    0,    0,    0,    0,    1,    10,   0, 0, 1, 0,
                                              0,    0,    0,    0,    0,    10,   0,    0, 2});
}

TEST_CASE("a neighbour solicitation goes to the solicited-node group with hop limit 255",
          "[icmp]") {
    auto const frame = question(near_v6, far_v6);
    REQUIRE(frame.size() == 14 + 40 + 32);
    CHECK(slice(frame, 0, 6) == octets{0x33, 0x33, 0xff, 0x12, 0x34, 0x56});
    auto const ip = parse_ipv6(bytes(frame).subspan(14));
    REQUIRE(ip);
    CHECK(ip->destination == address("ff02::1:ff12:3456"));
    CHECK(ip->source == near_v6);
    CHECK(ip->hops_left == 255);
    CHECK(ip->payload[0] == 135);
    CHECK(checksum_v6(ip->source, ip->destination, ip->payload) == 0);
    CHECK(slice(frame, 14 + 40 + 24, 8) == octets{1, 1, 2, 0, 0, 0, 0, 1}); // source link-layer
}

TEST_CASE("the ICMPv6 checksum covers the pseudo-header", "[icmp]") {
    // A neighbour solicitation of fe80::1 for fe80::2, computed by hand (RFC 4443 §2.3).
    octets const message{135, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0x80, 0, 0,
                         0,   0, 0, 0, 0, 0, 0, 0, 0,    0,    0, 2};
    auto const from = address("fe80::1"), to = address("ff02::1:ff00:2");
    std::uint32_t sum = 0xfe80 + 1 + 0xff02 + 1 + 0xff00 + 2 + 24 + 58 + 0x8700 + 0xfe80 + 2;
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    CHECK(checksum_v6(from, to, message) == static_cast<std::uint16_t>(~sum));
}

TEST_CASE("questions and answers are read back, padded frames too", "[icmp]") {
    for (auto const& [from, about] : {std::pair(near_v4, far_v4), std::pair(near_v6, far_v6)}) {
        auto frame = question(from, about);
        frame.resize(std::max<std::size_t>(frame.size(), 60)); // the minimum of Ethernet
        auto const asked = parse_neighbour(frame);
        REQUIRE(asked);
        CHECK_FALSE(asked->answer);
        CHECK(asked->about == about);
        CHECK(asked->link == near);
        CHECK(asked->source == from);

        frame = answer(from, about);
        frame.resize(std::max<std::size_t>(frame.size(), 60));
        auto const told = parse_neighbour(frame);
        REQUIRE(told);
        CHECK(told->answer);
        CHECK(told->about == about);
        CHECK(told->link == far);
        CHECK(told->source == about);
        CHECK(told->to == from);
    }
}

TEST_CASE("every truncated neighbour message is ignored", "[icmp]") {
    for (auto const& whole : {question(near_v4, far_v4), answer(near_v4, far_v4),
                              question(near_v6, far_v6), answer(near_v6, far_v6)})
        for (std::size_t length = 0; length < whole.size(); ++length) {
            CAPTURE(length, whole.size());
            CHECK_FALSE(parse_neighbour(cut(whole, length)));
        }
}

TEST_CASE("an ARP message of another kind is ignored", "[icmp]") {
    auto const whole = answer(near_v4, far_v4);
    // Ethertype, hardware, protocol, lengths, operation: each value but the right one.
    for (std::size_t at : {12u, 13u, 14u, 15u, 16u, 17u, 18u, 19u, 20u, 21u})
        for (unsigned value = 0; value < 256; ++value) {
            auto broken = whole;
            broken[at] = static_cast<std::uint8_t>(value);
            bool const request = at == 21 && value == 1;
            CAPTURE(at, value);
            REQUIRE(parse_neighbour(broken).has_value() == (request || value == whole[at]));
        }
    auto group = whole;
    group[14 + 8] |= 1; // a multicast Ethernet address is nobody's
    CHECK_FALSE(parse_neighbour(group));
    group = whole;
    group[14 + 14] = 239;
    CHECK_FALSE(parse_neighbour(group));
}

TEST_CASE("a neighbour advertisement with any bit flipped is ignored", "[icmp]") {
    auto const whole = answer(near_v6, far_v6);
    for (std::size_t bit = 12 * 8; bit < whole.size() * 8; ++bit) {
        auto const at = bit / 8;
        bool const unread = at == 15 || at == 16 || at == 17 || (at == 14 && bit % 8 < 4);
        if (unread) continue; // traffic class and flow label
        auto broken = whole;
        broken[at] ^= static_cast<std::uint8_t>(1u << bit % 8);
        CAPTURE(at, bit);
        CHECK_FALSE(parse_neighbour(broken));
    }
}

TEST_CASE("an advertisement must keep the rules of RFC 4861", "[icmp]") {
    auto const whole = answer(near_v6, far_v6);
    auto with = [&](auto change) {
        auto frame = whole;
        change(frame);
        repair(frame);
        return parse_neighbour(frame).has_value();
    };
    CHECK(with([](octets&) {}));
    CHECK_FALSE(with([](octets& f) { f[14 + 7] = 254; }));            // came through a router
    CHECK_FALSE(with([](octets& f) { f[14 + 41] = 1; }));             // code
    CHECK_FALSE(with([](octets& f) { f[14 + 40 + 8] = 0xff; }));      // the target is a group
    CHECK_FALSE(with([](octets& f) { f[14 + 24] = 0xff; }));          // solicited, but to a group
    CHECK_FALSE(with([](octets& f) { f[14 + 40 + 24] = 1; }));        // not the target's address
    CHECK_FALSE(with([](octets& f) { f[14 + 40 + 25] = 0; }));        // option of no length
    CHECK_FALSE(with([](octets& f) { f[14 + 40 + 25] = 2; }));        // option longer than it all
    CHECK_FALSE(with([](octets& f) { f[14 + 40 + 26] = 1; }));        // a multicast station
    CHECK(with([](octets& f) { f[14 + 24] = 0xff, f[58] &= 0xbf; })); // unsolicited to a group
    // Another option before ours: its length leads over it.
    CHECK(with([](octets& f) {
        octets const nonce{14, 1, 1, 2, 3, 4, 5, 6};
        f.insert(f.begin() + 14 + 40 + 24, nonce.begin(), nonce.end());
        f[14 + 5] = 40;
    }));
}

TEST_CASE("an IPv4 echo frame has a header and checksums that verify", "[icmp]") {
    auto p = echo_to(far_v4);
    auto const frame =
        echo_frame(p, {.hop_limit = 64, .traffic_class = 0x20, .dont_fragment = true});
    REQUIRE(frame.size() == 14 + 20 + echo_size);
    CHECK(slice(frame, 0, 14) == octets{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0});
    CHECK(checksum(bytes(frame).subspan(14, 20)) == 0);
    CHECK(slice(frame, 14, 10) == octets{0x45, 0x20, 0, 52, 0x43, 0x21, 0x40, 0, 64, 1});
    auto const ip = parse_ipv4(bytes(frame).subspan(14));
    REQUIRE(ip);
    CHECK(ip->source == near_v4);
    CHECK(ip->destination == far_v4);
    CHECK(std::ranges::equal(ip->payload, p.bytes));
    p.hop_limit = 3;
    CHECK(echo_frame(p, {})[14 + 8] == 3);
}

TEST_CASE("an IPv6 echo frame has a checksum over its addresses", "[icmp]") {
    auto const p = echo_to(far_v6);
    auto const frame = echo_frame(p, {.hop_limit = 9, .traffic_class = 0xb8});
    REQUIRE(frame.size() == 14 + 40 + echo_size);
    CHECK(slice(frame, 12, 6) == octets{0x86, 0xdd, 0x6b, 0x80, 0, 0});
    auto const ip = parse_ipv6(bytes(frame).subspan(14));
    REQUIRE(ip);
    CHECK(ip->source == near_v6);
    CHECK(ip->destination == far_v6);
    CHECK(ip->hops_left == 9);
    CHECK(checksum_v6(ip->source, ip->destination, ip->payload) == 0);
    CHECK(std::ranges::equal(ip->payload.subspan(4), bytes(p.bytes).subspan(4)));
}

TEST_CASE("the payload of an echo is cut, padded and filled", "[icmp]") {
    for (auto const& target : {far_v4, far_v6})
        for (std::size_t payload = 0; payload < 80; ++payload) {
            CAPTURE(payload);
            octets const padding(20, 0xaa);
            auto const p = echo_to(target);
            auto const frame = echo_frame(p, {.payload = payload, .padding = padding});
            bool const v4 = target.family == family::v4;
            auto const message = slice(frame, v4 ? 34u : 54u, 8 + payload);
            CHECK(frame.size() == (v4 ? 34 : 54) + message.size());
            CHECK((v4 ? checksum(message) : checksum_v6(near_v6, far_v6, message)) == 0);
            for (std::size_t i = 4; i < message.size(); ++i)
                REQUIRE(message[i] == (i < 32 ? p.bytes[i] : i < 52 ? 0xaa : 0));
        }
}

TEST_CASE("a truncated IPv6 packet, or one that is not ICMPv6, is refused", "[icmp]") {
    auto const frame = echo_frame(echo_to(far_v6), {});
    auto const whole = slice(frame, 14, frame.size() - 14);
    for (std::size_t length = 0; length < whole.size(); ++length)
        CHECK_FALSE(parse_ipv6(cut(whole, length)));
    for (std::size_t at : {0u, 6u}) {
        auto broken = whole;
        broken[at] ^= 0x10;
        CHECK_FALSE(parse_ipv6(broken));
    }
    auto longer = whole;
    longer.resize(longer.size() + 6); // padding of the link
    REQUIRE(parse_ipv6(longer));
    CHECK(parse_ipv6(longer)->payload.size() == echo_size);
}
