#pragma once

#include "dns/channel.hpp"

#include <asio/ip/address.hpp>

#include <string>
#include <vector>

namespace trawl::dns::detail {

/// True for an answer that says there is nothing: no such name, or no record of that type.
bool negative(int status) noexcept;

/// The errc of a c-ares status other than ARES_SUCCESS.
errc code_of(int status) noexcept;

/// The addresses of an A or AAAA answer, those behind its CNAMEs included. `status` turns into the
/// reason when there are none.
std::vector<asio::ip::address> addresses_of(question const& asked, type wanted, int& status);

/// The names of a PTR answer.
std::vector<std::string> names_of(question const& asked, asio::ip::address const& address,
                                  int& status);

/// 7.0.0.10.in-addr.arpa, or the 32 nibbles under ip6.arpa (RFC 3596 §2.5).
std::string reverse_name(asio::ip::address const& address);

} // namespace trawl::dns::detail
