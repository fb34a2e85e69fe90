#pragma once

#include <trawl/dns.hpp>
#include <trawl/smtp.hpp>

#include <asio/ip/address.hpp>

#include <functional>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

// Where the mail of a domain goes (RFC 5321 §5.1).
namespace trawl::smtp::detail {

/// A domain offers more at its own cost: each is tried when those before it fail.
inline constexpr std::size_t most_exchangers = 16;

/// The address in "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 §4.1.3); nullopt for anything
/// else.
std::optional<asio::ip::address> address_literal(std::string_view domain);

/// Why mail cannot be sent anywhere, as an answer for its recipients; no reason: it can.
struct obstacle {
    smtp::status status = smtp::status::accepted; ///< refused or deferred when there is one
    std::string enhanced, text;
    explicit operator bool() const noexcept { return status != smtp::status::accepted; }
};

/// The servers that take the mail of a domain.
struct route {
    obstacle none;                       ///< then there are no exchangers
    std::vector<std::string> exchangers; ///< names, or one literal; in the order of trying
    /// The answer that named them was proved by DNSSEC, also when it said that there is no MX.
    bool authenticated = false;
    bool by_mx = false; ///< false: the domain is its own exchanger
};

/// What the answer to the question for the MX of `domain` means. Equal preferences are shuffled
/// (RFC 5321 §5.1); a name of `own` and whatever is not preferred to it are left out, so that mail
/// does not come back.
route route_of(dns::answer const& mx, std::string const& domain,
               std::vector<std::string> const& own, std::mt19937& random);

/// Asks for the MX of `domain` (ASCII) and applies route_of(); a literal needs no question. Throws
/// for cancellation and when the resolver is destroyed only.
awaitable<route> find_route(dns::resolver& names, std::string domain, std::vector<std::string> own,
                            std::mt19937& random);

/// The addresses of an exchanger.
struct host {
    obstacle none;                            ///< then there are no addresses
    std::string name;                         ///< behind all aliases
    std::vector<asio::ip::address> addresses; ///< IPv6 first
    bool authenticated = false;               ///< all of them were proved by DNSSEC
};

/// What the answers to both questions mean: addresses that are known are used though the other
/// question failed.
host host_of(dns::answer const& v6, dns::answer const& v4, std::string const& exchanger);

/// Asks for both; throws as find_route().
awaitable<host> find_host(dns::resolver& names, std::string exchanger);

} // namespace trawl::smtp::detail
