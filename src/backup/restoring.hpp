#pragma once

#include "backup/reading.hpp"
#include "backup/placing.hpp"
#include "backup/repository.hpp"

#include <trawl/backup.hpp>

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace trawl::backup::detail {

/// One restore, as plain blocking jobs for the pool.
///
///     folders -> contents (newest archive first) and other kinds -> hard links
///     -> metadata of folders, deepest first
///
/// Nothing but the manifest says what is to be made and where its content lies; the headers in an
/// archive are not looked at. A file gets its name when the hash of its content agrees.
class restoring {
public:
    explicit restoring(restore_options o) : options_(std::move(o)) {}

    /// Chooses the state, checks that its archives are there, opens the target. Alone.
    void prepare(std::stop_token const& stop);
    /// Carries out the next job of this phase; false when none is left. From several threads.
    bool advance(std::stop_token const& stop);
    /// When advance() has ended everywhere; false when that was the last phase.
    bool next_phase();

    restore_report result() &&;
    std::uint64_t bytes_done() const noexcept { return bytes_done_; }
    std::uint64_t bytes_wanted() const noexcept { return bytes_wanted_; }

private:
    enum class phase { folders, contents, links, metadata, done };
    struct item {
        std::uint32_t at = 0;  ///< index into the entries
        bool ancestor = false; ///< only on the way to what was asked for
        bool placed = false;
        bool made = false; ///< a folder that was not there before
    };
    struct job {
        enum { folders, contents, others, links, metadata } what = folders;
        std::size_t begin = 0, end = 0; ///< of the items, of the wishes for contents
    };
    /// What a job has done, added up at its end.
    struct tally {
        std::uint64_t entries = 0, bytes = 0, left_out = 0;
        bool corrupt = false;
        std::vector<problem> errors;
    };

    void choose_state(std::stop_token const& stop);
    void choose_items();
    void add_wishes();
    void open_archives_of_wishes();
    void open_target();
    void plan_jobs();
    void plan_slices(decltype(job::what) what);

    void carry_out(job const& now, std::stop_token const& stop);
    void restore_contents(job const& now, placer& into, tally& done, std::stop_token const& stop);
    bool restore_file(item& what, entry const& content, content_reader& from, placer& into,
                      std::stop_token const& stop);
    void one_item(job const& now, item& what, placer& into, tally& done);
    void make_link(item& what, placer& into, tally& done);
    void add(tally done);

    entry const& of(item const& what) const { return from_.state.entries[what.at]; }
    item* item_of(entry const& e);

    restore_options options_;
    restore_report report_;
    std::shared_ptr<store> store_;
    std::string shown_;
    descriptor target_;
    loaded from_;
    std::vector<item> items_;
    std::map<std::string, std::uint32_t>
        stand_ins_;            ///< leader not asked for -> item that gets its content
    std::vector<wish> wishes_; ///< their numbers are of items
    std::vector<open_archive> archives_;
    std::uint64_t bytes_wanted_ = 0;

    phase phase_ = phase::folders;
    std::vector<job> jobs_;
    std::atomic<std::size_t> next_{0};
    std::atomic<std::uint64_t> bytes_done_{0};
    std::mutex adding_;
    std::uint64_t left_out_ = 0;
};

} // namespace trawl::backup::detail
