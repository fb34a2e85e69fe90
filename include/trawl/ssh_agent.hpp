#pragma once

#include <trawl/async.hpp>
#include <trawl/limiter.hpp>

#include <asio/any_io_executor.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace trawl::ssh {

/// The public half of a key, or a certificate, that an agent holds.
struct agent_key {
    std::string type;                ///< "ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com"
    std::string blob;                ///< RFC 4253 §6.6, binary
    std::string comment;             ///< as the user named it
    std::string fingerprint() const; ///< "SHA256:..." of `blob`
};

/// A client of ssh-agent (draft-miller-ssh-agent): lists keys and has data signed, without blocking
/// and with a deadline, whatever the agent asks its user meanwhile. One executor; share it among
/// the sessions of a run and keep it while they log in.
class agent {
public:
    /// Where the agent is, and how long it may take.
    struct options {
        std::filesystem::path socket{};            ///< empty: $SSH_AUTH_SOCK
        std::chrono::milliseconds timeout{10'000}; ///< for each answer
    };

    /// Connects nowhere yet.
    agent(asio::any_io_executor executor, options configuration);

    /// False when no socket was named and $SSH_AUTH_SOCK is not set.
    bool there() const noexcept { return !options_.socket.empty(); }

    /// The keys that the agent offers, in its order; none when it is locked. Throws error: the
    /// system's reason when it cannot be reached, trawl::errc::timed_out, ssh::errc::bad_agent.
    awaitable<std::vector<agent_key>> keys();

    /// The signature, as RFC 4253 §6.6 encodes it, of `data` by a key. `flags`: 2 for
    /// rsa-sha2-256, 4 for rsa-sha2-512. Throws as keys() does; bad_agent also when the agent
    /// refuses.
    awaitable<std::string> sign(agent_key key, std::string data, std::uint32_t flags);

private:
    awaitable<std::string> ask(std::string request);

    asio::any_io_executor executor_;
    options options_;
    limiter connections_;
};

} // namespace trawl::ssh
