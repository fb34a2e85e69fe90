#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace trawl::icmp::detail {

struct sip_key {
    std::uint64_t low = 0, high = 0;
};

/// SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, with the fewer
/// rounds that hash tables use it with): a keyed hash that stays unpredictable to who sees many of
/// its values.
/// The message is `input`'s words, each in little endian.
template <std::size_t N>
constexpr std::uint64_t siphash(sip_key key, std::array<std::uint64_t, N> const& input) noexcept {
    std::uint64_t a = key.low ^ 0x736f6d6570736575, b = key.high ^ 0x646f72616e646f6d;
    std::uint64_t c = key.low ^ 0x6c7967656e657261, d = key.high ^ 0x7465646279746573;
    auto rounds = [&](int n) {
        while (n-- > 0) {
            a += b, c += d, b = std::rotl(b, 13) ^ a, d = std::rotl(d, 16) ^ c;
            a = std::rotl(a, 32), c += b, a += d, b = std::rotl(b, 17) ^ c;
            d = std::rotl(d, 21) ^ a, c = std::rotl(c, 32);
        }
    };
    auto absorb = [&](std::uint64_t value) { d ^= value, rounds(1), a ^= value; };
    for (auto const word : input) absorb(word);
    absorb(std::uint64_t{N * 8 & 0xff} << 56);
    c ^= 0xff;
    rounds(3);
    return a ^ b ^ c ^ d;
}

} // namespace trawl::icmp::detail
