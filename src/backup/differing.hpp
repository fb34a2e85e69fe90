#pragma once

#include "backup/live.hpp"
#include "backup/repository.hpp"
#include "backup/selection.hpp"
#include "backup/walk.hpp"

#include <trawl/backup.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

namespace trawl::backup::detail {

/// What is different between two states of one path, in words: "content, size, mode, owner, mtime,
/// link, device, attributes"; empty: nothing. `same_hash`: their hashes are of one kind.
std::string differences(entry const& before, entry const& now, bool same_hash);

/// A comparison as plain blocking jobs for the pool: prepare, advance from several threads (hashes
/// of live files) until it says false, next_phase, then slices in the order of paths.
class differing {
public:
    explicit differing(diff_options o) : options_(std::move(o)) {}

    void prepare(std::stop_token const& stop);
    bool advance(std::stop_token const& stop);
    bool next_phase() noexcept { return false; }
    /// The next changes; empty at the end.
    std::vector<change> slice();

    diff_report result() &&;
    std::uint64_t bytes_done() const noexcept { return bytes_done_; }
    std::uint64_t bytes_wanted() const noexcept { return bytes_wanted_; }

private:
    void choose();
    void plan_looks();
    void look_at_live(entry& now, entry const& before, live_hasher& with, std::stop_token const&);
    bool compare_next(std::vector<change>& into);

    diff_options options_;
    diff_report report_;
    loaded from_, to_; ///< the live tree as a state, too
    std::vector<choice> chosen_from_, chosen_to_;
    std::vector<std::string> unread_; ///< of the live tree
    descriptor root_;
    bool same_hash_ = true;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> looks_; ///< live entry, old one
    std::size_t before_ = 0, now_ = 0;                           ///< up to where slices have come
    std::atomic<std::size_t> next_{0};
    std::atomic<std::uint64_t> bytes_done_{0};
    std::uint64_t bytes_wanted_ = 0;
    std::mutex adding_;
};

} // namespace trawl::backup::detail
