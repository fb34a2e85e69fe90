#pragma once

#include <trawl/backup.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace trawl::backup::detail {

enum class codec { gzip, zstd };

/// One block of the stream, compressed without a look at the others.
struct squeezed {
    std::string bytes;
    std::uint32_t crc = 0;   ///< CRC-32 of the plain block (gzip)
    std::uint64_t plain = 0; ///< its size
};

/// Compresses a stream in blocks, in parallel, into one gzip member or a row of zstd frames.
///
///     gzip:  header | deflate blocks, full flush | ... | empty final block | CRC-32 | size
///     zstd:  frame with checksum | frame | ...
///
/// A full flush ends on a byte and the next block starts from an empty window, so that the blocks
/// simply follow each other in one member that every reader takes (RFC 1951, RFC 1952); CRCs
/// combine. The bytes depend on the plain stream, the level and the block size only.
class block_compressor {
public:
    block_compressor(codec chosen, level effort) noexcept : codec_(chosen), level_(effort) {}

    /// Thread-safe.
    squeezed compress(std::string_view plain) const;

    std::string head() const;
    /// To be called in the order of the blocks.
    void count(squeezed const& block);
    std::string tail() const;

    /// How much of the stream goes into one block: 1 MiB, zstd 4 MiB (512 KiB frames cost 14 % in
    /// size).
    std::size_t block_bytes() const noexcept;
    std::string_view suffix() const noexcept {
        return codec_ == codec::gzip ? ".tar.gz" : ".tar.zst";
    }

private:
    codec codec_;
    level level_;
    std::uint32_t crc_ = 0;
    std::uint64_t plain_ = 0;
};

} // namespace trawl::backup::detail
