#pragma once

#include "backup/entry.hpp"
#include "backup/ignore.hpp"

#include <trawl/backup.hpp>

#include <cstdint>
#include <memory>
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
    std::uint64_t excluded = 0;      ///< names that the rules left out
};

/// A folder by identity: the destination, when it lies inside the source.
struct identity {
    std::uint64_t device = 0, inode = 0;
};

/// What a walk leaves out.
struct walk_rules {
    identity except;
    ignore_list first; ///< before the ignore files in the folders
    ignore_list last;  ///< behind them
    std::string ignore_file;
    bool caches = false, nodump = false, one_file_system = false; ///< true: left out
    std::uint64_t max_file_bytes = 0;                             ///< 0: no limit
};

/// By what the caller wants; reads the files of patterns. `archives`: the folder of the backups, which
/// is left out; empty: it is elsewhere. Throws error naming the file that cannot be read.
walk_rules rules_of(exclusions const& wanted, std::filesystem::path const& archives);

/// Walks `folder`, which stays open as long. Names that vanish meanwhile are no error. Blocks; for
/// pool jobs.
class walker {
public:
    walker(int folder, walk_rules rules);
    ~walker();

    /// Walks until nothing is left to do. May run in several threads at once: a disk that is asked
    /// for several names at once answers sooner.
    void work(std::stop_token const& stop);

    /// After each work() has returned.
    walked result();

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::backup::detail
