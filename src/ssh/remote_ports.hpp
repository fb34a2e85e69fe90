#pragma once

#include "ssh/bridge.hpp"

#include <trawl/limiter.hpp>

#include <libssh/server.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace trawl::ssh::detail {

/// A port that the server listens at for us (RFC 4254 §7.1), and the connections it has let in that
/// nobody has taken yet.
struct remote_port {
    struct arrival {
        std::shared_ptr<bridge> through;
        limiter::ticket place; ///< until the connection's end
    };

    remote_port(std::string at, std::uint16_t number, std::size_t most)
        : address(std::move(at)), port(number), places(most) {}

    std::string address;
    std::uint16_t port;
    limiter places; ///< connections at once; further ones are refused
    std::deque<arrival> arrived{};
    trawl::detail::waiter_list waiters{}; ///< for `arrived`
};

/// The ports of a session's server, and the global requests for them (RFC 4254 §4). libssh knows
/// one request at a time, and whoever calls it next collects the answer, so they queue here.
class remote_ports {
public:
    explicit remote_ports(transport& link) : link_(link) {}
    remote_ports(remote_ports const&) = delete;
    remote_ports& operator=(remote_ports const&) = delete;

    /// Has the server listen at address:port; port 0: at a dynamic one that is free there. Throws
    /// failure when it refuses. The transport lives until the call's end.
    awaitable<std::shared_ptr<remote_port>> listen(std::string address, std::uint16_t port,
                                                   std::size_t most, step when);
    /// Lets nothing more in, and tells the server so without waiting for its answer.
    void cancel(std::shared_ptr<remote_port> const& which);

    /// In the middle of libssh: takes a connection to one of the ports. False: to be refused.
    bool accept(ssh_message wish) noexcept;

    /// Goes on with the requests; after anything has arrived.
    void progress();
    bool asking() const noexcept { return !queue_.empty(); }
    /// The transport has closed.
    void close() noexcept;

private:
    struct request {
        bool listen;
        std::string address;
        std::uint16_t port;
        int result = SSH_AGAIN;
        bool sent = false, given_up = false;
        std::string said{};
    };

    int ask(request& next);
    void finish(request& done, int result);
    std::shared_ptr<remote_port> find(std::string const& address, std::uint16_t port) const;
    awaitable<int> answer(std::shared_ptr<request> asked, step when);

    transport& link_;
    std::deque<std::shared_ptr<request>> queue_;
    std::vector<std::shared_ptr<remote_port>> ports_;
};

} // namespace trawl::ssh::detail
