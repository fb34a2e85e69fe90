#pragma once

#include "cli/ssh_input.hpp"

#include <trawl/net.hpp>
#include <trawl/ssh.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace trawl::cli {

/// What `trawl ssh` runs on every host.
struct ssh_command {
    std::string line;
    std::shared_ptr<ssh_input const> input{};           ///< for stdin; none: it is empty
    std::size_t max_output = 1024 * 1024;               ///< kept of each stream
    bool as_root = false;                               ///< through sudo
    std::shared_ptr<net::secret const> sudo_password{}; ///< none: sudo must not ask for one
};

/// Takes whole lines as they come.
using line_sink = std::function<void(ssh::output_stream, std::string_view lines)>;

/// Runs `what` on a connected session, which outlives the call as `what` does. With a sink the
/// output goes there and nothing of it is kept. Throws ssh::failure, with
/// errc::auth_denied in phase exec when sudo wants another password; cancelling ends the command.
awaitable<ssh::completed> run_command(ssh::session& host, ssh_command const& what, line_sink sink);

} // namespace trawl::cli
