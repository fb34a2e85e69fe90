#pragma once

#include <trawl/dns.hpp>

#include <asio/ip/address.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::dns::detail {

using bytes = std::span<unsigned char const>;

/// What a UDP answer may have with EDNS: no fragment on any path (DNS flag day 2020).
inline constexpr std::uint16_t udp_payload = 1232;

/// True for what append_query() takes: 253 bytes at most, labels of 1 to 63 visible ASCII characters.
bool is_name(std::string_view name);

/// Lower case, without a trailing dot: two names are the same when this is.
std::string canonical(std::string_view name);

/// 7.0.0.10.in-addr.arpa, or the 32 nibbles under ip6.arpa (RFC 3596 §2.5).
std::string reverse_name(asio::ip::address const& address);

/// Appends a question (RFC 1035 §4.1) that asks for recursion and for the AD bit (RFC 6840 §5.7).
/// `edns`: with an OPT record (RFC 6891) as its last 11 bytes, where c-ares looks for it.
void append_query(std::vector<unsigned char>& packet, std::uint16_t id, std::string_view name,
                  type wanted, bool edns);

/// Reads the answer to that question. Aliases are followed inside the packet (RFC 1034 §3.6.2);
/// records of other names and types are left out. What cannot be read is a server_failure with
/// errc::bad_answer; any bytes may be given.
answer parse_answer(bytes packet, std::string_view name, type wanted);

/// Of a server that does not know EDNS (RFC 6891 §7).
inline constexpr unsigned format_error = 1;

/// The RCODE without its extension (RFC 1035 §4.1.1); 0 of less than a header.
unsigned rcode_of(bytes packet) noexcept;

} // namespace trawl::dns::detail
