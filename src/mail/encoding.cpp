#include "mail/encoding.hpp"

#include "mail/characters.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace trawl::mime::detail {
namespace {

std::uint64_t eight_bytes(char const* at) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    return word;
}

constexpr std::uint64_t every(unsigned char byte) { return byte * 0x0101010101010101u; }
/// A high bit where a byte of `word` is 0, and never where all bytes are not.
constexpr std::uint64_t zeros(std::uint64_t word) {
    return (word - every(1)) & ~word & every(0x80);
}

/// Eight bytes that are printable ASCII and neither '=' nor DEL, so that nobody asks for more.
constexpr bool is_dull(std::uint64_t word) {
    auto const controls = (word - every(32)) & ~word & every(0x80);
    return ((word & every(0x80)) | controls | zeros(word ^ every('=')) |
            zeros(word ^ every(127))) == 0;
}

/// The two characters of each 12 bits.
constexpr auto base64_pairs = [] {
    constexpr std::string_view alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::array<std::array<char, 2>, 4096> pairs{};
    for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {alphabet[i >> 6], alphabet[i & 63]};
    return pairs;
}();

/// Writes the characters for `size` bytes, padded, and returns their end.
char* encode_base64(char const* from, std::size_t size, char* to) {
    auto const put = [&](std::uint64_t twelve_bits) {
        std::memcpy(to, base64_pairs[twelve_bits & 4095].data(), 2);
        to += 2;
    };
    for (; size >= 8; size -= 6, from += 6) { // six of the eight bytes that one load gets
        std::uint64_t word = 0;
        for (int i = 0; i < 8; ++i) word = word << 8 | static_cast<unsigned char>(from[i]);
        put(word >> 52), put(word >> 40), put(word >> 28), put(word >> 16);
    }
    while (size > 0) {
        auto const taken = std::min<std::size_t>(size, 3);
        std::uint32_t word = 0;
        for (std::size_t i = 0; i < 3; ++i)
            word = word << 8 | (i < taken ? static_cast<unsigned char>(from[i]) : 0u);
        put(word >> 12), put(word);
        if (taken < 3) to[-1] = '=';
        if (taken < 2) to[-2] = '=';
        from += taken, size -= taken;
    }
    return to;
}

/// What quoted-printable leaves as it is inside a line.
constexpr auto stands_in_qp = [] {
    std::array<bool, 256> plain{};
    for (std::size_t c = 32; c < 127; ++c) plain[c] = c != '=';
    plain['\t'] = true;
    return plain;
}();

/// One line of quoted-printable in the making.
class qp_line {
public:
    explicit qp_line(std::string& out) : out_(out) {}
    /// Bytes that stand for themselves; `last`: the line ends behind them.
    void plain(std::string_view run, bool last) {
        while (!run.empty()) {
            std::size_t const room = (last ? 76u : 75u) - column_;
            if (run.size() <= room) {
                out_ += run, column_ += run.size();
                return;
            }
            auto const taken = 75 - column_;
            out_ += run.substr(0, taken);
            run.remove_prefix(taken);
            soft_break();
        }
    }
    void escaped(char c, bool last) {
        if (column_ + 3 > (last ? 76u : 75u)) soft_break();
        constexpr char hex[] = "0123456789ABCDEF";
        auto const byte = static_cast<unsigned char>(c);
        out_ += '=', out_ += hex[byte >> 4], out_ += hex[byte & 15];
        column_ += 3;
    }

private:
    void soft_break() { out_ += "=\r\n", column_ = 0; }
    std::string& out_;
    std::size_t column_ = 0;
};

void append_qp_row(std::string& out, std::string_view row) {
    qp_line line(out);
    bool const touched = row.starts_with('.') || row.starts_with("From ");
    for (std::size_t i = 0; i < row.size();) {
        auto end = i;
        if (i > 0 || !touched)
            while (end < row.size() && stands_in_qp[static_cast<unsigned char>(row[end])]) ++end;
        if (end == row.size() && is_blank(row.back())) --end; // a blank at the end would be lost
        line.plain(row.substr(i, end - i), end == row.size());
        if (end < row.size()) line.escaped(row[end], end + 1 == row.size());
        i = end + 1;
    }
}

} // namespace

std::size_t utf8_length(std::string_view text) noexcept {
    auto const byte = [&](std::size_t i) {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
    };
    auto const tail = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
    auto const lead = byte(0), second = byte(1);
    if (text.empty()) return 0;
    if (lead < 0x80) return 1;
    if (lead >= 0xc2 && lead <= 0xdf) return tail(1) ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef) {
        bool const shortest = lead != 0xe0 || second >= 0xa0,
                   surrogate = lead == 0xed && second >= 0xa0;
        return tail(1) && tail(2) && shortest && !surrogate ? 3 : 0;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        bool const shortest = lead != 0xf0 || second >= 0x90,
                   too_high = lead == 0xf4 && second >= 0x90;
        return tail(1) && tail(2) && tail(3) && shortest && !too_high ? 4 : 0;
    }
    return 0;
}

bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        if (text.size() >= 8 && (eight_bytes(text.data()) & every(0x80)) == 0) {
            text.remove_prefix(8);
            continue;
        }
        auto const length = utf8_length(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

bool is_ascii(std::string_view text) noexcept {
    return std::none_of(text.begin(), text.end(), is_8bit);
}

void line_ends::write(std::string_view chunk, std::string& out) {
    auto const place = [&](char c, std::size_t before) { // memchr beats find_first_of by far
        auto const* const found = static_cast<char const*>(std::memchr(chunk.data(), c, before));
        return found ? static_cast<std::size_t>(found - chunk.data()) : before;
    };
    if (chunk.empty()) return;
    if (std::exchange(after_cr_, false) && chunk.front() == '\n') chunk.remove_prefix(1);
    while (!chunk.empty()) {
        auto const end = place('\r', place('\n', chunk.size()));
        out += chunk.substr(0, end);
        after_cr_ = end < chunk.size() && chunk[end] == '\r';
        if (end == chunk.size()) break;
        out += "\r\n";
        chunk.remove_prefix(end + 1);
        if (after_cr_ && chunk.starts_with('\n')) chunk.remove_prefix(1), after_cr_ = false;
    }
}

std::string with_crlf(std::string_view text) {
    std::string out;
    out.reserve(text.size() + text.size() / 32 + 2);
    line_ends().write(text, out);
    return out;
}

std::string base64(std::string_view bytes) {
    std::string out((bytes.size() + 2) / 3 * 4, '\0');
    encode_base64(bytes.data(), bytes.size(), out.data());
    return out;
}

void append_base64_lines(std::string& out, std::string_view bytes) {
    auto const begin = out.size();
    out.resize(begin + base64_size(bytes.size()));
    auto* to = out.data() + begin;
    for (; !bytes.empty(); bytes.remove_prefix(std::min(base64_line, bytes.size()))) {
        to = encode_base64(bytes.data(), std::min(base64_line, bytes.size()), to);
        *to++ = '\r', *to++ = '\n';
    }
}

std::uint64_t base64_size(std::uint64_t bytes) noexcept {
    auto const lines = (bytes + base64_line - 1) / base64_line;
    return (bytes + 2) / 3 * 4 + 2 * lines;
}

std::string quoted_printable(std::string_view text) {
    std::string out;
    out.reserve(text.size() + text.size() / 4);
    while (!text.empty()) {
        auto const end = std::min(text.find("\r\n"), text.size());
        append_qp_row(out, text.substr(0, end));
        text.remove_prefix(end);
        if (text.empty()) break;
        out += "\r\n";
        text.remove_prefix(2);
    }
    return out;
}

survey look_at(std::string_view text) noexcept {
    survey seen;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        while (i + 8 <= text.size() && is_dull(eight_bytes(text.data() + i))) i += 8;
        if (i == text.size()) break;
        auto const byte = static_cast<unsigned char>(text[i]);
        if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') {
            seen.longest_line = std::max<std::uint64_t>(seen.longest_line, i - begin);
            begin = i + 2, ++i;
        } else if (byte > 127)
            ++seen.eight_bit;
        else if ((byte < 32 && byte != '\t') || byte == 127)
            ++seen.controls;
        else if (byte == '=')
            ++seen.equals;
    }
    seen.longest_line = std::max<std::uint64_t>(seen.longest_line, text.size() - begin);
    return seen;
}

std::string_view to_string(encoding e) noexcept {
    switch (e) {
    case encoding::seven_bit: return "7bit";
    case encoding::eight_bit: return "8bit";
    case encoding::quoted_printable: return "quoted-printable";
    case encoding::base64: return "base64";
    }
    return "";
}

encoding choose(survey const& text, std::uint64_t size, bool allow_8bit) noexcept {
    constexpr std::size_t longest_allowed = 998; // RFC 5322 §2.1.1
    if (text.controls == 0 && text.longest_line <= longest_allowed) {
        if (text.eight_bit == 0) return encoding::seven_bit;
        if (allow_8bit) return encoding::eight_bit;
    }
    auto const escapes = text.eight_bit + text.controls + text.equals;
    // Legible as long as it is not much longer.
    return 3 * escapes <= size ? encoding::quoted_printable : encoding::base64;
}

} // namespace trawl::mime::detail
