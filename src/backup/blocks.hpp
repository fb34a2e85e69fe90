#pragma once

#include "backup/compress.hpp"
#include "backup/manifest.hpp"

#include <trawl/backup_store.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::backup::detail {

/// Where the blocks of an archive begin in its file, by the list in the manifest.
class block_map {
public:
    explicit block_map(chain_link const& archive);

    std::size_t size() const noexcept { return begins_.size() - 1; }
    std::uint64_t begin(std::size_t block) const noexcept { return begins_[block]; }
    std::uint64_t end(std::size_t block) const noexcept { return begins_[block + 1]; }
    /// Bytes of the plain stream in every block but the last, which may have fewer.
    std::uint64_t block_bytes() const noexcept { return block_bytes_; }
    codec how() const noexcept { return codec_; }

private:
    codec codec_;
    std::uint64_t block_bytes_;
    std::vector<std::uint64_t> begins_; ///< and the end of the last
};

/// Reads the plain tar stream of an archive anywhere. Each block is inflated alone, never to more
/// than its size, so that damage ends with its block and a bomb does not go off. gzip and zstd
/// check little by themselves: the caller compares hashes. One thread at a time.
class block_reader {
public:
    /// `file` and `map` stay as long as the reader.
    block_reader(stored_file const& file, block_map const& map);
    ~block_reader();

    /// The bytes from `offset` on, up to `most` of them and to the end of their block, at least
    /// one. Valid until the next call. Throws std::runtime_error that names the block when it is
    /// damaged or not there, error when the store fails.
    std::string_view at(std::uint64_t offset, std::uint64_t most);

private:
    void load(std::size_t block);
    std::size_t inflate();

    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::backup::detail
