#include "backup/blocks.hpp"

#include "backup/repository.hpp"

#include <fmt/format.h>
#include <libdeflate.h>
#include <zstd.h>

#include <algorithm>
#include <new>
#include <stdexcept>

namespace trawl::backup::detail {

block_map::block_map(chain_link const& archive)
    : codec_(archive.archive.ends_with(".zst") ? codec::zstd : codec::gzip),
      block_bytes_(archive.block_bytes) {
    begins_.reserve(archive.blocks.size() + 1);
    std::uint64_t at = block_compressor(codec_, level::standard).head().size();
    begins_.push_back(at);
    for (auto const bytes : archive.blocks) begins_.push_back(at += bytes);
}

namespace {

/// An empty final block with fixed codes (RFC 1951 3.2.6): libdeflate reads up to a final one, and
/// a block of ours ends with a flush.
constexpr std::string_view deflate_end("\x03\0", 2);

struct free_deflate {
    void operator()(libdeflate_decompressor* d) const noexcept {
        ::libdeflate_free_decompressor(d);
    }
};
struct free_zstd {
    void operator()(ZSTD_DCtx* d) const noexcept { ::ZSTD_freeDCtx(d); }
};

} // namespace

struct block_reader::state {
    state(stored_file const& f, block_map const& m) : file(f), map(m) {
        if (m.how() == codec::zstd)
            zstd.reset(::ZSTD_createDCtx());
        else
            deflate.reset(::libdeflate_alloc_decompressor());
        if (!zstd && !deflate) throw std::bad_alloc();
    }
    stored_file const& file;
    block_map const& map;
    std::unique_ptr<libdeflate_decompressor, free_deflate> deflate;
    std::unique_ptr<ZSTD_DCtx, free_zstd> zstd;
    std::string packed, plain;
    std::size_t loaded = static_cast<std::size_t>(-1);
};

block_reader::block_reader(stored_file const& file, block_map const& map)
    : state_(std::make_unique<state>(file, map)) {}
block_reader::~block_reader() = default;

std::string_view block_reader::at(std::uint64_t offset, std::uint64_t most) {
    auto& s = *state_;
    auto const size = s.map.block_bytes();
    auto const block = static_cast<std::size_t>(offset / size);
    if (block >= s.map.size())
        throw std::runtime_error(fmt::format("it has {} blocks only", s.map.size()));
    if (block != s.loaded) load(block);
    auto const skip = static_cast<std::size_t>(offset % size);
    if (skip >= s.plain.size())
        throw std::runtime_error(fmt::format("block {} is too short", block));
    auto const rest = std::string_view(s.plain).substr(skip);
    return rest.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(most, rest.size())));
}

void block_reader::load(std::size_t block) {
    auto& s = *state_;
    s.loaded = static_cast<std::size_t>(-1);
    auto const begin = s.map.begin(block);
    auto const bytes = static_cast<std::size_t>(s.map.end(block) - begin);
    s.packed.resize(bytes);
    auto const bad = [&](std::string_view why) {
        return std::runtime_error(fmt::format("block {} at byte {}: {}", block, begin, why));
    };
    try {
        if (s.file.read(begin, s.packed) < bytes) throw bad("is not there");
    } catch (error const& failure) {
        if (!is_damage(failure.code())) throw;
        throw bad(words_of(failure));
    }
    s.plain.resize(s.map.block_bytes());
    s.plain.resize(inflate());
    bool const last = block + 1 == s.map.size();
    if (s.plain.empty() || (!last && s.plain.size() != s.map.block_bytes()))
        throw bad("damaged, cannot be inflated");
    s.loaded = block;
}

// The plain size; 0 for damage.
std::size_t block_reader::inflate() {
    auto& s = *state_;
    if (s.zstd) {
        auto const n = ::ZSTD_decompressDCtx(s.zstd.get(), s.plain.data(), s.plain.size(),
                                             s.packed.data(), s.packed.size());
        return ::ZSTD_isError(n) ? 0 : n;
    }
    s.packed += deflate_end;
    std::size_t n = 0;
    auto const result = ::libdeflate_deflate_decompress(
        s.deflate.get(), s.packed.data(), s.packed.size(), s.plain.data(), s.plain.size(), &n);
    return result == LIBDEFLATE_SUCCESS ? n : 0;
}

} // namespace trawl::backup::detail
