#pragma once

#include "backup/reading.hpp"
#include "backup/repository.hpp"

#include <trawl/backup.hpp>

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <tuple>
#include <vector>

namespace trawl::backup::detail {

/// The check of all backups of a name, as plain blocking jobs for the pool.
///
///     { load some manifests -> read the archives written with them } * n
///     -> archives whose own manifest is damaged, by one that stands on them
///     -> which other manifests need what is damaged
///     -> files of the live tree, against the latest state
///
/// Only some manifests are in memory at a time, and of those only what lies in their own archive.
class verifying {
public:
    explicit verifying(verify_options o) : options_(std::move(o)) {}

    /// Finds the manifests. Alone.
    void prepare(std::stop_token const& stop);
    /// Carries out the next job of this phase; false when none is left. From several threads.
    bool advance(std::stop_token const& stop);
    /// When advance() has ended everywhere; false when that was the last phase.
    bool next_phase();

    verify_report result() &&;
    std::uint64_t bytes_done() const noexcept { return bytes_done_; }
    std::uint64_t bytes_wanted() const noexcept { return bytes_wanted_; }

private:
    enum class phase { loading, reading, rescue, rescue_reading, consequences, live, done };
    /// A manifest that was found whole, without its entries.
    struct known {
        manifest head;
        digest hash;
    };
    /// One archive and what a manifest says is in it.
    struct check {
        std::string by; ///< the manifest
        manifest head;
        std::vector<entry> entries; ///< with content in this archive, which has number 0 there
        std::vector<open_archive> archive;
        std::vector<wish> wishes;
        chain_link link;
        std::atomic<bool> as_written{false};
    };
    struct job {
        enum { load, hash, contents, consequences, live } what = load;
        std::string file; ///< to load
        check* of = nullptr;
        span part{}; ///< of the wishes, of the latest state's entries
    };
    using place = std::tuple<std::string, std::uint64_t, std::string>; ///< archive, offset, path

    void plan_batch();
    void plan_reading();
    /// False when it cannot be read, and `why` where that is known better.
    bool open(check& now, std::string& why);
    void plan_rescue();
    void plan_consequences();
    void plan_live();
    void check_parents();
    void check_latest();
    void find_orphans();

    void load_one(std::string const& file, std::stop_token const& stop);
    void add_check(loaded& from, std::size_t index);
    void hash_archive(check& now, std::stop_token const& stop);
    void read_contents(check& now, span part, std::stop_token const& stop);
    void follow(std::string const& file, std::stop_token const& stop);
    void follow(std::string const& file, entry const& e, std::string const& archive,
                std::uint64_t offset);
    void compare_live(span part, std::stop_token const& stop);
    void lose(check const& now, entry const& e, std::string const& why);
    void end_checks();
    void wrong(std::string const& what, std::string const& why);

    verify_options options_;
    verify_report report_;
    std::shared_ptr<store> store_;
    std::vector<std::string> listed_;      ///< all that was in the folder at the begin
    std::vector<std::string> waiting_;     ///< manifests, newest first, to be taken from the end
    std::map<std::string, known> known_;   ///< by file, copies not among them
    std::map<std::string, bool> archives_; ///< by name: their contents have been looked at
    std::deque<check> checks_;
    std::vector<std::pair<std::string, std::string>> rescues_; ///< manifest, archive
    std::map<place, damaged_file> damage_;
    loaded latest_; ///< to compare with the live tree
    descriptor live_;

    phase phase_ = phase::loading;
    std::vector<job> jobs_;
    std::atomic<std::size_t> next_{0};
    std::atomic<std::uint64_t> bytes_done_{0}, bytes_wanted_{0};
    std::mutex adding_;
};

} // namespace trawl::backup::detail
