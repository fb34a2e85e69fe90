#pragma once

#include "ssh/transport.hpp"

namespace trawl::ssh::detail {

/// Logs in (RFC 4252): the keys, those of the agent, then the password, as the method "password" or,
/// where the server does not offer that, as the answer to keyboard-interactive questions (RFC
/// 4256). Several methods in a row when the server wants more than one. Throws failure with
/// errc::auth_denied that names what the server would allow.
awaitable<> authenticate(std::shared_ptr<transport> link, options const& how, step when);

} // namespace trawl::ssh::detail
