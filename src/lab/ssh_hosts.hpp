#pragma once

#include "lab/lab.hpp"

#include <trawl/async.hpp>
#include <trawl/offload_pool.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/ip/address.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trawl::lab {

/// SSH servers on many loopback addresses at one port, each with an ed25519 host key of its own,
/// made afresh.
///
/// They accept one user with a fresh key pair or a fresh password. `exec` and `shell` requests run
/// under /bin/sh as the current user, or are answered from a table; PTYs, subsystems and forwarding
/// are refused. Driven by libssh in non-blocking mode on the given executor: 1 descriptor a host, 2
/// a connection, 4 more a running command.
class ssh_hosts {
public:
    struct options {
        std::vector<asio::ip::address> hosts; ///< loopback only, at least one
        std::uint16_t port = 0;               ///< 0: one that is free on all
        std::string user;
        std::map<std::string, canned_answer> canned = {};
        std::map<asio::ip::address, fault> faults = {};
        duration login_grace = std::chrono::seconds(10);
        std::size_t max_channels = 10; ///< open on one connection, as sshd's MaxSessions
        int max_attempts = 6;          ///< failed logins on one connection, as sshd's MaxAuthTries
        offload_pool* starter = nullptr; ///< starts commands; none: a pool of its own. Not owned
        observer* watch = nullptr;       ///< not owned
    };
    struct statistics {
        std::uint64_t connections = 0, open = 0, logins = 0, commands = 0;
    };

    /// Makes the keys and listens. Throws error.
    ssh_hosts(asio::any_io_executor executor, options configuration);
    ssh_hosts(ssh_hosts const&) = delete;
    ssh_hosts& operator=(ssh_hosts const&) = delete;
    ~ssh_hosts();

    /// Serves until it is cancelled (then throws operation_aborted).
    awaitable<> serve();

    std::uint16_t port() const noexcept;
    std::string private_key() const;              ///< the user's, in OpenSSH format. A secret
    std::string public_key() const;               ///< one line for authorized_keys
    std::string const& password() const noexcept; ///< a secret
    std::string known_hosts() const;              ///< a line for every host
    statistics const& stats() const noexcept;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::lab
