#pragma once

#include "backup/manifest.hpp"
#include "backup/walk.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trawl::backup::detail {

/// What becomes of an entry.
enum class action : std::uint8_t {
    keep,     ///< as in the base: nothing is read or written
    describe, ///< metadata only: a member without data, or (socket) none
    check,    ///< read and compare hashes: content may be the same under new metadata
    store,    ///< read and store
};

inline constexpr std::uint32_t not_in_base = 0xffffffff;

struct step {
    action what = action::store;
    std::uint32_t before = not_in_base; ///< index into the base's entries
};

struct plan {
    std::vector<entry> entries; ///< the new state, sorted; those to keep have their content already
    std::vector<step> steps;    ///< one for each entry
    std::uint64_t bytes_to_read = 0;
};

/// Compares a walk with the base (nullptr: a full). Sans I/O.
///
/// A file is trusted to be unchanged when size, mtime, ctime and inode agree and neither time is
/// later than 2 s before the base's walk began (racily clean: a write in the same tick would not
/// show). What the walk could not read keeps the state that the base has, flagged stale.
plan compare(walked now, manifest const* base);

/// Removes the entries that are marked in `dropped` and those whose folder or hard-link leader is
/// not there (any more); `because` gets a line for each of the latter. `steps` stay parallel.
void settle(plan& state, std::vector<bool> dropped, std::vector<problem>& because);

/// The paths of `base` that are not in `entries`.
std::vector<std::string> deletions(std::vector<entry> const& entries, manifest const& base);

/// Full or incremental? `last_full` is the local day of the base's full, nullopt without a usable
/// base. nullopt: an increment was asked for and there is no base.
std::optional<kind> decide(kind asked, std::chrono::weekday full_on, std::chrono::sys_days today,
                           std::optional<std::chrono::sys_days> last_full);

} // namespace trawl::backup::detail
