#include <trawl/error.hpp>
#include <trawl/targets.hpp>

#include <bit>
#include <cassert>
#include <charconv>

namespace trawl::targets {

namespace {

// splitmix64 (Steele, Lea, Flood 2014): turns neighbouring seeds into unrelated keys and serves as
// round function.
std::uint64_t mix(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

constexpr std::uint64_t mask(unsigned bits) noexcept { return (std::uint64_t(1) << bits) - 1; }

} // namespace

permutation::permutation(std::uint64_t size, std::uint64_t seed) noexcept : size_(size) {
    assert(size > 0);
    auto const bits = static_cast<unsigned>(std::bit_width(size - 1));
    low_bits_ = (bits + 1) / 2;
    high_bits_ = bits / 2;
    for (auto& key : keys_) key = mix(seed += 0x9e3779b97f4a7c15);
}

std::uint64_t permutation::operator()(std::uint64_t position) const noexcept {
    assert(position < size_);
    // Each round is its own inverse, so the network is one-to-one on low_bits_ + high_bits_;
    // walking on from a number outside comes back inside after less than two steps on average.
    do {
        auto low = position & mask(low_bits_);
        auto high = position >> low_bits_;
        for (std::size_t round = 0; round < rounds; round += 2) {
            low ^= mix(high ^ keys_[round]) & mask(low_bits_);
            high ^= mix(low ^ keys_[round + 1]) & mask(high_bits_);
        }
        position = high << low_bits_ | low;
    } while (position >= size_);
    return position;
}

shard shard::parse(std::string_view text) {
    auto const refuse = [&] {
        throw error(errc::bad_target, "shard \"" + std::string(text) + "\"",
                    "a shard is I/N with 0 <= I < N");
    };
    shard part;
    auto const end = text.data() + text.size();
    auto const [slash, bad_index] = std::from_chars(text.data(), end, part.index);
    if (bad_index != std::errc() || slash == end || *slash != '/') refuse();
    auto const [stop, bad_count] = std::from_chars(slash + 1, end, part.count);
    if (bad_count != std::errc() || stop != end || part.index >= part.count) refuse();
    return part;
}

std::uint64_t shard::size(std::uint64_t total) const noexcept {
    return total <= index ? 0 : (total - index - 1) / count + 1;
}

} // namespace trawl::targets
