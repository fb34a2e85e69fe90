#pragma once

#include "icmp/packet.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace trawl::icmp::detail {

/// An Ethernet address.
using mac = std::array<std::uint8_t, 6>;

inline constexpr std::size_t ethernet_header = 14;

/// Who has an address on a link: an ARP request or reply for Ethernet and IPv4 (RFC 826), or a
/// neighbour solicitation or advertisement (RFC 4861 §4.3, §4.4).
struct neighbour_message {
    bool answer = false;
    host about = {};           ///< the address that is asked for, or told
    mac link = {};             ///< of the asker; in an answer, of `about`
    host source = {}, to = {}; ///< who says it to whom
};

/// The longest frame of these.
inline constexpr std::size_t neighbour_frame = ethernet_header + 40 + 32;

/// Asks every IPv4 host of the link (ARP), or those that may have the IPv6 address (its
/// solicited-node group, RFC 4291 §2.7.1). The length of the frame; `into` has room for it.
std::size_t write_question(mac const& own, host const& source, host const& about,
                           std::span<std::uint8_t> into) noexcept;

/// Tells `asked.source` that `own` is the address of `asked.about`.
std::size_t write_answer(mac const& own, neighbour_message const& asked,
                         std::span<std::uint8_t> into) noexcept;

/// Reads an Ethernet frame. nullopt when it is none of these, or must be ignored: not from this
/// link (hop limit), a checksum that is wrong, an address that is no unicast one, no link-layer
/// address (RFC 4861 §7.1).
std::optional<neighbour_message> parse_neighbour(bytes frame) noexcept;

/// What an echo has besides its first 32 bytes.
struct echo_shape {
    std::size_t payload = 24; ///< behind the ICMP header; fewer than 24 cut the proof
    std::vector<std::uint8_t> padding =
        {};                     ///< what follows the proof; zeros when that is too short
    std::uint8_t hop_limit = 0; ///< for parcels that name none; 0: channels take the system's
    std::uint8_t traffic_class = 0;
    bool dont_fragment = false; ///< IPv4; IPv6 packets always are whole here

    /// Of the IP packet.
    std::size_t packet_size(family f) const noexcept {
        return (f == family::v4 ? 20 : 40) + echo_header + payload;
    }
    std::size_t frame_size(family f) const noexcept { return ethernet_header + packet_size(f); }
};

/// An echo request as an Ethernet frame with IP header and checksums; its length. `identification`
/// is that of the IPv4 header. `into` has room for shape.frame_size().
std::size_t write_echo_frame(mac const& from, mac const& to, host const& source, parcel const&,
                             echo_shape const&, std::uint16_t identification,
                             std::span<std::uint8_t> into) noexcept;

/// An IPv6 packet (RFC 8200 §3) with ICMPv6 right behind its header; nullopt when it is none or
/// shorter than it claims.
struct ipv6_packet {
    host source, destination;
    std::uint8_t hops_left = 0;
    bytes payload;
};
std::optional<ipv6_packet> parse_ipv6(bytes) noexcept;

/// The checksum of ICMPv6 with its pseudo-header (RFC 4443 §2.3): 0 over a message that holds its
/// own.
std::uint16_t checksum_v6(host const& source, host const& destination, bytes message) noexcept;

} // namespace trawl::icmp::detail
