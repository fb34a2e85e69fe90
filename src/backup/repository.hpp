#pragma once

#include "backup/files.hpp"
#include "backup/manifest.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::backup::detail {

// What lies in a folder of backups, by file name. All of it blocks: for pool jobs.

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

/// Everything in the folder, sorted.
std::vector<std::string> list(int folder);
/// The NAMEs that have a manifest in the folder, sorted.
std::vector<std::string> names_in(std::vector<std::string> const& files);

/// `asked`, or the only NAME in the folder. Throws error: no_such_archive, bad_name.
std::string choose_name(int folder, std::string const& shown, std::string const& asked);
/// Opens a folder of backups; a missing one is errc::no_such_archive.
descriptor open_archives(std::string const& path);

struct loaded {
    manifest state;
    std::string file;
    digest hash; ///< of the whole file
};
/// Throws error: no_such_archive, corrupt with the line, or the system's code.
loaded load(int folder, std::string const& file, std::string const& shown, std::stop_token const&);

/// The first line of a manifest (no entries, no lists of blocks); nullopt when that is damaged.
std::optional<manifest> load_header(int folder, std::string const& file, std::string& complaint);

/// The files that may hold the newest state of `name` not after `until` (nullopt: the latest), best
/// first. A manifest without a sound first line is named in `damage`.
std::vector<std::string> candidates(int folder, std::string const& name,
                                    std::optional<std::int64_t> until_ns,
                                    std::vector<problem>& damage);

/// The newest state of `name` that is not after `until` (nullopt: the latest). A damaged manifest
/// is passed over and named in `damage`. Throws error: no_such_archive when there is none, corrupt
/// when all are damaged.
loaded newest(int folder, std::string const& shown, std::string const& name,
              std::optional<std::int64_t> until_ns, std::vector<problem>& damage,
              std::stop_token const&);

/// A file under a temporary name until it is whole. One of the same temporary name, left behind by
/// a run that was killed, is removed first: the caller holds the lock.
class temporary {
public:
    /// `shown`: the folder, for messages.
    temporary(int folder, std::string shown, std::string name);
    temporary(temporary const&) = delete;
    ~temporary();

    void write(std::string_view bytes);
    std::uint64_t size() const noexcept { return size_; }
    /// fsync, rename, fsync of the folder. Without `replace` an existing file is errc::exists.
    void publish(std::string const& final_name, bool replace);

private:
    int folder_;
    std::string shown_, name_;
    descriptor file_;
    std::uint64_t size_ = 0;
};

} // namespace trawl::backup::detail
