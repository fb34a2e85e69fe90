#pragma once

#include <cstdint>
#include <string_view>

namespace trawl::cli {

/// Reads a rate: echoes a second ("5000", "10k", "2.5Mpps"), or bits a second on Ethernet ("10Mbit",
/// "2Gbit/s", "500kbps") at `payload` bytes behind the echo header: an IPv4 echo with its headers
/// and Ethernet's 38 bytes of framing and gap, 84 bytes at the least. k, M and G are powers of 1,000.
/// 0 is no limit. Throws usage_error.
double echoes_a_second(std::string_view text, std::uint16_t payload);

} // namespace trawl::cli
