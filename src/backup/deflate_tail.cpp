#include "backup/deflate_tail.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace trawl::backup::detail {

namespace {

[[noreturn]] void refuse() { throw std::runtime_error("backup: not a whole deflate stream"); }

/// Bits in the order of deflate, the lowest of a byte first. Behind the end come zeros.
class bit_reader {
public:
    explicit bit_reader(std::string const& bytes)
        : begin_(bytes.data()), at_(begin_), end_(begin_ + bytes.size()) {}

    /// Afterwards 56 bits can be taken.
    void fill() noexcept {
        if constexpr (std::endian::native == std::endian::little) {
            if (end_ - at_ >= 8) {
                std::uint64_t next;
                std::memcpy(&next, at_, 8);
                bits_ |= next << count_;
                at_ += (63 - count_) >> 3;
                count_ |= 56;
                return;
            }
        }
        for (; count_ <= 56; count_ += 8) {
            if (at_ < end_)
                bits_ |= std::uint64_t(static_cast<unsigned char>(*at_++)) << count_;
            else
                ++beyond_;
        }
    }
    std::uint64_t peek() const noexcept { return bits_; }
    void skip(unsigned n) noexcept {
        bits_ >>= n;
        count_ -= n;
    }
    unsigned take(unsigned n) noexcept {
        auto const value = static_cast<unsigned>(bits_ & ((std::uint64_t(1) << n) - 1));
        skip(n);
        return value;
    }
    /// How many bits were taken in all.
    std::size_t position() const noexcept {
        return (static_cast<std::size_t>(at_ - begin_) + beyond_) * 8 - count_;
    }
    bool overrun() const noexcept {
        return position() > static_cast<std::size_t>(end_ - begin_) * 8;
    }
    void go_to_byte(std::size_t byte) {
        if (byte > static_cast<std::size_t>(end_ - begin_)) refuse();
        at_ = begin_ + byte;
        bits_ = 0, count_ = 0, beyond_ = 0;
    }

private:
    char const* begin_;
    char const* at_;
    char const* end_;
    std::uint64_t bits_ = 0;
    unsigned count_ = 0;
    std::size_t beyond_ = 0;
};

constexpr unsigned window = 12; ///< bits that one look-up sees
constexpr unsigned longest_code = 15;

/// What a window begins with: `bits` to skip, extra bits included.
struct step {
    std::uint8_t bits = 0; ///< 0: a code that is longer than the window, or none
    enum : std::uint8_t { literal, match, end } what = literal;
    std::uint16_t symbol = 0;
};

unsigned extra_of_length(unsigned symbol) { // RFC 1951 §3.2.5; 285 has none
    return symbol < 265 || symbol == 285 ? 0 : (symbol - 261) / 4;
}
unsigned extra_of_distance(unsigned symbol) { return symbol < 4 ? 0 : symbol / 2 - 1; }

/// One Huffman code (RFC 1951 §3.2.2) as a table over windows, and canonically for the long ones.
class code {
public:
    enum class use { lengths, literals, distances };

    void build(std::uint8_t const* lengths, unsigned symbols, use what) {
        use_ = what;
        count_.fill(0);
        for (unsigned s = 0; s < symbols; ++s) ++count_[lengths[s]];
        count_[0] = 0;
        std::array<std::uint16_t, longest_code + 2> next{};
        std::array<std::uint16_t, longest_code + 2> place{};
        for (unsigned n = 1; n <= longest_code; ++n) {
            next[n + 1] = static_cast<std::uint16_t>((next[n] + count_[n]) << 1);
            place[n + 1] = static_cast<std::uint16_t>(place[n] + count_[n]);
        }
        table_.fill({});
        for (unsigned s = 0; s < symbols; ++s) {
            unsigned const n = lengths[s];
            if (n == 0) continue;
            sorted_[place[n]++] = static_cast<std::uint16_t>(s);
            auto const reversed = reverse(next[n]++, n);
            if (n > window) continue;
            auto const what_it_is = step_of(s, n);
            for (unsigned w = reversed; w < table_.size(); w += 1u << n) table_[w] = what_it_is;
        }
        if (what == use::literals) join_literals();
    }

    step next(bit_reader& in) const {
        auto const found = table_[in.peek() & (table_.size() - 1)];
        return found.bits != 0 ? found : next_long(in.peek());
    }

private:
    static unsigned reverse(unsigned value, unsigned bits) {
        unsigned result = 0;
        for (; bits > 0; --bits, value >>= 1) result = result << 1 | (value & 1);
        return result;
    }

    step step_of(unsigned symbol, unsigned bits) const {
        step s;
        s.symbol = static_cast<std::uint16_t>(symbol);
        if (use_ == use::literals && symbol > 256) {
            s.what = step::match;
            bits += extra_of_length(symbol);
        } else if (use_ == use::literals && symbol == 256)
            s.what = step::end;
        else if (use_ == use::distances)
            bits += extra_of_distance(symbol);
        s.bits = static_cast<std::uint8_t>(bits);
        return s;
    }

    // Literals that lie in one window as a whole are skipped together. From the top down: an entry
    // reads the one of a shorter window, with zeros above, only for its own first code.
    void join_literals() {
        auto const single = table_;
        for (unsigned w = 0; w < table_.size(); ++w) {
            unsigned bits = single[w].bits;
            if (bits == 0 || single[w].what != step::literal) continue;
            for (;;) {
                auto const more = single[w >> bits];
                if (more.bits == 0 || more.what != step::literal || bits + more.bits > window)
                    break;
                bits += more.bits;
            }
            table_[w].bits = static_cast<std::uint8_t>(bits);
        }
    }

    step next_long(std::uint64_t bits) const {
        unsigned value = 0, first = 0, index = 0;
        for (unsigned n = 1; n <= longest_code; ++n, bits >>= 1) {
            value |= static_cast<unsigned>(bits & 1);
            if (value - first < count_[n]) return step_of(sorted_[index + value - first], n);
            index += count_[n];
            first = (first + count_[n]) << 1;
            value <<= 1;
        }
        refuse();
    }

    use use_ = use::lengths;
    std::array<step, std::size_t(1) << window> table_{};
    std::array<std::uint16_t, longest_code + 1> count_{};
    std::array<std::uint16_t, 288> sorted_{};
};

class block_walk {
public:
    explicit block_walk(std::string const& bytes) : in_(bytes) {}

    /// The bit at which the last block begins; `end`: the one behind it.
    std::size_t last_block(std::size_t& end) {
        for (;;) {
            in_.fill();
            auto const begin = in_.position();
            bool const final = in_.take(1) != 0;
            switch (in_.take(2)) {
            case 0: skip_stored(); break;
            case 1: fixed_codes(), skip_coded(); break;
            case 2: dynamic_codes(), skip_coded(); break;
            default: refuse();
            }
            if (in_.overrun()) refuse();
            if (!final) continue;
            end = in_.position();
            return begin;
        }
    }

private:
    void skip_stored() {
        auto const byte = (in_.position() + 7) / 8;
        in_.go_to_byte(byte);
        in_.fill();
        auto const size = in_.take(16);
        in_.go_to_byte(byte + 4 + size);
    }

    void fixed_codes() {
        std::array<std::uint8_t, 320> lengths{};
        for (unsigned i = 0; i < 288; ++i)
            lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
        for (unsigned i = 288; i < 320; ++i) lengths[i] = 5;
        literals_.build(lengths.data(), 288, code::use::literals);
        distances_.build(lengths.data() + 288, 32, code::use::distances);
    }

    // RFC 1951 §3.2.7
    void dynamic_codes() {
        static constexpr std::array<std::uint8_t, 19> order{16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                            11, 4,  12, 3, 13, 2, 14, 1, 15};
        unsigned const literals = in_.take(5) + 257, distances = in_.take(5) + 1;
        unsigned const given = in_.take(4) + 4;
        std::array<std::uint8_t, 19> short_lengths{};
        for (unsigned i = 0; i < given; ++i) {
            in_.fill();
            short_lengths[order[i]] = static_cast<std::uint8_t>(in_.take(3));
        }
        lengths_.build(short_lengths.data(), 19, code::use::lengths);
        std::array<std::uint8_t, 320> lengths{};
        for (unsigned i = 0; i < literals + distances;) {
            in_.fill();
            auto const found = lengths_.next(in_);
            in_.skip(found.bits);
            std::uint8_t value = 0;
            unsigned times = 1;
            if (found.symbol < 16)
                value = static_cast<std::uint8_t>(found.symbol);
            else if (found.symbol == 16 && i > 0)
                value = lengths[i - 1], times = 3 + in_.take(2);
            else if (found.symbol == 17)
                times = 3 + in_.take(3);
            else if (found.symbol == 18)
                times = 11 + in_.take(7);
            if (i + times > literals + distances) refuse();
            for (; times > 0; --times) lengths[i++] = value;
        }
        literals_.build(lengths.data(), literals, code::use::literals);
        distances_.build(lengths.data() + literals, distances, code::use::distances);
    }

    void skip_coded() {
        for (;;) {
            in_.fill();
            auto found = literals_.next(in_);
            in_.skip(found.bits);
            // 12 bits of literals leave 44: enough for two more windows, or a length of 20 bits.
            for (int i = 0; i < 2 && found.what == step::literal; ++i) {
                found = literals_.next(in_);
                in_.skip(found.bits);
            }
            if (found.what == step::end) return;
            if (found.what == step::literal) {
                if (in_.overrun()) refuse();
                continue;
            }
            in_.fill();
            in_.skip(distances_.next(in_).bits);
        }
    }

    bit_reader in_;
    code lengths_, literals_, distances_;
};

} // namespace

void open_end(std::string& deflated) {
    std::size_t end = 0;
    auto const begin = block_walk(deflated).last_block(end);
    if ((end + 7) / 8 != deflated.size()) refuse();
    auto& header = deflated[begin / 8];
    header = static_cast<char>(header & ~(1 << begin % 8));
    // Three zero bits (not final, stored), zeros to the next byte, LEN 0 and its complement.
    if (deflated.size() * 8 - end < 3) deflated += '\0';
    deflated.append("\0\0\xff\xff", 4);
}

} // namespace trawl::backup::detail
