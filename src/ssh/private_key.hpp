#pragma once

#include <trawl/ssh.hpp>

#include <libssh/libssh.h>

namespace trawl::ssh {

struct private_key::state {
    explicit state(ssh_key loaded) noexcept : handle(loaded) {}
    state(state const&) = delete;
    state& operator=(state const&) = delete;
    ~state() { ssh_key_free(handle); }
    ssh_key handle;
};

/// What src/ssh sees of a private_key.
struct key_access {
    static ssh_key handle(private_key const& key) noexcept { return key.state_->handle; }
};

namespace detail {

/// A public key of libssh in our words.
host_key export_public(ssh_key key);

} // namespace detail
} // namespace trawl::ssh
