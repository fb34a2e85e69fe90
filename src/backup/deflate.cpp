#include "backup/deflate.hpp"

#include "backup/scratch.hpp"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

namespace trawl::backup::detail {

namespace {

constexpr std::string_view empty_stored_block("\0\0\xff\xff", 4); // behind its three header bits

struct free_compressor {
    void operator()(libdeflate_compressor* c) const noexcept { ::libdeflate_free_compressor(c); }
};

/// libdeflate knows no flush: its last block is final. We find that block, take the mark away and
/// put the empty stored block behind it that a full flush is. That costs a fifth of what zlib would
/// take longer.
std::string by_libdeflate(std::string_view plain, int effort) {
    thread_local std::unique_ptr<libdeflate_compressor, free_compressor> compressor;
    thread_local int made_for = -1;
    if (made_for != effort) {
        compressor.reset(::libdeflate_alloc_compressor(effort));
        if (!compressor) throw std::bad_alloc();
        made_for = effort;
    }
    auto const room = scratch(::libdeflate_deflate_compress_bound(compressor.get(), plain.size()));
    auto const size = ::libdeflate_deflate_compress(compressor.get(), plain.data(), plain.size(),
                                                    room.data(), room.size());
    std::string out;
    out.reserve(size + 5);
    out.assign(room.data(), size);
    auto const last = find_final_block(out);
    if (!last) throw std::runtime_error("backup: libdeflate's stream has no final block");
    auto& marked = out[last->begin / 8];
    marked = static_cast<char>(marked & ~(1 << last->begin % 8));
    if (size * 8 - last->end < 3) out += '\0'; // the header of the empty block
    return out += empty_stored_block;
}

/// igzip 2: as fast as hashing, at the ratio of zlib's level 1.
std::string by_igzip(std::string_view plain) {
    auto const work = scratch<1>(ISAL_DEF_LVL2_LARGE);
    isal_zstream stream;
    ::isal_deflate_init(&stream);
    stream.level = 2;
    stream.level_buf = reinterpret_cast<std::uint8_t*>(work.data());
    stream.level_buf_size = static_cast<std::uint32_t>(work.size());
    stream.flush = FULL_FLUSH;
    auto const out = scratch(plain.size() + plain.size() / 8 + 1024);
    stream.next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(plain.data())); // C
    stream.avail_in = static_cast<std::uint32_t>(plain.size());
    stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream.avail_out = static_cast<std::uint32_t>(out.size());
    // Output that is used up might mean that igzip owes us the rest of the flush.
    if (::isal_deflate(&stream) != COMP_OK || stream.avail_in != 0 || stream.avail_out == 0)
        throw std::runtime_error("backup: igzip did not take a block whole");
    return std::string(out.data(), out.size() - stream.avail_out);
}

// ---- the walk over the symbols of a stream ----

constexpr std::size_t most_code_bits = 15;
constexpr unsigned fast_bits = 11;

/// One symbol or, in the table that is looked at first, several.
struct alignas(4) skip {
    enum next : std::uint8_t { symbol, distance, end, slow };
    std::uint8_t bits = 0; ///< to skip, extra ones of a length or distance included; 0: no code
    std::uint8_t code = 0; ///< of these, the ones that tell
    next then = symbol;    ///< what follows; slow: the code is too long for this table
};

class bit_reader {
public:
    explicit bit_reader(std::string_view bytes) noexcept : bytes_(bytes) {}

    /// Makes 56 bits at hand, zeros beyond the end.
    void fill() noexcept {
        if (std::endian::native == std::endian::little && bytes_.size() >= 8 &&
            at_ <= bytes_.size() - 8) {
            std::uint64_t next = 0;
            std::memcpy(&next, bytes_.data() + at_, 8);
            held_ |= next << have_;
            auto const taken = (63 - have_) / 8;
            at_ += taken;
            have_ += 8 * taken;
            return;
        }
        for (; have_ <= 56; have_ += 8, ++at_) {
            std::uint64_t const next =
                at_ < bytes_.size() ? static_cast<unsigned char>(bytes_[at_]) : 0;
            held_ |= next << have_;
        }
    }
    std::uint32_t peek(std::uint32_t mask) const noexcept {
        return static_cast<std::uint32_t>(held_) & mask;
    }
    void drop(unsigned bits) noexcept { held_ >>= bits, have_ -= bits; }
    std::uint32_t take(unsigned bits) noexcept {
        auto const value = peek((1u << bits) - 1);
        drop(bits);
        return value;
    }
    std::size_t position() const noexcept { return at_ * 8 - have_; }
    bool beyond() const noexcept { return position() > bytes_.size() * 8; }
    /// To the next byte, then over so many.
    void skip_bytes(std::size_t count) noexcept {
        at_ = (position() + 7) / 8 + count;
        held_ = 0, have_ = 0;
    }

private:
    std::string_view bytes_;
    std::size_t at_ = 0;
    std::uint64_t held_ = 0;
    unsigned have_ = 0;
};

/// A code by its lengths (RFC 1951 3.2.2): `meaning` of each symbol by the next bits of the stream.
/// False for lengths that are no code.
template <class Entry, class Meaning>
bool build(std::string_view lengths, std::vector<Entry>& table, unsigned& bits, Meaning meaning) {
    std::array<std::uint32_t, most_code_bits + 1> count{}, code{};
    bits = 1;
    for (auto const length : lengths) {
        ++count[static_cast<unsigned char>(length)];
        bits = std::max<unsigned>(bits, static_cast<unsigned char>(length));
    }
    count[0] = 0;
    for (std::size_t i = 1; i <= most_code_bits; ++i) code[i] = (code[i - 1] + count[i - 1]) << 1;
    table.assign(std::size_t(1) << bits, Entry{});
    for (std::size_t symbol = 0; symbol < lengths.size(); ++symbol) {
        auto const length = static_cast<unsigned char>(lengths[symbol]);
        if (length == 0) continue;
        auto const straight = code[length]++;
        if (straight >> length != 0) return false;
        std::uint32_t reversed = 0;
        for (unsigned i = 0; i < length; ++i) reversed |= (straight >> i & 1) << (length - 1u - i);
        for (std::size_t i = reversed; i < table.size(); i += std::size_t(1) << length)
            table[i] = meaning(symbol, length);
    }
    return true;
}

skip literal_or_length(std::size_t symbol, unsigned length) {
    auto const code = static_cast<std::uint8_t>(length);
    if (symbol < 256) return {code, code, skip::symbol};
    if (symbol == 256) return {code, code, skip::end};
    auto const n = symbol - 257; // RFC 1951 3.2.5: four codes for each number of extra bits
    auto const extra = n < 8 || n == 28 ? 0 : n / 4 - 1;
    return {static_cast<std::uint8_t>(length + extra), code, skip::distance};
}

skip distance(std::size_t symbol, unsigned length) {
    auto const extra = symbol < 4 ? 0 : symbol / 2 - 1;
    return {static_cast<std::uint8_t>(length + extra), static_cast<std::uint8_t>(length),
            skip::symbol};
}

class walker_of_symbols {
public:
    explicit walker_of_symbols(std::string_view stream) : size_(stream.size()), in_(stream) {}

    std::optional<final_block> run() {
        for (;;) {
            in_.fill();
            auto const begin = in_.position();
            bool const is_final = in_.take(1) != 0;
            if (!walk_block(in_.take(2)) || in_.beyond()) return std::nullopt;
            if (!is_final) continue;
            auto const end = in_.position();
            if ((end + 7) / 8 != size_) return std::nullopt;
            return final_block{begin, end};
        }
    }

private:
    bool walk_block(std::uint32_t type) {
        switch (type) {
        case 0: {
            in_.skip_bytes(0);
            in_.fill();
            auto const size = in_.take(16), check = in_.take(16);
            if ((size ^ check) != 0xffff) return false;
            in_.skip_bytes(size);
            return !in_.beyond();
        }
        case 1: fixed_codes(); break;
        case 2:
            if (!read_codes()) return false;
            break;
        default: return false;
        }
        combine();
        return walk_symbols();
    }

    void fixed_codes() {
        std::string lengths(288, '\10');
        lengths.replace(144, 112, 112, '\11').replace(256, 24, 24, '\7');
        build(lengths, symbols_, symbol_bits_, literal_or_length);
        build(std::string(32, '\5'), distances_, distance_bits_, distance);
    }

    bool read_codes() {
        static constexpr std::array<std::uint8_t, 19> order{16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                            11, 4,  12, 3, 13, 2, 14, 1, 15};
        in_.fill();
        auto const symbols = in_.take(5) + 257, distances = in_.take(5) + 1,
                   codes = in_.take(4) + 4;
        std::string lengths(19, '\0');
        for (std::size_t i = 0; i < codes; ++i) {
            in_.fill();
            lengths[order[i]] = static_cast<char>(in_.take(3));
        }
        struct code {
            std::uint8_t bits = 0, symbol = 0;
        };
        std::vector<code> table;
        unsigned bits = 0;
        auto const meaning = [](std::size_t symbol, unsigned length) {
            return code{static_cast<std::uint8_t>(length), static_cast<std::uint8_t>(symbol)};
        };
        if (!build(lengths, table, bits, meaning)) return false;
        std::string all;
        while (all.size() < symbols + distances) {
            in_.fill();
            auto const now = table[in_.peek((1u << bits) - 1)];
            if (now.bits == 0 || in_.beyond()) return false;
            in_.drop(now.bits);
            if (now.symbol < 16)
                all += static_cast<char>(now.symbol);
            else if (now.symbol > 16)
                all.append(now.symbol == 17 ? 3 + in_.take(3) : 11 + in_.take(7), '\0');
            else if (all.empty())
                return false;
            else
                all.append(3 + in_.take(2), all.back());
        }
        if (all.size() != symbols + distances) return false;
        auto const view = std::string_view(all);
        return build(view.substr(0, symbols), symbols_, symbol_bits_, literal_or_length) &&
               build(view.substr(symbols), distances_, distance_bits_, distance);
    }

    // As many literals as the next bits have, and what comes behind them, in one look.
    void combine() {
        auto const mask = static_cast<std::uint32_t>(symbols_.size() - 1);
        for (std::uint32_t i = 0; i < fast_.size(); ++i) {
            auto const one = symbols_[i & mask];
            fast_[i] = one;
            if (one.code > fast_bits) fast_[i].then = skip::slow;
            if (one.then != skip::symbol || one.code > fast_bits || one.bits == 0) continue;
            auto const rest = i >> one.bits;
            auto const left = fast_bits - one.bits;
            auto behind = i == 0 ? one : fast_[rest]; // rest < i: it is what it will be
            if (behind.then == skip::slow || behind.code > left) behind = symbols_[rest & mask];
            if (behind.code > left || behind.bits == 0) continue;
            fast_[i] = {static_cast<std::uint8_t>(one.bits + behind.bits),
                        static_cast<std::uint8_t>(one.code + behind.code), behind.then};
        }
    }

    bool walk_symbols() {
        auto const mask = static_cast<std::uint32_t>(symbols_.size() - 1);
        auto const distance_mask = static_cast<std::uint32_t>(distances_.size() - 1);
        for (;;) {
            in_.fill();
            auto now = fast_[in_.peek((1u << fast_bits) - 1)];
            if (now.then == skip::slow) now = symbols_[in_.peek(mask)];
            if (now.bits == 0 || in_.beyond()) return false;
            in_.drop(now.bits);
            if (now.then == skip::symbol) continue;
            if (now.then == skip::end) return true;
            auto const back = distances_[in_.peek(distance_mask)];
            if (back.bits == 0) return false;
            in_.drop(back.bits);
        }
    }

    std::size_t size_;
    bit_reader in_;
    std::vector<skip> symbols_, distances_;
    unsigned symbol_bits_ = 0, distance_bits_ = 0;
    std::array<skip, 1u << fast_bits> fast_{};
};

} // namespace

std::optional<final_block> find_final_block(std::string_view stream) {
    return walker_of_symbols(stream).run();
}

std::string deflate_block(std::string_view plain, level effort) {
    switch (effort) {
    case level::fast: return by_igzip(plain);
    case level::standard: return by_libdeflate(plain, 6);
    case level::best: break;
    }
    return by_libdeflate(plain, 9);
}

} // namespace trawl::backup::detail
