#pragma once

#include "backup/manifest.hpp"
#include "backup/walk.hpp"

#include <trawl/backup.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::backup::detail {

/// What becomes of an entry.
enum class action : std::uint8_t {
    keep,     ///< as in the base: nothing is read or written
    describe, ///< metadata only: a member without data, or (socket) none
    check,    ///< read and compare hashes: content may be the same under new metadata
    verify,   ///< nothing tells of a change; read and compare all the same
    store,    ///< read and store
    refer,    ///< the content of a file that is gone, under a new name
    append,   ///< grown: when its beginning is what it was, only what follows is stored
};

inline constexpr std::uint32_t not_in_base = 0xffffffff;

struct step {
    action what = action::store;
    std::uint32_t before = not_in_base; ///< index into the base's entries
};

struct plan {
    std::vector<entry> entries; ///< the new state, sorted; those to keep have their content already
    std::vector<step> steps;    ///< one for each entry
    std::vector<std::uint32_t>
        gone; ///< of the base's entries, by index: what is not there any more
    std::uint64_t bytes_to_read = 0;
};

/// Which of the files that look unchanged are read all the same: one part of so many.
struct rehash {
    std::uint32_t part = 0, parts = 0;

    /// By the path alone, so that all parts together are every file.
    bool takes(std::string_view path) const noexcept;
    /// Without a part: the one whose turn it is that day.
    rehash on(std::chrono::sys_days day) const noexcept;
};

/// Nothing tells of a change of this file since a walk that began then: size, mtime, ctime, inode,
/// mode and owner agree, and neither time is later than 2 s before it (racily clean: a write in the
/// same tick would not show).
bool is_trusted(entry const& now, entry const& before, std::int64_t walk_began_ns) noexcept;

/// `path` or a folder above it is among those that a walk could not read (walked::unread).
bool is_unseen(std::string_view path, std::vector<std::string> const& unread);

/// Compares a walk with the base (nullptr: a full). Sans I/O.
///
/// A trusted file is not read. What the walk could not read keeps the state that the base has,
/// flagged stale. `append_delta`: larger ones that grew may be stored as their tails.
plan compare(walked now, manifest const* base, rehash again = {}, bool append_delta = false);

/// Removes the entries that are marked in `dropped` and those whose folder or hard-link leader is
/// not there (any more); `because` gets a line for each of the latter. `steps` stay parallel.
void settle(plan& state, std::vector<bool> dropped, std::vector<problem>& because);

/// The paths of `base` that are not in `entries`.
std::vector<std::string> deletions(std::vector<entry> const& entries, manifest const& base);

/// What is known of the last full and of what stands on it.
struct past {
    std::chrono::sys_days full_day{}; ///< local
    std::uint64_t full_bytes = 0, later_bytes = 0;
    std::uint32_t later = 0; ///< backups on it
};
struct decision {
    kind made = kind::full;
    std::string why;
};

/// Full, incremental or differential? `known`: nullopt without a usable base. nullopt: an increment
/// or differential was asked for and there is no base.
std::optional<decision> decide(options const& rules, std::chrono::sys_days today,
                               std::optional<past> const& known);

} // namespace trawl::backup::detail
