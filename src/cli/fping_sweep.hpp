#pragma once

#include "cli/fping_options.hpp"

#include <trawl/icmp.hpp>

#include <optional>
#include <string>
#include <vector>

namespace trawl::cli {

/// The command line of fping when this one is one: the program is called fping (or fping6), or as
/// `trawl ping --fping ...`, which becomes `fping ...`. Looked at before any other parser.
/// Throws usage_error for --live, which has no fping to imitate.
std::optional<std::vector<std::string>> fping_command(std::vector<std::string> const& argv);

/// How fping's options are asked of the engine. Times are rounded up to its milliseconds, at least
/// one.
icmp::pinger::options pinger_options(fping_options const& o);
icmp::sweep::options sweep_options(fping_options const& o);

} // namespace trawl::cli
