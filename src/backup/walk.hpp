#pragma once

#include "backup/entry.hpp"

#include <trawl/backup.hpp>

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

namespace trawl::backup::detail {

/// What is in a folder, found without following symbolic links.
struct walked {
    std::vector<entry> entries; ///< sorted by path_before, hard links resolved, no content hash
    std::vector<std::string> unread; ///< folders whose names and names whose facts could not be had
    std::vector<problem> errors;     ///< the reasons
    bool left_out = false;           ///< `except` was met
};

/// A folder by identity: the destination, when it lies inside the source.
struct identity {
    std::uint64_t device = 0, inode = 0;
};

/// Walks `folder`. Names that vanish meanwhile are no error. Blocks; for a pool job.
walked walk(int folder, identity except, std::stop_token const& stop);

} // namespace trawl::backup::detail
