#pragma once

#include <trawl/async.hpp>
#include <trawl/observer.hpp>
#include <trawl/offload_pool.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

/// Full and incremental backups of a folder as plain tar archives.
///
///     NAME_full_20261123.tar.gz         pax tar, one gzip member, paths relative to the source
///     NAME_full_20261123.manifest.json  the state of the source: an entry a line, hashes
///     NAME_incr_20261124.tar.gz         new and changed files only
///     NAME_incr_20261124.manifest.json  the whole state again; an entry names the archive it is in
///     NAME_diff_20261124.tar.gz         what changed since the last full
///     NAME_manifest.json                a copy of the newest manifest
///
/// encrypted_store() adds ".enc" to each. A second run of a day has _YYYYMMDD_HHMMSS (local time);
/// nothing but NAME_manifest.json is ever replaced. An archive is complete on disk (fsync) before
/// its manifest gets its name, and that before the copy does, so that a crash at any moment leaves
/// the old or the new state.
namespace trawl::backup {

class store; // backup_store.hpp

/// Conditions of category "trawl.backup".
enum class errc {
    no_such_archive = 1, ///< no backup of that name or date, or an archive of the chain is missing
    locked,              ///< another run holds .NAME.lock
    corrupt,             ///< a manifest or an archive is not what was written
    incomplete, ///< some files could not be read or written; the errors of the report name them
    bad_name,   ///< a NAME that is no file name, or that must be given because there are several
    bad_source, ///< the source is no folder that can be read
    exists,     ///< an archive of that name is there already
    bad_option, ///< options that contradict each other
    no_key,     ///< the backups are encrypted and no key was given, or a file that holds none
    wrong_key,  ///< the backups are encrypted with another key
};

/// Category "trawl.backup" of errc.
std::error_category const& category() noexcept;
/// `code` in that category.
std::error_code make_error_code(errc code) noexcept;

/// What a backup stores: all, or what is different from an earlier one.
enum class kind {
    automatic,    ///< as the `full_...` options say; without a usable base: full
    full,         ///< everything
    incremental,  ///< what changed since the last backup; no usable base: errc::no_such_archive
    differential, ///< what changed since the last full; as above
};
std::string_view word(kind made) noexcept; ///< "full", "incr", "diff": in names, manifests, records
/// By what files are compared and checked. A manifest names its own; md5 goes on from older scripts
/// and is no protection against somebody who forges.
enum class hash { sha256, md5 };
/// How hard the compressor tries. gzip: ISA-L, libdeflate 6, libdeflate's best; Zstandard: 1, 3,
/// 15.
enum class level { fast, standard, best };

/// What is left out, with all beneath it.
struct exclusions {
    std::vector<std::string>
        exclude; ///< patterns of gitignore(5), the last one that matches counts
    std::vector<std::filesystem::path> exclude_from; ///< files of such patterns
    std::string ignore_file =
        ".trawlignore";           ///< such a file in a folder holds for what is beneath;
                                  ///< empty: none
    bool exclude_caches = false;  ///< content of folders with a valid CACHEDIR.TAG, all but the tag
    bool exclude_nodump = false;  ///< what has the `d` attribute of chattr(1)
    bool one_file_system = false; ///< content of folders on which something is mounted
    std::uint64_t max_file_bytes = 0; ///< larger files; 0: no limit
};

/// Of run(). What an earlier backup has of what is excluded now is gone from the next.
struct options : exclusions {
    std::filesystem::path source; ///< the folder to back up; `destination` inside it is left out
    std::filesystem::path destination;    ///< a folder, created when missing
    std::shared_ptr<backup::store> store; ///< or another place than a folder
    std::string name;                     ///< empty: the source's last component
    kind what = kind::automatic;          ///< which kind to make

    // When `automatic` makes a full. A day that was missed counts on the next run; a full that lies
    // in the future (the clock was set back) is as good as none.
    std::optional<std::chrono::weekday> full_on = std::chrono::Monday; ///< of local time
    std::chrono::days full_every{0}; ///< when the last full is so old; 0: never for that
    std::uint32_t full_after = 0;    ///< after so many backups on it; 0: never for that
    std::uint32_t full_over_percent =
        0;                            ///< when they are more than this share of its size; 0: never
    kind between = kind::incremental; ///< or differential: what else `automatic` makes

    // What is looked at again although size, mtime, ctime, inode, mode and owner are as they were.
    std::uint32_t rehash_part =
        0; ///< 1 to rehash_parts: every path belongs to one; 0: whose turn it is by the day
    std::uint32_t rehash_parts = 0; ///< 0: none, 1: everything; 30 finds rot within thirty runs

    /// Of a file of 64 KiB or more that grew at its end an increment or differential stores the tail
    /// only, as a member "PATH.trawl-tail@OFFSET". The beginning is read all the same: if its hash is
    /// not what it was, all of the file is stored; so it is behind 64 tails.
    bool append_delta = false;

    backup::hash hash = backup::hash::sha256;      ///< another one than the base's makes a full
    backup::level level = backup::level::standard; ///< of compression; archives of any level mix
    bool zstd = false;                             ///< NAME_..._DATE.tar.zst instead of .tar.gz
    observer* watch = nullptr;                     ///< progress in "bytes", warnings; not owned
    std::function<std::chrono::system_clock::time_point()> now; ///< for tests; empty: the system's
};

/// One path and what was the matter with it.
struct problem {
    std::string path;    ///< relative to the source, raw bytes; empty: the whole
    std::string message; ///< one line
};

/// What run() made.
struct report {
    kind made = kind::full;         ///< full, incremental or differential
    std::filesystem::path file;     ///< the archive
    std::filesystem::path manifest; ///< its own, dated manifest
    std::uint64_t entries = 0;      ///< members of the archive
    std::uint64_t bytes_in = 0;     ///< content of the files in it
    std::uint64_t bytes_out = 0;    ///< its size
    std::string reason;             ///< why this kind: "the full of Mon 2026-11-23", "asked for"
    /// Entries against the base, each in one of these: new, with other content, with other facts only,
    /// gone, and as they were.
    std::uint64_t added = 0, changed = 0, metadata_only = 0, deleted = 0, unchanged = 0;
    std::uint64_t renamed = 0;  ///< of `added`: content of a deleted file, stored as a reference
    std::uint64_t appended = 0; ///< of `changed`: only what was appended is stored
    std::uint64_t rehashed = 0; ///< files that were read although nothing told of a change
    std::uint64_t excluded = 0; ///< names that were left out
    std::vector<problem>
        errors; ///< what could not be read; the rest is stored (errc::incomplete, exit 3)
    std::vector<problem> notes; ///< no failure: changed while it was read, why a full was made
};

/// Makes one backup. A file that cannot be read is reported and keeps its previous state in the
/// manifest; without one, what could be read of its beginning is stored and flagged. One that
/// changes while it is read is read again, and flagged when it does not come to rest. What is hashed is what was archived. Archive bytes do not depend on the number of threads.
///
/// Throws error: locked, bad_name, bad_source, bad_option, no_such_archive (incremental or
/// differential without a base), or the system's code for the destination (no space). All I/O and CPU work runs on `cpu`, which outlives
/// the call. Cancelling stops within one block and leaves nothing under a final name.
awaitable<report> run(offload_pool& cpu, options configuration);

/// Of restore().
struct restore_options {
    std::filesystem::path archives;         ///< the folder with the backups
    std::shared_ptr<backup::store> store{}; ///< or another place with them
    std::filesystem::path
        target;       ///< new or existing; files there that the backup does not name stay
    std::string name; ///< empty: the only one in `archives`
    std::optional<std::chrono::system_clock::time_point>
        at; ///< the newest state not after this; empty: the latest
    /// Relative to the source (or absolute beneath it), each with all beneath; one that is not there
    /// is a pattern: "*", "?" and "[...]" within a component, "**" for any number of them. Empty:
    /// everything.
    std::vector<std::string> paths;
    observer* watch = nullptr; ///< as above
};

/// What restore() has put back.
struct restore_report {
    std::filesystem::path manifest; ///< the state that was restored
    std::uint64_t entries = 0;      ///< files, folders, links and others put in place
    std::uint64_t bytes = 0;        ///< content written
    bool corrupt = false; ///< an error below is damage to an archive (errc::corrupt, exit 13)
    std::vector<problem> errors; ///< what could not be restored
    std::vector<problem> notes;  ///< no failure: what only root can set and was left out
};

/// Puts a state back: content, holes, modes, times to the nanosecond, links, attributes and ACLs;
/// as root owners and devices, too. Each file is written once, under a temporary name that is
/// renamed when its hash agrees with the manifest, and never through a symbolic link or outside
/// `target` (openat2(2)). Files deleted before the state was taken do not come back. Archives are
/// inflated in parallel, and only where something is wanted; damage costs no other file than those
/// it touches.
///
/// Throws error: no_such_archive, corrupt (the manifest), bad_name, or the system's code for
/// `target` (no space). Cancelling leaves whole files and folders, and no temporary file. A process
/// that is killed may leave temporary files, which the next restore into `target` removes.
awaitable<restore_report> restore(offload_pool& cpu, restore_options configuration);

/// Of verify().
struct verify_options {
    std::filesystem::path archives;         ///< the folder with the backups
    std::shared_ptr<backup::store> store{}; ///< or another place with them
    std::string name;                       ///< empty: the only one in `archives`
    /// Compares the files of this tree with the latest state, too: each that has the size and the
    /// mtime of its entry must have its content.
    std::optional<std::filesystem::path> live;
    observer* watch = nullptr; ///< as above
};

/// Content that an archive does not give back any more.
struct damaged_file {
    std::string path;    ///< relative to the source, raw bytes
    std::string archive; ///< file name
    std::string why;     ///< with the block of the archive, when that cannot be inflated
    std::vector<std::string> manifests; ///< file names of the states it is in, sorted
};

/// What verify() has found.
struct verify_report {
    std::uint64_t manifests = 0; ///< read and found whole
    std::uint64_t archives = 0;  ///< read and found as they were written
    std::uint64_t files = 0;     ///< contents in archives that were looked at
    std::uint64_t bytes = 0;     ///< of archives that were read
    std::vector<problem> errors; ///< by file of the folder
    /// Each content once, with all states that it is in.
    std::vector<damaged_file> damaged;
    std::vector<problem> notes; ///< no damage: archives without a manifest
    /// Files of the live tree: as they were saved; changed or gone since.
    std::uint64_t live_same = 0, live_changed = 0;
    std::vector<problem>
        live_errors; ///< other content under the same size and mtime, or unreadable
};

/// Reads every manifest and every archive of a name, in parallel: checksums, the hash of each file
/// in them, the hashes by which an increment names its parents, archives that are missing. Damage
/// is named with each file it costs and each state these are in; restore() brings back all others.
/// An archive whose manifest is lost is looked at by one that stands on it.
///
/// Throws error: no_such_archive, bad_name. Damage is no exception: it is in the report
/// (errc::corrupt, exit 13).
awaitable<verify_report> verify(offload_pool& cpu, verify_options configuration);

/// What is different about one path between two states.
struct change {
    /// How; metadata: the content is the same, other facts are not.
    enum kind { added, removed, changed, metadata };
    kind what = changed; ///< which of these
    std::string path;    ///< relative to the source, raw bytes
    char type = 'f';     ///< as that of entry_info; what it was, when it is removed
    std::string facts;   ///< of changed ones, in words: "content, size, mode, owner, mtime, ..."
};

/// Of diff().
struct diff_options : exclusions {
    std::filesystem::path archives;         ///< the folder with the backups
    std::shared_ptr<backup::store> store{}; ///< or another place with them
    std::string name;                       ///< empty: the only one in `archives`
    std::optional<std::chrono::system_clock::time_point>
        from; ///< the newest state not after this; empty: the latest
    std::optional<std::chrono::system_clock::time_point>
        to;                         ///< against another state; empty: against the live tree
    std::filesystem::path live;     ///< where that is; empty: where it was backed up
    bool rehash = false;            ///< read all files of it, not only those with other facts
    std::vector<std::string> paths; ///< as those of restore_options; empty: everything
    observer* watch = nullptr;      ///< as above
};

/// What diff() has counted.
struct diff_report {
    /// Manifests by file name; `to` empty: the live tree.
    std::string from, to;
    /// Changes of each kind.
    std::uint64_t added = 0, removed = 0, changed = 0, metadata = 0;
    std::vector<problem> errors; ///< what could not be read of the live tree, unknown paths
};

/// Compares two states, or a state with the live tree: size and content of files (whose hash is
/// computed where size agrees and inode, times, mode or owner do not), type, mode, owner, mtime,
/// link, device, attributes. Extended attributes of a live file are looked at when something else
/// tells of a change. Calls each(CHANGE), by path, on the caller's executor.
///
/// Throws error: as restore(), or the system's code for the live tree.
awaitable<diff_report> diff(offload_pool& cpu, diff_options configuration,
                            std::function<void(change const&)> each);

/// How long backups stay. The rules add up; each counts days, weeks or months that have a backup.
struct prune_rules {
    std::uint32_t keep_last = 0;    ///< the newest ones
    std::uint32_t keep_daily = 0;   ///< the newest of each of so many days, local time
    std::uint32_t keep_weekly = 0;  ///< of each week, which begins on Monday
    std::uint32_t keep_monthly = 0; ///< of each month
};

/// Of prune().
struct prune_options {
    std::filesystem::path archives;         ///< the folder with the backups
    std::shared_ptr<backup::store> store{}; ///< or another place with them
    std::string name;                       ///< empty: the only one in `archives`
    /// What stays; without any rule prune() throws bad_option.
    prune_rules rules;
    bool dry_run = false;      ///< decide and remove nothing
    observer* watch = nullptr; ///< as above
};

/// What prune() has removed, or would.
struct prune_report {
    std::vector<problem> kept;        ///< manifests, from old to new, and by which rule
    std::vector<std::string> removed; ///< archives, with their manifests; by file name
    std::uint64_t bytes = 0;          ///< of archives that are gone
};

/// Removes the backups that no rule keeps. What a kept one stands on stays, and so does the newest.
/// The newest goes first, its manifest before its archive: whenever the process is killed, every
/// manifest has all it needs, and the next prune() finishes what was begun.
///
/// Throws error: no_such_archive, bad_name, bad_option (no rule), locked, corrupt (a manifest whose
/// first line is damaged might need anything: verify first), or the system's code. Cancelling stops
/// between two steps.
awaitable<prune_report> prune(offload_pool& cpu, prune_options configuration);

/// Of list().
struct list_options {
    std::filesystem::path archives;         ///< the folder with the backups
    std::shared_ptr<backup::store> store{}; ///< or another place with them
    std::string name;                       ///< empty: all names in it
};

/// One backup in a folder, by the first line of its manifest.
struct archive_info {
    std::string name;       ///< NAME of the backup
    kind made = kind::full; ///< full, incremental or differential
    /// When it was begun; after what it stands on, even if the clock was set back.
    std::chrono::system_clock::time_point created;
    /// Its files, in the folder that list() was given.
    std::filesystem::path archive, manifest;
    std::uint64_t bytes = 0; ///< size of the archive, as it was written
    std::string stands_on;   ///< the manifest that an increment needs; empty for a full
    std::string damage;      ///< what is wrong at first sight: header, size, no archive; or empty
};

/// The backups in a folder, by name and age. Throws error: no_such_archive, bad_name.
awaitable<std::vector<archive_info>> list(offload_pool& cpu, list_options configuration);

/// Of entries().
struct entries_options {
    std::filesystem::path archives;         ///< the folder with the backups
    std::shared_ptr<backup::store> store{}; ///< or another place with them
    std::string name;                       ///< empty: the only one in `archives`
    std::optional<std::chrono::system_clock::time_point>
        at;                         ///< the newest state not after this; empty: the latest
    std::vector<std::string> paths; ///< as those of restore_options
};

/// One object in a state.
struct entry_info {
    std::string path;       ///< relative to the source, raw bytes; the source itself is ""
    char type = 'f';        ///< f(ile) d(irectory) l(ink) p(ipe) c(haracter) b(lock) s(ocket)
    std::uint32_t mode = 0; ///< permission bits, 07777
    /// Owner and group, by number.
    std::uint32_t uid = 0, gid = 0;
    std::uint64_t size = 0;    ///< bytes of a file
    std::int64_t mtime_ns = 0; ///< since 1970
    std::string link;          ///< target of a symbolic link, first name of a hard link
    bool hard_link = false;    ///< another name of a file: `link` is its first
    std::string hash;          ///< hexadecimal; empty without content
    std::string archive;       ///< file name of the archive with the content; empty without
    /// Of a file whose tails are in later archives: the names of all, in order; `archive` is the
    /// last. Else empty.
    std::vector<std::string> parts;
    bool unsettled = false; ///< changed while it was read
    bool stale = false;     ///< could not be read then: as it was in an earlier state
    bool partial = false;   ///< could not be read to its end: `size` is what there was
};

/// Calls each(ENTRY) for what `paths` choose of a state, sorted, on the caller's executor. Returns
/// paths that chose nothing and manifests that were passed over. Throws error as restore().
awaitable<std::vector<problem>> entries(offload_pool& cpu, entries_options configuration,
                                        std::function<void(entry_info const&)> each);

/// Of cat().
struct cat_options {
    std::filesystem::path archives;         ///< the folder with the backups
    std::shared_ptr<backup::store> store{}; ///< or another place with them
    std::string path; ///< of a file, relative to the source or absolute beneath it
    std::string name; ///< empty: the only one in `archives`
    std::optional<std::chrono::system_clock::time_point>
        at; ///< the newest state not after this; empty: the latest
};

/// What cat() has read, and how long that took.
struct cat_report {
    std::filesystem::path manifest; ///< the state it is from
    std::uint64_t bytes = 0;        ///< of content
    /// For the entry in the manifest; of the content.
    duration searching{}, reading{};
};

/// One file out of a backup: its line is searched in the manifest, which is not parsed, and no
/// other blocks of the archive than those with its content are inflated.
///
/// take(BYTES) gets the content in order, on a thread of `cpu`, and may block there. Content within
/// one block is checked before any of it goes out; of a larger file the hash is known at the end
/// only, and errc::corrupt then takes back what went out.
///
/// Throws error: no_such_archive, bad_name, corrupt, the system's ENOENT, EISDIR, or ENOTSUP for
/// what is no regular file. What `take` throws passes. Cancelling stops within one block.
awaitable<cat_report> cat(offload_pool& cpu, cat_options configuration,
                          std::function<void(std::string_view)> take);

} // namespace trawl::backup

template <>
struct std::is_error_code_enum<trawl::backup::errc> : std::true_type {};
