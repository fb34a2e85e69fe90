#pragma once

#include <trawl/backup.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace trawl::backup::detail {

/// One dated backup, as far as it matters for how long it stays.
struct kept_or_not {
    std::chrono::sys_days day;      ///< local
    std::vector<std::size_t> bases; ///< the ones it stands on, by index
    std::string why;                ///< empty: to be removed
};

/// Decides what stays: `all` from old to new. Each rule counts for itself; what a kept one stands
/// on stays, too, and so does the newest. Sans I/O.
void retain(std::vector<kept_or_not>& all, prune_rules const& rules);

} // namespace trawl::backup::detail
