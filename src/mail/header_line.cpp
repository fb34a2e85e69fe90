#include "mail/header_line.hpp"

#include "mail/characters.hpp"
#include "mail/encoding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace trawl::mime::detail {
namespace {

constexpr std::size_t line_limit = header_line::line_limit, word_limit = 75;
constexpr std::string_view word_begin_q = "=?utf-8?q?", word_begin_b = "=?utf-8?b?",
                           word_end = "?=";
constexpr std::size_t word_payload = word_limit - word_begin_q.size() - word_end.size();

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
    constexpr char hex[] = "0123456789ABCDEF";
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
bool is_plain_word(std::string_view word, std::size_t longest = line_limit - 1) {
    return word.size() <= longest && word.find("=?") == std::string_view::npos &&
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

void header_line::text(std::string_view utf8, std::size_t longest) {
    auto const words = split_words(utf8);
    auto const plain = [&](std::size_t i) {
        bool const edge = (i == 0 && !words[i].blanks.empty()) || words[i].word.empty();
        return !edge && words[i].blanks.size() < 32 && is_plain_word(words[i].word, longest);
    };
    std::size_t first = 0, last = words.size(); // [first, last) is what becomes encoded-words
    while (first < last && plain(first)) ++first;
    while (last > first && plain(last - 1)) --last;
    // The blank before and behind an encoded-word must be one blank; what is more belongs inside.
    auto const separate = [&](std::size_t i) {
        return words[i].blanks == " " && !words[i].word.empty();
    };
    while (first > 0 && first < last && !separate(first)) --first;
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
