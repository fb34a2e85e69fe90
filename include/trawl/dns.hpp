#pragma once

#include <trawl/async.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/ip/address.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

/// Names to addresses and back (RFC 1034, 1035, 3596) over UDP, and TCP where an answer does not
/// fit.
namespace trawl::dns {

/// Conditions of category "trawl.dns".
enum class errc {
    not_found = 1,  ///< no such name, or it has no record of that type
    timed_out,      ///< no server answered in time
    refused,        ///< the only server refuses to answer (RCODE 5)
    server_failure, ///< the only server failed (RCODE 2, 4)
    bad_name,       ///< not a name: empty, a label over 63 bytes, a character outside ASCII
    bad_answer,     ///< the answer cannot be understood
    no_server,      ///< no server could be reached, or each of several refused or failed
    bad_server,     ///< options.servers holds something else than ADDR or ADDR:PORT
    closed,         ///< the resolver was destroyed meanwhile
};
std::error_category const& category() noexcept;
std::error_code make_error_code(errc code) noexcept;

/// Asks name servers, many questions at a time. One executor, not thread-safe.
///
/// Literal addresses, the hosts file (read once, by the constructor) and localhost (RFC 6761 §6.3)
/// are answered without the network. Short names are completed with the search list of resolv.conf;
/// a trailing dot prevents it. Destroying the resolver ends its lookups with errc::closed; it may
/// be destroyed inside one of them.
class resolver {
public:
    struct options {
        std::vector<std::string> servers =
            {}; ///< "ADDR", "ADDR:PORT", "[V6]:PORT"; empty: resolv.conf
        std::chrono::milliseconds timeout{
            1000};     ///< of the first try; it doubles once all servers were asked
        int tries = 3; ///< of each server
        std::chrono::milliseconds deadline{10'000}; ///< of a lookup, from its first query on
        std::size_t in_flight = 200; ///< queries at a time; more of them wait for a place
        std::filesystem::path hosts = "/etc/hosts"; ///< empty: none
        std::filesystem::path resolv_conf = "/etc/resolv.conf";
    };

    /// Reads the configuration files (blocks shortly). Throws error(errc::bad_server).
    explicit resolver(asio::any_io_executor executor);
    resolver(asio::any_io_executor executor, options configuration);
    resolver(resolver const&) = delete;
    resolver& operator=(resolver const&) = delete;
    ~resolver();

    /// The addresses of `name`, IPv6 before IPv4 unless the hosts file says otherwise; never empty.
    /// When IPv4 has answered, IPv6 is given 50 ms more (RFC 8305 §3). Throws error of errc.
    /// Cancelling forgets the questions; the last one to be cancelled closes the sockets.
    awaitable<std::vector<asio::ip::address>> addresses(std::string name);

    /// The names of `address`: its line of the hosts file, else its PTR records, without a trailing
    /// dot; never empty. Throws and is cancelled as addresses().
    awaitable<std::vector<std::string>> names(asio::ip::address address);

    /// Questions that were sent and not answered yet.
    std::size_t in_flight() const noexcept;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::dns

template <>
struct std::is_error_code_enum<trawl::dns::errc> : std::true_type {};
