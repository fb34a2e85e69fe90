#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace trawl::icmp::detail {

struct sip_key {
    std::uint64_t low = 0, high = 0;
};

/// SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): a keyed hash that
/// stays unpredictable to who sees many of its values.
constexpr std::uint64_t siphash(sip_key key, std::span<std::uint8_t const> input) noexcept {
    std::uint64_t a = key.low ^ 0x736f6d6570736575, b = key.high ^ 0x646f72616e646f6d;
    std::uint64_t c = key.low ^ 0x6c7967656e657261, d = key.high ^ 0x7465646279746573;
    auto rounds = [&](int n) {
        while (n-- > 0) {
            a += b, c += d, b = std::rotl(b, 13) ^ a, d = std::rotl(d, 16) ^ c;
            a = std::rotl(a, 32), c += b, a += d, b = std::rotl(b, 17) ^ c;
            d = std::rotl(d, 21) ^ a, c = std::rotl(c, 32);
        }
    };
    std::size_t at = 0;
    auto word = [&](std::size_t length) {
        std::uint64_t value = 0; // little endian on every machine
        for (std::size_t i = 0; i < length; ++i) value |= std::uint64_t{input[at + i]} << (8 * i);
        at += length;
        return value;
    };
    auto absorb = [&](std::uint64_t value) { d ^= value, rounds(2), a ^= value; };
    while (input.size() - at >= 8) absorb(word(8));
    absorb(word(input.size() - at) | std::uint64_t{input.size() & 0xff} << 56);
    c ^= 0xff;
    rounds(4);
    return a ^ b ^ c ^ d;
}

} // namespace trawl::icmp::detail
