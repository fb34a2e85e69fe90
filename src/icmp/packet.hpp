#pragma once

#include <asio/ip/address.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace trawl::icmp::detail {

using bytes = std::span<std::uint8_t const>;

enum class family : std::uint8_t { v4, v6 };

/// An address in 24 bytes, as the table of echoes and the cookie need it.
struct host {
    std::array<std::uint8_t, 16> octets{}; ///< IPv4: the first four
    std::uint32_t scope = 0;               ///< interface of a link-local IPv6 address
    detail::family family = family::v4;

    host() noexcept = default;
    explicit host(asio::ip::address const& address) noexcept;
    static host from_octets(bytes four_or_sixteen) noexcept;
    asio::ip::address address() const;

    friend bool operator==(host const&, host const&) noexcept = default;
};

/// What our echoes carry and the reply brings back. The number finds the echo, the cookie proves
/// that the reply belongs to it. Big endian on the wire:
///
///     0        8        16     24
///     | cookie | number | sent | padding
struct proof {
    std::uint64_t cookie = 0;
    std::uint64_t number = 0;
    std::uint64_t sent = 0; ///< nanoseconds since the engine began

    friend bool operator==(proof const&, proof const&) noexcept = default;
};

/// Echo header (RFC 792, RFC 4443 §4.1) and proof.
inline constexpr std::size_t echo_header = 8, proof_size = 24, echo_size = echo_header + proof_size;

using echo_bytes = std::array<std::uint8_t, echo_size>;

/// What all echoes of an engine have in common.
struct echo_form {
    std::uint16_t payload = proof_size; ///< bytes behind the header; fewer cut the proof
    std::uint16_t padding_sum = 0; ///< ~checksum() of the bytes behind the proof, which the channel
                                   ///< adds

    /// Of header and proof: what a parcel gives to the wire.
    std::size_t head_size() const noexcept {
        return echo_header + (payload < proof_size ? payload : proof_size);
    }
};

/// An echo request. The IPv4 checksum is filled in; that of ICMPv6 covers addresses which only the
/// kernel knows, and is its task (RFC 3542 §3.1).
echo_bytes write_echo(family, std::uint16_t id, std::uint16_t sequence, proof const&,
                      echo_form const& form = {}) noexcept;

/// An echo request on its way out.
struct parcel {
    std::uint64_t number = 0; ///< which echo: the number in its proof
    host target = {};
    std::uint8_t hop_limit = 0; ///< 0: the channel's
    echo_bytes bytes{};         ///< ICMP header and proof; the padding is the channel's
};

enum class kind : std::uint8_t {
    reply,
    unreachable,   ///< RFC 792 type 3, RFC 4443 §3.1
    too_big,       ///< type 3 code 4; RFC 4443 §3.2
    hops_exceeded, ///< type 11; RFC 4443 §3.3
    bad_header,    ///< type 12; RFC 4443 §3.4
    other,         ///< well formed, but nothing that answers an echo request
    malformed,
};

/// What an ICMP message says about an echo request.
struct message {
    detail::kind kind = kind::malformed;
    std::uint8_t type = 0, code = 0;
    std::uint16_t size = 0;             ///< of the whole message
    std::uint16_t id = 0, sequence = 0; ///< of the reply, or of the request that an error quotes
    std::optional<detail::proof> proof = {}; ///< when the message holds all of it
    std::optional<host> destination = {};    ///< of the quoted request
};

/// Reads an ICMP message from its first byte. An IPv4 checksum is verified: a raw socket gets the
/// packet before the kernel has looked at it.
message parse(family, bytes) noexcept;

/// Reads what a datagram socket's error queue quotes: the ICMP header of the request and what
/// follows. `type` and `code` are those of the error that came.
message parse_quoted(family, std::uint8_t type, std::uint8_t code, bytes request) noexcept;

/// An IPv4 packet as a raw socket delivers it (RFC 791 §3.1); nullopt when it is none, not ICMP, or
/// shorter than it claims.
struct ipv4_packet {
    host source, destination;
    std::uint8_t hops_left = 0;
    bytes payload;
};
std::optional<ipv4_packet> parse_ipv4(bytes) noexcept;

/// The Internet checksum (RFC 1071): 0 over a message that holds its own.
std::uint16_t checksum(bytes) noexcept;

} // namespace trawl::icmp::detail
