#include "icmp/frame.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace trawl::icmp::detail {
namespace {

constexpr std::uint16_t type_ipv4 = 0x0800, type_arp = 0x0806, type_ipv6 = 0x86dd;
constexpr std::uint8_t protocol_icmp = 1, protocol_icmpv6 = 58;
constexpr std::uint8_t solicitation = 135, advertisement = 136;
constexpr std::uint8_t source_link = 1, target_link = 2; // options, RFC 4861 §4.6.1
constexpr std::size_t ipv4_header = 20, ipv6_header = 40, arp_size = 28;
// Type, code, checksum, flags, target; then the option with a link-layer address.
constexpr std::size_t nd_fixed = 24, nd_size = nd_fixed + 8;

/// Writes one field after the other.
class writer {
public:
    explicit writer(std::span<std::uint8_t> into) noexcept : into_(into) {}
    writer& byte(unsigned value) noexcept {
        assert(at_ < into_.size());
        into_[at_++] = static_cast<std::uint8_t>(value);
        return *this;
    }
    writer& half(std::size_t value) noexcept {
        return byte(static_cast<unsigned>(value >> 8 & 0xff))
            .byte(static_cast<unsigned>(value & 0xff));
    }
    writer& put(bytes data) noexcept {
        assert(data.size() <= into_.size() - at_);
        std::ranges::copy(data, into_.begin() + static_cast<std::ptrdiff_t>(at_));
        at_ += data.size();
        return *this;
    }
    writer& put(host const& h) noexcept {
        return put(bytes(h.octets).first(h.family == family::v4 ? 4u : 16u));
    }
    writer& zeros(std::size_t count) noexcept {
        while (count-- > 0) byte(0);
        return *this;
    }
    std::size_t size() const noexcept { return at_; }

private:
    std::span<std::uint8_t> into_;
    std::size_t at_ = 0;
};

std::uint16_t half(bytes from, std::size_t at) noexcept {
    return static_cast<std::uint16_t>(from[at] << 8 | from[at + 1]);
}

mac read_mac(bytes from, std::size_t at) noexcept {
    mac found;
    std::ranges::copy(from.subspan(at, found.size()), found.begin());
    return found;
}

void store(std::span<std::uint8_t> at, std::uint16_t value) noexcept {
    at[0] = static_cast<std::uint8_t>(value >> 8), at[1] = static_cast<std::uint8_t>(value);
}

bool is_multicast(host const& h) noexcept {
    return h.family == family::v6 ? h.octets[0] == 0xff : h.octets[0] >= 224;
}

// Multicast has the lowest bit of the first octet set; all zeros is nobody's.
bool is_station(mac const& m) noexcept { return !(m[0] & 1) && m != mac{}; }

writer& ethernet(writer& w, mac const& to, mac const& from, std::uint16_t type) noexcept {
    return w.put(to).put(from).half(type);
}

writer& ipv6(writer& w, host const& source, host const& destination, std::size_t payload,
             std::uint8_t hop_limit, std::uint8_t traffic_class) noexcept {
    w.byte(6u << 4 | traffic_class >> 4u).byte((traffic_class & 0x0fu) << 4).half(0); // no flow
    return w.half(payload).byte(protocol_icmpv6).byte(hop_limit).put(source).put(destination);
}

std::size_t write_arp(std::uint16_t operation, mac const& own, host const& source, mac const& to,
                      mac const& target_mac, host const& target,
                      std::span<std::uint8_t> into) noexcept {
    writer w(into);
    ethernet(w, to, own, type_arp);
    w.half(1).half(type_ipv4).byte(6).byte(4).half(operation); // Ethernet, IPv4
    return w.put(own).put(source).put(target_mac).put(target).size();
}

std::size_t write_nd(std::uint8_t type, std::uint8_t flags, mac const& own, host const& source,
                     mac const& to, host const& destination, host const& about,
                     std::span<std::uint8_t> into) noexcept {
    writer w(into);
    ethernet(w, to, own, type_ipv6);
    ipv6(w, source, destination, nd_size, 255, 0);
    auto const message = into.subspan(w.size(), nd_size);
    w.byte(type).byte(0).half(0).byte(flags).zeros(3).put(about);
    w.byte(type == solicitation ? source_link : target_link).byte(1).put(own);
    store(message.subspan(2), checksum_v6(source, destination, message));
    return w.size();
}

std::optional<neighbour_message> parse_arp(bytes packet) noexcept {
    if (packet.size() < arp_size || half(packet, 0) != 1 || half(packet, 2) != type_ipv4 ||
        packet[4] != 6 || packet[5] != 4)
        return std::nullopt;
    auto const operation = half(packet, 6);
    if (operation != 1 && operation != 2) return std::nullopt;
    neighbour_message found{.answer = operation == 2, .link = read_mac(packet, 8)};
    found.source = host::from_octets(packet.subspan(14, 4));
    found.to = host::from_octets(packet.subspan(24, 4));
    found.about = found.answer ? found.source : found.to;
    if (!is_station(found.link) || is_multicast(found.about)) return std::nullopt;
    return found;
}

// RFC 4861 §4.6: type, length in units of 8 bytes, value. A length of 0 spoils the whole message.
bool read_link_option(bytes options, std::uint8_t wanted, mac& into) noexcept {
    bool found = false;
    while (!options.empty()) {
        if (options.size() < 8 || options[1] == 0) return false;
        std::size_t const length = std::size_t{options[1]} * 8;
        if (length > options.size()) return false;
        if (options[0] == wanted && !std::exchange(found, true)) into = read_mac(options, 2);
        options = options.subspan(length);
    }
    return found;
}

std::optional<neighbour_message> parse_nd(bytes packet) noexcept {
    auto const ip = parse_ipv6(packet);
    // Who is not on this link cannot send with a hop limit of 255.
    if (!ip || ip->hops_left != 255 || ip->payload.size() < nd_fixed) return std::nullopt;
    auto const message = ip->payload;
    if ((message[0] != solicitation && message[0] != advertisement) || message[1] != 0 ||
        checksum_v6(ip->source, ip->destination, message) != 0)
        return std::nullopt;
    neighbour_message found{.answer = message[0] == advertisement,
                            .about = host::from_octets(message.subspan(8, 16)),
                            .source = ip->source,
                            .to = ip->destination};
    bool const solicited = message[4] & 0x40;
    if (is_multicast(found.about) || is_multicast(found.source)) return std::nullopt;
    if (found.answer && solicited && is_multicast(found.to)) return std::nullopt;
    if (!read_link_option(message.subspan(nd_fixed), found.answer ? target_link : source_link,
                          found.link) ||
        !is_station(found.link))
        return std::nullopt;
    return found;
}

writer& ipv4(writer& w, host const& source, parcel const& p, echo_shape const& shape,
             std::uint16_t identification, std::span<std::uint8_t> into) noexcept {
    auto const header = into.subspan(w.size(), ipv4_header);
    w.byte(0x45).byte(shape.traffic_class).half(shape.packet_size(family::v4));
    w.half(identification).half(shape.dont_fragment ? 0x4000 : 0);
    w.byte(p.hop_limit ? p.hop_limit : shape.hop_limit).byte(protocol_icmp).half(0);
    w.put(source).put(p.target);
    store(header.subspan(10), checksum(header));
    return w;
}

} // namespace

std::uint16_t checksum_v6(host const& source, host const& destination, bytes message) noexcept {
    std::array<std::uint8_t, ipv6_header> pseudo{}; // RFC 8200 §8.1
    writer w(pseudo);
    w.put(source).put(destination).half(message.size() >> 16).half(message.size() & 0xffff);
    w.zeros(3).byte(protocol_icmpv6);
    std::uint32_t const parts = std::uint32_t{static_cast<std::uint16_t>(~checksum(pseudo))} +
                                static_cast<std::uint16_t>(~checksum(message));
    return static_cast<std::uint16_t>(~((parts & 0xffff) + (parts >> 16)));
}

std::size_t write_question(mac const& own, host const& source, host const& about,
                           std::span<std::uint8_t> into) noexcept {
    constexpr mac everyone{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    if (about.family == family::v4) return write_arp(1, own, source, everyone, {}, about, into);
    auto const& o = about.octets;
    host group;
    group.family = family::v6;
    group.octets = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, o[13], o[14], o[15]};
    mac const to{0x33, 0x33, 0xff, o[13], o[14], o[15]}; // RFC 2464 §7
    return write_nd(solicitation, 0, own, source, to, group, about, into);
}

std::size_t write_answer(mac const& own, neighbour_message const& asked,
                         std::span<std::uint8_t> into) noexcept {
    if (asked.about.family == family::v4)
        return write_arp(2, own, asked.about, asked.link, asked.link, asked.source, into);
    constexpr std::uint8_t solicited_override = 0x60;
    return write_nd(advertisement, solicited_override, own, asked.about, asked.link, asked.source,
                    asked.about, into);
}

std::optional<neighbour_message> parse_neighbour(bytes frame) noexcept {
    if (frame.size() < ethernet_header) return std::nullopt;
    switch (half(frame, 12)) {
    case type_arp: return parse_arp(frame.subspan(ethernet_header));
    case type_ipv6: return parse_nd(frame.subspan(ethernet_header));
    default: return std::nullopt;
    }
}

std::size_t write_echo_frame(mac const& from, mac const& to, host const& source, parcel const& p,
                             echo_shape const& shape, std::uint16_t identification,
                             std::span<std::uint8_t> into) noexcept {
    bool const v4 = p.target.family == family::v4;
    writer w(into);
    ethernet(w, to, from, v4 ? type_ipv4 : type_ipv6);
    if (v4)
        ipv4(w, source, p, shape, identification, into);
    else
        ipv6(w, source, p.target, echo_header + shape.payload,
             p.hop_limit ? p.hop_limit : shape.hop_limit, shape.traffic_class);
    auto const message = into.subspan(w.size(), echo_header + shape.payload);
    auto const proven = std::min(p.bytes.size(), message.size());
    auto const padded = std::min(shape.padding.size(), message.size() - proven);
    w.put(bytes(p.bytes).first(proven)).put(bytes(shape.padding).first(padded));
    w.zeros(message.size() - proven - padded);
    store(message.subspan(2), 0);
    store(message.subspan(2), v4 ? checksum(message) : checksum_v6(source, p.target, message));
    return w.size();
}

std::optional<ipv6_packet> parse_ipv6(bytes all) noexcept {
    if (all.size() < ipv6_header || all[0] >> 4 != 6 || all[6] != protocol_icmpv6)
        return std::nullopt;
    std::size_t const length = half(all, 4);
    if (length > all.size() - ipv6_header) return std::nullopt;
    return ipv6_packet{.source = host::from_octets(all.subspan(8, 16)),
                       .destination = host::from_octets(all.subspan(24, 16)),
                       .hops_left = all[7],
                       .payload = all.subspan(ipv6_header, length)};
}

} // namespace trawl::icmp::detail
