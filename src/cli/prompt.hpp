#pragma once

#include <trawl/net.hpp>

#include <optional>
#include <string_view>

namespace trawl::cli {

/// Asks at the terminal for a secret, which is not echoed; nullopt when there is no terminal.
/// Throws usage_error when the user says Ctrl-C or Ctrl-D. Blocks.
std::optional<net::secret> ask_secret(std::string_view question);

} // namespace trawl::cli
