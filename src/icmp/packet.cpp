#include "icmp/packet.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace trawl::icmp::detail {
namespace {

constexpr std::uint8_t protocol_icmp = 1, protocol_icmpv6 = 58;
constexpr std::size_t ipv4_header = 20, ipv6_header = 40;

template <class Integer>
void put(std::uint8_t* at, Integer value) noexcept {
    for (std::size_t i = sizeof value; i-- > 0; value = static_cast<Integer>(value >> 8))
        at[i] = static_cast<std::uint8_t>(value);
}

template <class Integer>
Integer read(bytes from, std::size_t at) noexcept {
    Integer value = 0;
    for (std::size_t i = 0; i < sizeof value; ++i)
        value = static_cast<Integer>(value << 8 | from[at + i]);
    return value;
}

std::uint8_t request_type(family f) noexcept { return f == family::v4 ? 8 : 128; }
std::uint8_t reply_type(family f) noexcept { return f == family::v4 ? 0 : 129; }

kind error_kind(family f, std::uint8_t type, std::uint8_t code) noexcept {
    if (f == family::v4) switch (type) {
        case 3: return code == 4 ? kind::too_big : kind::unreachable;
        case 11: return kind::hops_exceeded;
        case 12: return kind::bad_header;
        default: return kind::other;
        }
    switch (type) {
    case 1: return kind::unreachable;
    case 2: return kind::too_big;
    case 3: return kind::hops_exceeded;
    case 4: return kind::bad_header;
    default: return kind::other;
    }
}

// Identifier, sequence number and, when it is there, the proof of an echo request or reply.
void read_echo(bytes echo, message& into) noexcept {
    into.id = read<std::uint16_t>(echo, 4);
    into.sequence = read<std::uint16_t>(echo, 6);
    if (echo.size() < echo_size) return;
    into.proof = proof{.cookie = read<std::uint64_t>(echo, 8),
                       .number = read<std::uint64_t>(echo, 16),
                       .sent = read<std::uint64_t>(echo, 24)};
}

// The IP packet that an error quotes: its header and at least 8 bytes of what followed (RFC 792),
// or as much as fits into the minimum MTU (RFC 4443 §2.4 c). Its lengths describe the packet that
// was sent and not the piece that is here.
message parse_error(family f, bytes all) noexcept {
    auto const quoted = all.subspan(echo_header);
    std::size_t header = ipv6_header;
    bool ours = quoted.size() >= ipv4_header;
    if (!ours) return {};
    if (f == family::v4) {
        header = std::size_t{quoted[0] & 15u} * 4;
        bool const first_fragment = (read<std::uint16_t>(quoted, 6) & 0x1fff) == 0;
        ours = quoted[0] >> 4 == 4 && header >= ipv4_header && quoted[9] == protocol_icmp &&
               first_fragment;
    } else {
        ours = quoted.size() >= header && quoted[0] >> 4 == 6 && quoted[6] == protocol_icmpv6;
    }
    if (!ours || quoted.size() < header + echo_header) return {};
    auto found = parse_quoted(f, all[0], all[1], quoted.subspan(header));
    found.destination = f == family::v4 ? host::from_octets(quoted.subspan(16, 4))
                                        : host::from_octets(quoted.subspan(24, 16));
    return found;
}

message parse_whole(family f, bytes all) noexcept {
    if (all.size() < echo_header || (f == family::v4 && checksum(all) != 0)) return {};
    message found{.kind = error_kind(f, all[0], all[1]), .type = all[0], .code = all[1]};
    if (found.kind != kind::other) return parse_error(f, all);
    if (found.type != reply_type(f)) return found;
    found.kind = found.code == 0 ? kind::reply : kind::malformed;
    read_echo(all, found);
    return found;
}

} // namespace

host::host(asio::ip::address const& address) noexcept {
    if (address.is_v4()) {
        std::ranges::copy(address.to_v4().to_bytes(), octets.begin());
    } else {
        auto const v6 = address.to_v6();
        family = detail::family::v6;
        octets = v6.to_bytes();
        scope = static_cast<std::uint32_t>(v6.scope_id());
    }
}

host host::from_octets(bytes four_or_sixteen) noexcept {
    host made;
    made.family = four_or_sixteen.size() == 4 ? detail::family::v4 : detail::family::v6;
    std::ranges::copy(four_or_sixteen, made.octets.begin());
    return made;
}

asio::ip::address host::address() const {
    if (family == detail::family::v6) return asio::ip::address_v6(octets, scope);
    return asio::ip::address_v4({octets[0], octets[1], octets[2], octets[3]});
}

// The sum does not depend on the byte order (RFC 1071 §2 B): words as they are in memory, the result
// turned around once.
std::uint16_t checksum(bytes data) noexcept {
    std::uint64_t sum = 0;
    auto add = [&]<class Word>(Word word, std::size_t at) {
        std::memcpy(&word, data.data() + at, sizeof word);
        sum += word;
    };
    std::size_t at = 0;
    for (; data.size() - at >= 4; at += 4) add(std::uint32_t{}, at);
    if (data.size() - at >= 2) add(std::uint16_t{}, at), at += 2;
    if (at < data.size()) {
        std::array<std::uint8_t, 2> const last{data[at], 0};
        std::uint16_t word = 0;
        std::memcpy(&word, last.data(), sizeof word);
        sum += word;
    }
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    auto const folded = static_cast<std::uint16_t>(~sum);
    return std::endian::native == std::endian::big ? folded : __builtin_bswap16(folded);
}

echo_bytes write_echo(family f, std::uint16_t id, std::uint16_t sequence, proof const& p,
                      echo_form const& form) noexcept {
    echo_bytes echo{};
    echo[0] = request_type(f);
    put(&echo[4], id);
    put(&echo[6], sequence);
    put(&echo[8], p.cookie);
    put(&echo[16], p.number);
    put(&echo[24], p.sent);
    std::fill(echo.begin() + static_cast<std::ptrdiff_t>(form.head_size()), echo.end(),
              std::uint8_t{0});
    if (f == family::v4) {
        put(&echo[2], form.padding_sum); // the sum is the same wherever a word stands
        put(&echo[2], checksum(echo));
    }
    return echo;
}

message parse(family f, bytes all) noexcept {
    auto found = parse_whole(f, all);
    found.size = static_cast<std::uint16_t>(all.size());
    return found;
}

message parse_quoted(family f, std::uint8_t type, std::uint8_t code, bytes request) noexcept {
    message found{.kind = error_kind(f, type, code), .type = type, .code = code};
    if (request.size() < echo_header) return {};
    if (request[0] != request_type(f)) found.kind = kind::other; // about a packet that is no echo
    read_echo(request, found);
    return found;
}

std::optional<ipv4_packet> parse_ipv4(bytes all) noexcept {
    if (all.size() < ipv4_header || all[0] >> 4 != 4 || all[9] != protocol_icmp)
        return std::nullopt;
    std::size_t const header = std::size_t{all[0] & 15u} * 4;
    std::size_t const total = read<std::uint16_t>(all, 2);
    if (header < ipv4_header || total < header || total > all.size()) return std::nullopt;
    return ipv4_packet{.source = host::from_octets(all.subspan(12, 4)),
                       .destination = host::from_octets(all.subspan(16, 4)),
                       .hops_left = all[8],
                       .payload = all.subspan(header, total - header)};
}

} // namespace trawl::icmp::detail
