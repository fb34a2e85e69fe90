#pragma once

#include "mail/route.hpp"

#include <trawl/dns.hpp>

#include <cstdint>
#include <string>
#include <vector>

// DANE for SMTP (RFC 7672): what DNS says about the certificate of an exchanger.
namespace trawl::smtp::detail {

/// True for a record by which a certificate can be judged: usage 2 or 3 (RFC 7672 §3.1), a known
/// selector, a digest of its length or something whole.
bool is_usable(dns::tlsa const& record) noexcept;

/// What TLSA records demand of a connection (RFC 7672 §2.2).
struct dane {
    obstacle none;                  ///< whether there are records cannot be told: do not connect
    bool encrypted = false;         ///< TLS is a must
    std::vector<dns::tlsa> records; ///< the usable ones, one of which the certificate has to match
    std::string base;               ///< the name that has them, which the certificate has to have
};

/// What the answer to the question for the TLSA records of `base` means.
dane dane_of(dns::answer const& found, std::string const& base);

/// Asks for the records of an exchanger whose addresses, and the route to which, DNSSEC has proved:
/// of its name behind all aliases first, then of the one that it goes by (RFC 7672 §2.2.2). Throws
/// as find_route().
awaitable<dane> find_dane(dns::resolver& names, std::string exchanger, std::string behind_aliases,
                          std::uint16_t port);

} // namespace trawl::smtp::detail
