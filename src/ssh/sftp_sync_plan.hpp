#pragma once

#include <trawl/sftp_sync.hpp>

#include <map>
#include <string>
#include <vector>

/// What sync has to do, from what is there on both sides, without I/O.
namespace trawl::sftp::detail {

/// A folder with all that is in it, by the paths below it ("" is the folder itself); what lies in a
/// folder follows it. Files, folders, and others.
using tree = std::map<std::string, attributes>;

struct sync_plan {
    /// Removals, innermost first; folders to make, outermost first; files; what is to be set on
    /// folders, innermost first, because each new file changes its folder's time.
    std::vector<sync_step> steps{};
    std::uint64_t unchanged = 0, skipped = 0;
    std::vector<std::string> in_the_way{}; ///< to be removed first, and may not be
};

/// `target` is empty when there is none yet. `remove`: as in sync_options.
sync_plan plan_sync(tree const& source, tree const& target, bool remove);

/// "a" of "a/b", "" of "a".
std::string parent_of(std::string const& path);

} // namespace trawl::sftp::detail
