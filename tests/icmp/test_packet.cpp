#include "icmp/pretend_kernel.hpp"
#include "icmp/siphash.hpp"
#include "test.hpp"

using namespace trawl::test;

namespace {

proof const sample{.cookie = 0x0123456789abcdef, .number = 0x7fffffffe, .sent = 1ull << 40};
host const target_v4 = address("192.0.2.7"), target_v6 = address("2001:db8::7");

bool is_our_reply(message const& m) {
    return m.kind == kind::reply && m.id == 0x1234 && m.sequence == 0xabcd && m.proof == sample;
}

} // namespace

TEST_CASE("SipHash-1-3 gives the values of other implementations", "[icmp]") {
    // Input 00, 01, 02, ...: with key 00..0f the first vector of Rust's core library, with key 0 what
    // CPython's hash(bytes(range(n))) answers under PYTHONHASHSEED=0.
    using words = std::uint64_t;
    std::array<words, 4> const input{0x0706050403020100, 0x0f0e0d0c0b0a0908, 0x1716151413121110,
                                     0x1f1e1d1c1b1a1918};
    CHECK(siphash({0x0706050403020100, 0x0f0e0d0c0b0a0908}, std::array<words, 0>{}) ==
          0xabac0158050fc4dc);
    CHECK(siphash({}, std::array<words, 1>{input[0]}) == 0xead411e67ebe2eea);
    CHECK(siphash({}, std::array<words, 3>{input[0], input[1], input[2]}) == 0x31185a47af932f3a);
    CHECK(siphash({}, input) == 0x31ef8061c910629b);
}

TEST_CASE("an echo request has the layout of RFC 792 and a checksum that verifies", "[icmp]") {
    auto const echo = write_echo(family::v4, 0x1234, 0xabcd, sample);
    CHECK(echo[0] == 8);
    CHECK(echo[1] == 0);
    CHECK(std::vector(echo.begin() + 4, echo.begin() + 8) ==
          std::vector<std::uint8_t>{0x12, 0x34, 0xab, 0xcd});
    CHECK(checksum(echo) == 0);
    CHECK(write_echo(family::v6, 1, 2, sample)[0] == 128);
}

TEST_CASE("the checksum is that of RFC 1071, odd lengths included", "[icmp]") {
    std::vector<std::uint8_t> const example{0x00, 0x01, 0xf2, 0x03,
                                            0xf4, 0xf5, 0xf6, 0xf7}; // RFC 1071 §3
    CHECK(checksum(example) == static_cast<std::uint16_t>(~0xddf2));
    CHECK(checksum(bytes(example).first(7)) == static_cast<std::uint16_t>(~0xdcfb));
    CHECK(checksum({}) == 0xffff);
}

TEST_CASE("a reply is read back", "[icmp]") {
    for (auto f : {family::v4, family::v6})
        CHECK(is_our_reply(parse(f, reply_to(write_echo(f, 0x1234, 0xabcd, sample)))));
}

TEST_CASE("an IPv4 reply with any bit flipped is malformed", "[icmp]") {
    auto const whole = reply_to(write_echo(family::v4, 0x1234, 0xabcd, sample));
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
        auto broken = whole;
        broken[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
        CAPTURE(bit);
        CHECK(parse(family::v4, broken).kind == kind::malformed);
    }
}

TEST_CASE("an IPv6 reply with any byte changed is not taken for the original", "[icmp]") {
    auto const whole = reply_to(write_echo(family::v6, 0x1234, 0xabcd, sample));
    for (std::size_t at = 0; at < whole.size(); ++at)
        for (unsigned change = 1; change < 256; ++change) {
            auto broken = whole;
            broken[at] ^= static_cast<std::uint8_t>(change);
            bool const in_checksum = at == 2 || at == 3; // verified by the kernel
            REQUIRE(is_our_reply(parse(family::v6, broken)) == in_checksum);
        }
}

TEST_CASE("a truncated message never yields a proof", "[icmp]") {
    for (auto f : {family::v4, family::v6}) {
        auto const whole = reply_to(write_echo(f, 0x1234, 0xabcd, sample));
        for (std::size_t length = 0; length < whole.size(); ++length) {
            std::vector<std::uint8_t> cut(whole.begin(),
                                          whole.begin() + static_cast<std::ptrdiff_t>(length));
            if (f == family::v4 && length >= 8) put_checksum(cut);
            CAPTURE(length);
            auto const m = parse(f, cut);
            CHECK_FALSE(m.proof);
            CHECK(m.kind == (length < 8 ? kind::malformed : kind::reply));
        }
    }
}

TEST_CASE("an error is mapped to the echo that it quotes", "[icmp]") {
    struct {
        host target;
        std::uint8_t type, code;
        kind means;
    } const cases[] = {
        {target_v4, 3, 0, kind::unreachable},    {target_v4, 3, 1, kind::unreachable},
        {target_v4, 3, 13, kind::unreachable},   {target_v4, 3, 4, kind::too_big},
        {target_v4, 11, 0, kind::hops_exceeded}, {target_v4, 12, 0, kind::bad_header},
        {target_v6, 1, 0, kind::unreachable},    {target_v6, 1, 3, kind::unreachable},
        {target_v6, 2, 0, kind::too_big},        {target_v6, 3, 0, kind::hops_exceeded},
        {target_v6, 4, 1, kind::bad_header},
    };
    for (auto const& c : cases) {
        CAPTURE(c.type, c.code);
        auto const f = c.target.family;
        auto const echo = write_echo(f, 0x1234, 0xabcd, sample);
        auto const m = parse(f, error_about(echo, c.target, c.type, c.code));
        CHECK(m.kind == c.means);
        CHECK(m.id == 0x1234);
        CHECK(m.sequence == 0xabcd);
        CHECK(m.destination == c.target);
        CHECK(m.proof == sample);
    }
}

TEST_CASE("an error that quotes 8 bytes, behind IP options too, gives address and sequence number",
          "[icmp]") {
    auto const echo = write_echo(family::v4, 0x1234, 0xabcd, sample);
    for (std::size_t options : {0u, 4u, 40u}) {
        auto const m = parse(family::v4, error_about(echo, target_v4, 3, 1, 8, options));
        CHECK(m.kind == kind::unreachable);
        CHECK(m.sequence == 0xabcd);
        CHECK(m.destination == target_v4);
        CHECK_FALSE(m.proof);
    }
}

TEST_CASE("an error cut anywhere or with any byte changed is read without harm", "[icmp]") {
    for (auto const& target : {target_v4, target_v6}) {
        auto const f = target.family;
        std::uint8_t const type = f == family::v4 ? 3 : 1;
        auto const whole = error_about(write_echo(f, 0x1234, 0xabcd, sample), target, type, 1);
        std::size_t const needed = 8 + (f == family::v4 ? 20 : 40) + 8;
        for (std::size_t length = 0; length < whole.size(); ++length) {
            std::vector<std::uint8_t> cut(whole.begin(),
                                          whole.begin() + static_cast<std::ptrdiff_t>(length));
            if (f == family::v4 && length >= 8) put_checksum(cut);
            CAPTURE(length);
            CHECK((parse(f, cut).kind == kind::unreachable) == (length >= needed));
            CHECK_FALSE(parse(f, cut).proof);
        }
        for (std::size_t at = 0; at < whole.size(); ++at)
            for (unsigned change = 1; change < 256; ++change) {
                auto broken = whole;
                broken[at] ^= static_cast<std::uint8_t>(change);
                if (f == family::v4) put_checksum(broken);
                auto const m = parse(f, broken);
                bool const same =
                    m.kind == kind::unreachable && m.destination == target && m.proof == sample;
                // What the proof covers and where it went cannot change unnoticed.
                bool const covered = at >= needed ||
                                     (at >= 8 + 16 && at < 8 + 20 && f == family::v4) ||
                                     (at >= 8 + 24 && at < 8 + 40 && f == family::v6);
                REQUIRE_FALSE((same && covered));
            }
    }
}

TEST_CASE("messages that answer no echo request are told apart", "[icmp]") {
    auto const request = write_echo(family::v4, 1, 2, sample);
    CHECK(parse(family::v4, request).kind == kind::other);
    std::vector<std::uint8_t> redirect{5, 1, 0, 0, 0, 0, 0, 0};
    put_checksum(redirect);
    CHECK(parse(family::v4, redirect).kind == kind::other);
    CHECK(parse(family::v6, std::vector<std::uint8_t>{135, 0, 0, 0, 0, 0, 0, 0}).kind ==
          kind::other);
    // An error about a reply of ours, or about another protocol, is not about an echo request.
    auto const about_reply = error_about(reply_to(request), target_v4, 3, 1);
    CHECK(parse(family::v4, about_reply).kind == kind::other);
    auto about_udp = error_about(request, target_v4, 3, 3);
    about_udp[8 + 9] = 17;
    put_checksum(about_udp);
    CHECK(parse(family::v4, about_udp).kind == kind::malformed);
    auto later_fragment = error_about(request, target_v4, 3, 1);
    later_fragment[8 + 7] = 1;
    put_checksum(later_fragment);
    CHECK(parse(family::v4, later_fragment).kind == kind::malformed);
}

TEST_CASE("an IPv4 packet is unwrapped with the lengths it claims", "[icmp]") {
    auto const echo = write_echo(family::v4, 1, 2, sample);
    auto const error = error_about(echo, target_v4, 3, 1, echo_size, 8);
    std::vector<std::uint8_t> packet(error.begin() + 8, error.end()); // header with options, echo
    packet[12] = 198, packet[13] = 51, packet[14] = 100, packet[15] = 1;
    auto const read = parse_ipv4(packet);
    REQUIRE(read);
    CHECK(read->source == address("198.51.100.1"));
    CHECK(read->destination == target_v4);
    CHECK(read->hops_left == 1);
    CHECK(std::ranges::equal(read->payload, echo));
    for (std::size_t length = 0; length < packet.size(); ++length)
        CHECK_FALSE(parse_ipv4(bytes(packet).first(length)));
    auto padded = packet;
    padded.resize(packet.size() + 6); // Ethernet pads short frames
    REQUIRE(parse_ipv4(padded));
    CHECK(parse_ipv4(padded)->payload.size() == echo_size);
    auto short_header = packet;
    short_header[0] = 0x44;
    CHECK_FALSE(parse_ipv4(short_header));
}

TEST_CASE("addresses survive the way through the table", "[icmp]") {
    for (auto text : {"0.0.0.0", "255.255.255.255", "127.0.0.1", "::", "2001:db8::1", "fe80::1%7",
                      "::ffff:1.2.3.4"})
        CHECK(address(text).address() == asio::ip::make_address(text));
    CHECK_FALSE(address("::") == address("0.0.0.0"));
}
