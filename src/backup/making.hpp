#pragma once

#include "backup/compress.hpp"
#include "backup/content.hpp"
#include "backup/repository.hpp"

#include <trawl/backup.hpp>
#include <trawl/mutex.hpp>

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace trawl::backup::detail {

/// One backup in the making, as plain blocking steps for the pool: prepare once,
/// next/compress/write for each block, publish once. next and write may run at the same time as
/// each other, compress in parallel with all.
class making {
public:
    explicit making(options o) : options_(std::move(o)) {}

    /// Takes the lock, loads the base, walks the source, decides what to store and opens the
    /// archive.
    void prepare(std::stop_token const& stop);
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
    void open_source();
    void open_destination();
    void load_base(std::stop_token const& stop);
    std::string why_unusable(loaded const& base) const;
    void choose_kind();
    std::string free_stem() const;
    manifest new_state(plan done);
    void tally(plan const& done);
    void note(std::string const& text) { report_.notes.push_back({{}, text}); }

    options options_;
    report report_;
    std::chrono::system_clock::time_point now_;
    std::int64_t started_ns_ = 0;
    std::string root_, destination_;
    descriptor source_, folder_;
    std::optional<file_lock> lock_;
    std::optional<loaded> base_;
    std::string stem_;
    std::optional<block_compressor> compressor_;
    std::optional<tar_stream> stream_;
    std::unique_ptr<temporary> archive_;
    hasher archive_hash_{hash::sha256};
    std::vector<std::uint32_t> blocks_;
    std::vector<problem> walk_errors_;
};

} // namespace trawl::backup::detail
