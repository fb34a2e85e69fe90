#pragma once

#include "ssh/bridge.hpp"
#include "ssh/session_state.hpp"

#include <memory>
#include <string>

namespace trawl::ssh::detail {

/// What src/ssh sees of a session.
struct session_access {
    static state_ptr const& of(session const& one) noexcept { return one.state_; }
};

/// A connection that another session's server has made, and who carries it.
struct tunnel {
    stream_socket socket;
    std::shared_ptr<bridge> carrier;
};

/// "10.0.0.7:22", "[fe80::1]:22".
std::string to_text(asio::ip::tcp::endpoint const& at);

/// A channel to host:port that carries nothing yet. Throws failure in phase connect that names
/// host:port and the session it goes through.
awaitable<std::shared_ptr<bridge>> open_bridge(state_ptr through, std::string host,
                                               std::uint16_t port, std::chrono::milliseconds limit);

/// Throws as open_bridge does.
awaitable<tunnel> open_tunnel(state_ptr through, std::string host, std::uint16_t port,
                              std::chrono::milliseconds limit);

} // namespace trawl::ssh::detail
