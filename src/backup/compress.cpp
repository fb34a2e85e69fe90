#include "backup/compress.hpp"

#include "backup/deflate.hpp"
#include "backup/scratch.hpp"

#include <libdeflate.h>

#include <memory>
#include <new>
#include <stdexcept>

#include <zlib.h>
#include <zstd.h>

namespace trawl::backup::detail {

namespace {

int zstd_level(level effort) { return effort == level::fast ? 1 : effort == level::best ? 15 : 3; }

std::string little_endian(std::uint32_t value) {
    std::string bytes;
    for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
    return bytes;
}

struct free_zstd {
    void operator()(ZSTD_CCtx* c) const noexcept { ::ZSTD_freeCCtx(c); }
};

std::string zstd_frame(std::string_view plain, level effort) {
    // A new one each time: with some versions the bytes depend on what it did before.
    std::unique_ptr<ZSTD_CCtx, free_zstd> const context(::ZSTD_createCCtx());
    if (!context) throw std::bad_alloc();
    ::ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, zstd_level(effort));
    ::ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
    auto const out = scratch(::ZSTD_compressBound(plain.size()));
    auto const n =
        ::ZSTD_compress2(context.get(), out.data(), out.size(), plain.data(), plain.size());
    if (::ZSTD_isError(n))
        throw std::runtime_error(std::string("backup: ") + ::ZSTD_getErrorName(n));
    return std::string(out.data(), n);
}

} // namespace

squeezed block_compressor::compress(std::string_view plain) const {
    squeezed block;
    block.plain = plain.size();
    if (codec_ == codec::zstd) {
        block.bytes = zstd_frame(plain, level_);
        return block;
    }
    block.bytes = deflate_block(plain, level_);
    block.crc = ::libdeflate_crc32(0, plain.data(), plain.size());
    return block;
}

std::string block_compressor::head() const {
    if (codec_ == codec::zstd) return {};
    // RFC 1952: magic, deflate, no flags, no time (the same tree gives the same bytes), no hint,
    // Unix.
    return std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10);
}

void block_compressor::count(squeezed const& block) {
    crc_ = static_cast<std::uint32_t>(
        ::crc32_combine(crc_, block.crc, static_cast<z_off_t>(block.plain)));
    plain_ += block.plain;
}

std::string block_compressor::tail() const {
    if (codec_ == codec::zstd) return {};
    // An empty final block with fixed codes (RFC 1951 3.2.6), then CRC and size modulo 2^32.
    return std::string("\x03\0", 2) + little_endian(crc_) +
           little_endian(static_cast<std::uint32_t>(plain_));
}

std::size_t block_compressor::block_bytes() const noexcept {
    return codec_ == codec::gzip ? std::size_t(1) << 20 : std::size_t(4) << 20;
}

} // namespace trawl::backup::detail
