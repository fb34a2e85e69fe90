#include "mail/decoding.hpp"

#include "mail/characters.hpp"
#include "mail/charset.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace trawl::mime::detail {
namespace {

constexpr unsigned char no_digit = 64;
constexpr auto base64_digits = [] {
    std::array<unsigned char, 256> values{};
    values.fill(no_digit);
    constexpr std::string_view alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (std::size_t i = 0; i < alphabet.size(); ++i)
        values[static_cast<unsigned char>(alphabet[i])] = static_cast<unsigned char>(i);
    return values;
}();

unsigned char digit(char c) { return base64_digits[static_cast<unsigned char>(c)]; }

/// Whole groups of four digits, as many as there are; returns how much of `text` they took.
std::size_t decode_groups(std::string_view text, std::string& out) {
    std::size_t at = 0;
    for (; at + 4 <= text.size(); at += 4) {
        std::uint32_t const a = digit(text[at]), b = digit(text[at + 1]), c = digit(text[at + 2]),
                            d = digit(text[at + 3]);
        if ((a | b | c | d) & no_digit) break;
        auto const word = a << 18 | b << 12 | c << 6 | d;
        char const bytes[] = {static_cast<char>(word >> 16), static_cast<char>(word >> 8),
                              static_cast<char>(word)};
        out.append(bytes, 3);
    }
    return at;
}

/// A line of quoted-printable without its end; true when the next one continues it.
bool decode_row(std::string_view row, std::string& out) {
    while (!row.empty() && is_blank(row.back())) row.remove_suffix(1);
    bool const soft = row.ends_with('=');
    if (soft) row.remove_suffix(1);
    while (!row.empty()) {
        auto const escape = std::min(row.find('='), row.size());
        out += row.substr(0, escape);
        row.remove_prefix(escape);
        if (row.empty()) break;
        auto const high = row.size() > 2 ? hex_digit(row[1]) : std::nullopt,
                   low = row.size() > 2 ? hex_digit(row[2]) : std::nullopt;
        if (high && low)
            out += static_cast<char>(*high << 4 | *low);
        else
            out += row.front();
        row.remove_prefix(high && low ? 3 : 1);
    }
    return soft;
}

struct encoded_word {
    std::string_view charset, text; ///< without an RFC 2231 language
    char encoding = 'q';
    std::size_t size = 0; ///< of the whole word; 0: there is none
};

encoded_word word_at(std::string_view text) {
    if (!text.starts_with("=?")) return {};
    auto const charset_end = text.find('?', 2);
    if (charset_end == std::string_view::npos || charset_end + 3 > text.size()) return {};
    char const encoding = lower(text[charset_end + 1]);
    if ((encoding != 'q' && encoding != 'b') || text[charset_end + 2] != '?') return {};
    // No '?' may be inside, so that looking for the end of each "=?" costs no square of the text.
    auto const begin = charset_end + 3, end = text.find('?', begin);
    if (end == std::string_view::npos || text.substr(end, 2) != "?=") return {};
    auto charset = text.substr(2, charset_end - 2);
    charset = charset.substr(0, charset.find('*'));
    if (charset.empty()) return {};
    return {charset, text.substr(begin, end - begin), encoding, end + 2};
}

std::string word_bytes(encoded_word const& word) {
    if (word.encoding == 'b') return base64_decoded(word.text);
    std::string text(word.text), out;
    std::replace(text.begin(), text.end(), '_', ' ');
    text += '.'; // so that no blank is the last, which quoted-printable drops
    decode_row(text, out);
    out.pop_back();
    return out;
}

/// Encoded-words of one charset in a row: a character may be split between them.
struct run_of_words {
    std::string charset, bytes;

    void end(std::string& out) {
        if (!charset.empty()) out += to_utf8(bytes, charset).value_or("");
        *this = {};
    }
};

} // namespace

std::optional<unsigned> hex_digit(char c) {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
    return std::nullopt;
}

std::string base64_decoded(std::string_view text) {
    std::string out;
    out.reserve(text.size() / 4 * 3 + 3);
    std::uint32_t bits = 0;
    unsigned held = 0; // digits in `bits`
    while (!text.empty()) {
        if (held == 0) text.remove_prefix(decode_groups(text, out));
        if (text.empty()) break;
        char const c = text.front();
        text.remove_prefix(1);
        if (c == '=' && held >= 2) break;
        auto const value = digit(c);
        if (value == no_digit) continue;
        bits = bits << 6 | value;
        if (++held < 4) continue;
        for (int shift : {16, 8, 0}) out += static_cast<char>(bits >> shift);
        bits = held = 0;
    }
    if (held >= 2) out += static_cast<char>(bits >> (held == 2 ? 4 : 10));
    if (held == 3) out += static_cast<char>(bits >> 2);
    return out;
}

std::string quoted_printable_decoded(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        auto const end = std::min(text.find_first_of("\r\n"), text.size());
        bool const soft = decode_row(text.substr(0, end), out);
        text.remove_prefix(end);
        if (text.empty()) break;
        if (!soft) out += "\r\n";
        text.remove_prefix(text.starts_with("\r\n") ? 2 : 1);
    }
    return out;
}

std::size_t encoded_word_length(std::string_view text) { return word_at(text).size; }

std::string decoded_text(std::string_view value) {
    std::string out;
    run_of_words run;
    std::string_view between; // blanks behind an encoded-word: dropped if another one follows
    while (!value.empty()) {
        if (auto const word = word_at(value); word.size > 0) {
            auto const charset = canonical_charset(word.charset);
            bool const known = to_utf8("", charset).has_value();
            if (!known || charset != run.charset) {
                run.end(out);
                if (!known) out += between;
            }
            if (known)
                run.charset = charset, run.bytes += word_bytes(word);
            else
                out += as_utf8(value.substr(0, word.size));
            value.remove_prefix(word.size);
            auto const blanks = std::min(value.find_first_not_of(" \t"), value.size());
            between = value.substr(0, known ? blanks : 0);
            value.remove_prefix(between.size());
            continue;
        }
        run.end(out);
        out += std::exchange(between, {});
        auto const end = std::min(value.find("=?", 1), value.size());
        out += as_utf8(value.substr(0, end));
        value.remove_prefix(end);
    }
    run.end(out);
    out += between;
    for (char& c : out)
        if (c == '\r' || c == '\n' || c == '\0') c = ' ';
    return out;
}

} // namespace trawl::mime::detail
