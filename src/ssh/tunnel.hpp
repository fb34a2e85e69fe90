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

/// Throws failure in phase connect that names host:port and the session it goes through.
awaitable<tunnel> open_tunnel(state_ptr through, std::string host, std::uint16_t port,
                              std::chrono::milliseconds limit);

} // namespace trawl::ssh::detail
