#pragma once

#include <trawl/async.hpp>

#include <asio/ip/address.hpp>

#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

namespace trawl::net {

/// What a TCP connection attempt found.
enum class tcp_state : std::uint8_t {
    open,        ///< the host accepted it (SYN/ACK): it is up
    refused,     ///< the host refused it (RST, or an ICMP error that it sent itself): it is up
    unreachable, ///< somebody else's ICMP error or the local routing table: nobody gets there
};
/// "open", "refused", "unreachable".
std::string_view to_string(tcp_state) noexcept;

/// What a host answered, or somebody on the way to it.
struct tcp_answer {
    tcp_state state = tcp_state::unreachable; ///< what was found
    std::uint16_t port = 0;                   ///< which attempt was answered
    duration rtt{};      ///< from the SYN to the answer; the kernel's figure for `open`
    std::error_code why; ///< for unreachable

    /// Whether the host itself has answered.
    bool up() const noexcept { return state != tcp_state::unreachable; }
};

/// Asks whether a host is up where ICMP echoes are filtered: connects to all `ports` (1-65535) at
/// once; the first that is accepted or refused is the answer, and the other attempts are dropped.
/// Needs no privilege, and a file descriptor for each port while it runs.
///
/// nullopt: every attempt was silent until `timeout`. Unreachable is the answer only when no port
/// got a better one until all had ended or the time was up. Throws error when this machine could
/// not ask and nobody answered: too many open files (EMFILE, ENFILE), no local port left
/// (EADDRNOTAVAIL), no memory; such a host is not known to be down. Cancelling closes every
/// attempt.
///
/// A connection that was accepted is closed with a FIN, never aborted, so the server reads an end of
/// file; one that speaks first may meet a reset. The closing side keeps each closed connection in
/// TIME_WAIT for a minute, as for any client, here at most one for each open port asked; attempts
/// that were silent or refused leave nothing.
awaitable<std::optional<tcp_answer>> tcp_probe(asio::ip::address target,
                                               std::vector<std::uint16_t> ports, duration timeout);

} // namespace trawl::net
