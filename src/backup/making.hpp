#pragma once

#include "backup/compress.hpp"
#include "backup/content.hpp"
#include "backup/repository.hpp"

#include <trawl/backup.hpp>
#include <trawl/backup_store.hpp>

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace trawl::backup::detail {

/// One backup in the making, as plain blocking steps for the pool:
///
///     open -> choose, walk, walk -> prepare -> next, compress, write for each block -> publish
///
/// choose and any number of walks may run at the same time; so may next and write, and compress in
/// parallel with all.
class making {
public:
    /// `root`: what the manifest calls the source; empty: its own path.
    making(options o, std::string root) : options_(std::move(o)), root_(std::move(root)) {}

    /// Opens source and destination and takes the lock.
    void open();
    /// Loads the base and decides between full, incremental and differential.
    void choose(std::stop_token const& stop);
    void walk(std::stop_token const& stop) { walker_->work(stop); }
    /// Decides what to store and opens the archive.
    void prepare();
    /// The next block of the tar stream; empty at its end.
    std::string next(std::stop_token const& stop) { return stream_->next(stop); }
    squeezed compress(std::string_view block) const { return compressor_->compress(block); }
    /// In the order of the blocks.
    void write(squeezed const& block);
    /// Archive, dated manifest, latest: each whole on disk before the next gets its name.
    void publish();

    report result() && { return std::move(report_); }
    std::uint64_t bytes_read() const noexcept { return stream_->bytes_read(); }
    std::uint64_t bytes_to_read() const noexcept { return stream_->bytes_to_read(); }

private:
    void check_options() const;
    void append(std::string_view bytes);
    void open_source();
    void open_destination();
    void load_base(std::stop_token const& stop);
    std::string why_unusable(loaded const& base) const;
    std::optional<past> known_past() const;
    void stand_on_full(std::stop_token const& stop);
    std::string free_stem() const;
    manifest new_state(plan done);
    void tally(plan const& done);
    void note(std::string const& text) { report_.notes.push_back({{}, text}); }

    options options_;
    report report_;
    std::chrono::system_clock::time_point now_;
    std::int64_t started_ns_ = 0;
    std::string root_;
    std::string destination_;
    descriptor source_;
    std::shared_ptr<store> store_;
    std::unique_ptr<store_lock> lock_;
    std::optional<walker> walker_;
    std::optional<loaded> base_;
    std::string stem_;
    std::optional<block_compressor> compressor_;
    std::optional<tar_stream> stream_;
    std::unique_ptr<new_file> archive_;
    std::uint64_t archive_bytes_ = 0;
    hasher archive_hash_{hash::sha256};
    std::vector<std::uint32_t> blocks_;
    std::vector<problem> walk_errors_;
};

/// run(), under another name for the source.
awaitable<report> make(offload_pool& cpu, options configuration, std::string root);

} // namespace trawl::backup::detail
