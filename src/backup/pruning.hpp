#pragma once

#include "backup/repository.hpp"
#include "backup/retention.hpp"

#include <trawl/backup.hpp>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace trawl::backup::detail {

/// Removes backups, as plain blocking steps for the pool: prepare once, then advance until it says
/// false. A step is one change of the folder.
///
/// Newest first, each in three steps, so that no manifest ever lacks an archive or a parent:
/// manifest -> .STEM.pruned (a rename, made durable), archive removed, .STEM.pruned removed. Whoever
/// is killed in between leaves the name of what is to go, and the next prune goes on from there.
class pruning {
public:
    explicit pruning(prune_options o) : options_(std::move(o)) {}

    /// Takes the lock (not for a dry run) and decides.
    void prepare(std::stop_token const& stop);
    bool advance(std::stop_token const& stop);

    prune_report result() && { return std::move(report_); }
    std::uint64_t bytes_done() const noexcept { return report_.bytes; }
    std::uint64_t bytes_wanted() const noexcept { return bytes_wanted_; }

private:
    struct dated {
        std::string file, archive;
        manifest head;
    };
    void find();
    void finish_earlier();
    void decide();
    void plan_removal(dated const& old);
    void remove(std::string const& file, bool counts);

    prune_options options_;
    prune_report report_;
    std::string shown_;
    std::shared_ptr<store> store_;
    std::unique_ptr<store_lock> lock_;
    std::vector<dated> all_; ///< from old to new
    std::deque<std::function<void()>> steps_;
    std::uint64_t bytes_wanted_ = 0;
};

} // namespace trawl::backup::detail
