#pragma once

// libssh's handles with owners.
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

#include <memory>

namespace trawl::lab {

struct free_libssh {
    void operator()(ssh_key key) const noexcept { ssh_key_free(key); }
    void operator()(ssh_bind bind) const noexcept { ssh_bind_free(bind); }
    void operator()(ssh_session session) const noexcept { ssh_free(session); }
    void operator()(ssh_event event) const noexcept { ssh_event_free(event); }
};
using key_handle = std::unique_ptr<ssh_key_struct, free_libssh>;
using bind_handle = std::unique_ptr<ssh_bind_struct, free_libssh>;
using session_handle = std::unique_ptr<ssh_session_struct, free_libssh>;
using event_handle = std::unique_ptr<ssh_event_struct, free_libssh>;

} // namespace trawl::lab
