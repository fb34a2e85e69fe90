#pragma once

#include "cli/environment.hpp"
#include "cli/output_file.hpp"
#include "cli/portion.hpp"
#include "cli/resume.hpp"

#include <filesystem>
#include <optional>

namespace trawl::cli {

/// What one sweep leaves on disk: --output and --resume together, for one list, seed and shard.
/// Either may be missing; then that part does nothing.
///
///     ledger files(env, list, {.seed = seed, .part = part}, "out.ndjson", "state");
///     sweep(list, {.order = files.order()});                  // goes on behind what is done
///     for each result: if (files.is_done(position)) continue; // some beyond that are done too
///                      env.out().record(...); files.note(position, status);
///                      if (files.due()) co_await files.save();
///     files.close();                                          // before the summary
///     env.out().record(files.describe(summary));
///     files.finish(every target has its result);              // FILE is there now, or never
class ledger {
public:
    /// Redirects env.out() to the output file when there is one. `how.from` is not looked at.
    /// Throws as output_file and progress_file do.
    ledger(environment& env, targets::list const& list, targets::order how,
           std::filesystem::path const& output, std::filesystem::path const& resume);

    /// The seed and shard, beginning at the first target that is not done.
    targets::order order() const;
    /// Targets of the shard.
    std::uint64_t size() const noexcept { return size_; }
    /// Results of earlier runs, which this run's summary includes.
    std::uint64_t resumed() const noexcept { return resumed_; }
    progress_file::counts resumed_by_status() const noexcept { return resumed_by_status_; }

    bool is_done(std::uint64_t position) const {
        return progress_ && progress_->done().contains(position);
    }
    void note(std::uint64_t position, icmp::status status) {
        if (progress_) progress_->note(position, status);
    }
    bool due() const noexcept { return progress_ && progress_->due(clock::now()); }
    /// Saves the state of this moment on the pool for blocking work.
    awaitable<> save();

    /// Saves the state when there is something to go on with; blocks. What is written to the output
    /// after it is cut off by a run that goes on.
    void close();
    /// Adds "shard", "seed" and "list".
    json::record& describe(json::record& summary) const;
    /// `complete`: moves the output file into its place and removes the state. Else both stay, and
    /// the log says where. Blocks.
    void finish(bool complete);

private:
    std::function<void()> saving();

    environment& env_;
    portion portion_;
    std::uint64_t size_, resumed_ = 0;
    progress_file::counts resumed_by_status_{};
    std::filesystem::path resume_;
    std::optional<progress_file> progress_;
    std::optional<output_file> output_;
};

} // namespace trawl::cli
