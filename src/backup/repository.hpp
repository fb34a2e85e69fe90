#pragma once

#include "backup/files.hpp"
#include "backup/manifest.hpp"

#include <trawl/backup_store.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::backup::detail {

// What lies in a store of backups, by file name. All of it blocks: for pool jobs.

/// "YYYYMMDD", or "YYYYMMDD_HHMMSS" with the time; local.
std::string stamp_of(std::chrono::system_clock::time_point when, bool with_time);
std::chrono::sys_days local_day(std::chrono::system_clock::time_point when);

/// In nanoseconds, as manifests count.
std::optional<std::int64_t> since_1970(std::optional<std::chrono::system_clock::time_point> when);

/// "NAME_full_20261123" of a manifest "NAME_full_20261123.manifest.json".
struct dated_name {
    std::string name, stamp;
    kind made = kind::full;
};
std::optional<dated_name> parse_dated(std::string_view file);
std::string stem_of(dated_name const& name);

inline std::string latest_of(std::string const& name) { return name + "_manifest.json"; }

/// A NAME can be a file name: not empty, no slash, no leading dot, no control character.
bool is_name(std::string_view name) noexcept;

/// The NAMEs that have a manifest in the store, sorted.
std::vector<std::string> names_in(std::vector<std::string> const& files);

/// What encrypted_store adds to a name.
inline constexpr std::string_view sealed_suffix = ".enc";
/// True when the store, as it is seen, has encrypted backups of `name`; empty: of any.
bool has_sealed(store& seen, std::string const& name);
/// Nothing was found: throws error, no_key or no_such_archive.
[[noreturn]] void throw_none(store& seen, std::string const& name);

/// `given`, or the folder, open; a missing one is errc::no_such_archive.
std::shared_ptr<store> open_archives(std::shared_ptr<store> given,
                                     std::filesystem::path const& folder);
/// `asked`, or the only NAME in the store. Throws error: no_such_archive, bad_name.
std::string choose_name(store& from, std::string const& asked);

/// What an error says besides its code, else the code's own words.
std::string words_of(error const& failure);
/// The file that was read is at fault, and others may be sound: its bytes are not what was written,
/// or the disk does not give them. Else (cancelled, the connection is lost) nothing more can be had.
bool is_damage(std::error_code code) noexcept;

struct loaded {
    manifest state;
    std::string file;
    digest hash; ///< of the whole file
};
/// Throws error: no_such_archive, corrupt with the line, or the system's code.
loaded load(store& from, std::string const& file, std::stop_token const&);

/// The first line of a manifest (no entries, no lists of blocks); nullopt when that is damaged.
std::optional<manifest> load_header(store& from, std::string const& file, std::string& complaint);

/// The files that may hold the newest state of `name` not after `until` (nullopt: the latest), best
/// first. A manifest without a sound first line is named in `damage`.
std::vector<std::string> candidates(store& from, std::string const& name,
                                    std::optional<std::int64_t> until_ns,
                                    std::vector<problem>& damage);

/// The newest state of `name` that is not after `until` (nullopt: the latest). A damaged manifest
/// is passed over and named in `damage`. Throws error: no_such_archive when there is none, corrupt
/// when all are damaged.
loaded newest(store& from, std::string const& name, std::optional<std::int64_t> until_ns,
              std::vector<problem>& damage, std::stop_token const&);

} // namespace trawl::backup::detail
