#include "mail/encoding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace trawl::mime::detail {
namespace {

constexpr std::size_t line_limit = 76, word_limit = 75;
constexpr std::string_view word_begin_q = "=?utf-8?q?", word_begin_b = "=?utf-8?b?",
                           word_end = "?=";
constexpr std::size_t word_payload = word_limit - word_begin_q.size() - word_end.size();
constexpr char hex[] = "0123456789ABCDEF";

constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }
constexpr bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
constexpr bool is_printable(char c) { return c >= ' ' && c <= '~'; }
constexpr bool is_atext(char c) {
    return is_alnum(c) || std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}
/// What an encoded-word in a phrase may hold as it is (RFC 2047 §5 (3)); the same set serves
/// everywhere.
constexpr bool is_word_text(char c) {
    return is_alnum(c) || c == '!' || c == '*' || c == '+' || c == '-' || c == '/';
}
/// attribute-char of RFC 2231 §7.
constexpr bool is_attribute_char(char c) {
    return is_alnum(c) || std::string_view("!#$&+-.^_`{|}~").find(c) != std::string_view::npos;
}

void append_hex(std::string& out, char escape, char c) {
    auto const byte = static_cast<unsigned char>(c);
    out += escape, out += hex[byte >> 4], out += hex[byte & 15];
}

std::string q_encoded(std::string_view bytes) {
    std::string out;
    for (char c : bytes) {
        if (c == ' ')
            out += '_';
        else if (is_word_text(c))
            out += c;
        else
            append_hex(out, '=', c);
    }
    return out;
}

/// True when a word of a header can stand as it is: printable ASCII that no reader takes for an
/// encoded-word, and that fits into a line.
bool is_plain_word(std::string_view word) {
    return word.size() < line_limit && word.find("=?") == std::string_view::npos &&
           std::all_of(word.begin(), word.end(), is_printable);
}

/// A word of unstructured text and the blanks before it.
struct spaced_word {
    std::string_view blanks, word;
};
std::vector<spaced_word> split_words(std::string_view text) {
    std::vector<spaced_word> words;
    for (std::size_t at = 0; at < text.size();) {
        auto const begin = at;
        while (at < text.size() && is_blank(text[at])) ++at;
        auto const word = at;
        while (at < text.size() && !is_blank(text[at])) ++at;
        words.push_back({text.substr(begin, word - begin), text.substr(word, at - word)});
    }
    return words;
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
        if (text.size() >= 8) { // eight ASCII bytes at a time
            std::uint64_t word;
            std::memcpy(&word, text.data(), 8);
            if ((word & 0x8080808080808080u) == 0) {
                text.remove_prefix(8);
                continue;
            }
        }
        auto const length = utf8_length(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

std::string with_crlf(std::string_view text) {
    std::string out;
    out.reserve(text.size() + text.size() / 32 + 2);
    auto const place = [&](char c, std::size_t before) { // memchr beats find_first_of by far
        auto const* const found = static_cast<char const*>(std::memchr(text.data(), c, before));
        return found ? static_cast<std::size_t>(found - text.data()) : before;
    };
    while (!text.empty()) {
        auto const end = place('\r', place('\n', text.size()));
        out += text.substr(0, end);
        text.remove_prefix(end);
        if (text.empty()) break;
        out += "\r\n";
        text.remove_prefix(text.substr(0, 2) == "\r\n" ? 2 : 1);
    }
    return out;
}

static void append_base64(std::string& out, std::string_view bytes) {
    static constexpr char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    auto const begin = out.size();
    out.resize(begin + (bytes.size() + 2) / 3 * 4, '=');
    auto* to = out.data() + begin;
    auto const* from = reinterpret_cast<unsigned char const*>(bytes.data());
    for (auto left = bytes.size(); left >= 3; left -= 3, from += 3) {
        *to++ = alphabet[from[0] >> 2];
        *to++ = alphabet[(from[0] << 4 | from[1] >> 4) & 63];
        *to++ = alphabet[(from[1] << 2 | from[2] >> 6) & 63];
        *to++ = alphabet[from[2] & 63];
    }
    if (bytes.size() % 3 == 0) return;
    unsigned const second = bytes.size() % 3 == 2 ? from[1] : 0u;
    *to++ = alphabet[from[0] >> 2];
    *to++ = alphabet[(from[0] << 4 | second >> 4) & 63];
    if (bytes.size() % 3 == 2) *to = alphabet[second << 2 & 63];
}

std::string base64(std::string_view bytes) {
    std::string out;
    append_base64(out, bytes);
    return out;
}

std::string base64_lines(std::string_view bytes) {
    constexpr std::size_t line = 57; // 76 characters
    std::string out;
    out.reserve(bytes.size() / line * 78 + 80);
    for (; !bytes.empty(); bytes.remove_prefix(std::min(line, bytes.size()))) {
        append_base64(out, bytes.substr(0, line));
        out += "\r\n";
    }
    return out;
}

std::string quoted_printable(std::string_view text) {
    std::string out;
    out.reserve(text.size() + text.size() / 4);
    while (!text.empty()) {
        auto const end = std::min(text.find("\r\n"), text.size());
        auto const row = text.substr(0, end);
        bool const from = row.substr(0, 5) == "From ";
        std::size_t column = 0;
        for (std::size_t i = 0; i < row.size(); ++i) {
            char const c = row[i];
            bool const last = i + 1 == row.size();
            bool const changed = (i == 0 && (c == '.' || from)) || (last && is_blank(c));
            bool const plain = c != '=' && (is_printable(c) || c == '\t') && !changed;
            std::size_t const needed = plain ? 1 : 3;
            if (column + needed > (last ? 76u : 75u)) out += "=\r\n", column = 0;
            if (plain)
                out += c;
            else
                append_hex(out, '=', c);
            column += needed;
        }
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
        auto const byte = static_cast<unsigned char>(text[i]);
        if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') {
            seen.longest_line = std::max(seen.longest_line, i - begin);
            begin = i + 2, ++i;
        } else if (byte > 127)
            ++seen.eight_bit;
        else if ((byte < 32 && byte != '\t') || byte == 127)
            ++seen.controls;
        else if (byte == '=')
            ++seen.equals;
    }
    seen.longest_line = std::max(seen.longest_line, text.size() - begin);
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

encoding choose(survey const& text, std::size_t size, bool allow_8bit) noexcept {
    constexpr std::size_t longest_allowed = 998; // RFC 5322 §2.1.1
    if (text.controls == 0 && text.longest_line <= longest_allowed) {
        if (text.eight_bit == 0) return encoding::seven_bit;
        if (allow_8bit) return encoding::eight_bit;
    }
    auto const escapes = text.eight_bit + text.controls + text.equals;
    // Legible as long as it is not much longer.
    return 3 * escapes <= size ? encoding::quoted_printable : encoding::base64;
}

std::string encoded(std::string_view text, encoding e) {
    switch (e) {
    case encoding::quoted_printable: return quoted_printable(text);
    case encoding::base64: return base64_lines(text);
    default: return std::string(text);
    }
}

std::string quoted_string(std::string_view text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out += '"';
}

header_line::header_line(std::string_view name) : out_(name), column_(name.size() + 1) {
    out_ += ':';
}

void header_line::append(std::string_view blanks, std::string_view token) {
    auto const needed = blanks.size() + token.size();
    // A fold that leaves the token too long all the same would only add a line.
    if (column_ + needed > line_limit && needed <= line_limit) out_ += "\r\n", column_ = 0;
    out_ += blanks, out_ += token;
    column_ += needed;
}

void header_line::glue(std::string_view token) {
    out_ += token;
    column_ += token.size();
}

void header_line::encoded_words(std::string_view text) {
    // Q stays legible for the Latin scripts; B is a third shorter for the others.
    bool const as_q = q_encoded(text).size() <= 2 * text.size();
    auto const cost = [&](std::size_t bytes, std::string_view more) {
        return as_q ? bytes + q_encoded(more).size() : (bytes + more.size() + 2) / 3 * 4;
    };
    constexpr std::size_t overhead = word_limit - word_payload;
    while (!text.empty()) {
        // The rest of this line takes the first word if it is worth it, else the word begins the
        // next one.
        auto const room = column_ + 1 + overhead + 16 <= line_limit
                              ? line_limit - column_ - 1 - overhead
                              : word_payload;
        auto const payload = std::min(room, word_payload);
        std::size_t taken = 0, q_bytes = 0;
        while (taken < text.size()) {
            auto const character =
                text.substr(taken, std::max<std::size_t>(1, utf8_length(text.substr(taken))));
            if (cost(as_q ? q_bytes : taken, character) > payload) break;
            if (as_q) q_bytes += q_encoded(character).size();
            taken += character.size();
        }
        auto const piece = text.substr(0, taken);
        std::string word(as_q ? word_begin_q : word_begin_b);
        word += as_q ? q_encoded(piece) : base64(piece);
        word += word_end;
        append(" ", word);
        text.remove_prefix(taken);
    }
}

void header_line::text(std::string_view utf8) {
    auto const words = split_words(utf8);
    auto const plain = [&](std::size_t i) {
        bool const edge = (i == 0 && !words[i].blanks.empty()) || words[i].word.empty();
        return !edge && words[i].blanks.size() < 32 && is_plain_word(words[i].word);
    };
    std::size_t first = 0, last = words.size(); // [first, last) is what becomes encoded-words
    while (first < last && plain(first)) ++first;
    while (last > first && plain(last - 1)) --last;
    // The blank before and behind an encoded-word must be one blank; what is more belongs inside.
    while (first > 0 && first < last && words[first].blanks != " ") --first;
    while (last < words.size() && first < last && words[last].blanks != " ") ++last;
    auto const stand = [&](std::size_t i) {
        append(i == 0 ? " " : words[i].blanks, words[i].word);
    };
    for (std::size_t i = 0; i < first; ++i) stand(i);
    if (first < last) {
        auto const* const begin = first == 0 ? utf8.data() : words[first].word.data();
        auto const* const end = words[last - 1].word.data() + words[last - 1].word.size();
        encoded_words({begin, static_cast<std::size_t>(end - begin)});
    }
    for (std::size_t i = last; i < words.size(); ++i) stand(i);
}

void header_line::phrase(std::string_view utf8) {
    auto const printable = is_plain_word(utf8);
    bool const atoms =
        printable && utf8.find("  ") == std::string_view::npos && utf8.front() != ' ' &&
        utf8.back() != ' ' &&
        std::all_of(utf8.begin(), utf8.end(), [](char c) { return is_atext(c) || c == ' '; });
    if (atoms) {
        for (auto const& [blanks, atom] : split_words(utf8)) word(atom);
    } else if (printable)
        word(quoted_string(utf8));
    else
        encoded_words(utf8);
}

void header_line::parameter(std::string_view name, std::string_view utf8) {
    glue(";");
    if (auto const plain = fmt::format("{}={}", name, quoted_string(utf8));
        is_plain_word(utf8) && plain.size() + 2 <= line_limit) {
        word(plain);
        return;
    }
    std::string value = "utf-8''";
    std::vector<std::string> sections;
    for (std::size_t at = 0; at < utf8.size();) {
        auto const length = std::max<std::size_t>(1, utf8_length(utf8.substr(at)));
        std::string character;
        for (char c : utf8.substr(at, length)) {
            if (is_attribute_char(c))
                character += c;
            else
                append_hex(character, '%', c);
        }
        // " name*NNN*=" and ";" around it
        if (value.size() + character.size() + name.size() + 9 > line_limit)
            sections.push_back(std::move(value)), value.clear();
        value += character;
        at += length;
    }
    if (sections.empty()) {
        word(fmt::format("{}*={}", name, value));
        return;
    }
    sections.push_back(std::move(value));
    for (std::size_t i = 0; i < sections.size(); ++i) {
        if (i > 0) glue(";");
        word(fmt::format("{}*{}*={}", name, i, sections[i]));
    }
}

} // namespace trawl::mime::detail
