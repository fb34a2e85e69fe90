#include "ssh/config_words.hpp"

#include "ssh/known_hosts.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>

namespace trawl::ssh::detail {
namespace {

constexpr std::string_view blanks = " \t\r\f";

/// The next argument, taken off; nullopt at an open quote.
std::optional<std::string> take_word(std::string_view& rest) {
    std::string word;
    char quote = 0;
    while (!rest.empty() && (quote || blanks.find(rest[0]) == blanks.npos)) {
        char const c = rest[0];
        rest.remove_prefix(1);
        // As OpenSSH's argv_split: \ saves a quote, a \ and, outside of quotes, a blank.
        bool const saved =
            c == '\\' && !rest.empty() &&
            (rest[0] == '"' || rest[0] == '\'' || rest[0] == '\\' || (!quote && rest[0] == ' '));
        if (saved) {
            word += rest[0];
            rest.remove_prefix(1);
        } else if (quote ? c == quote : c == '"' || c == '\'') {
            quote = quote ? 0 : c;
        } else {
            word += c;
        }
    }
    if (quote) return {};
    return word;
}

void skip_blanks(std::string_view& rest) {
    rest.remove_prefix(std::min(rest.find_first_not_of(blanks), rest.size()));
}

} // namespace

std::string lower(std::string_view text) {
    std::string out(text);
    for (auto& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
}

std::optional<std::vector<std::string>> split_line(std::string_view line) {
    skip_blanks(line);
    if (line.empty() || line[0] == '#') return std::vector<std::string>();
    auto const end = std::min(line.find_first_of(" \t\r\f=\""), line.size());
    std::vector<std::string> words{lower(line.substr(0, end))};
    line.remove_prefix(end);
    skip_blanks(line);
    if (line.starts_with('=')) line.remove_prefix(1);
    for (skip_blanks(line); !line.empty() && line[0] != '#'; skip_blanks(line)) {
        auto word = take_word(line);
        if (!word) return {};
        words.push_back(std::move(*word));
    }
    return words;
}

bool matches_patterns(std::vector<std::string> const& patterns, std::string_view text) {
    bool any = false;
    for (std::string_view pattern : patterns) {
        bool const negated = pattern.starts_with('!');
        if (negated) pattern.remove_prefix(1);
        if (!wildcard_match(pattern, text)) continue;
        if (negated) return false;
        any = true;
    }
    return any;
}

bool matches_list(std::string_view patterns, std::string_view text) {
    std::vector<std::string> all;
    while (!patterns.empty()) {
        auto const end = std::min(patterns.find(','), patterns.size());
        all.emplace_back(patterns.substr(0, end));
        patterns.remove_prefix(std::min(end + 1, patterns.size()));
    }
    return matches_patterns(all, text);
}

std::optional<unsigned> parse_number(std::string_view text, unsigned most) {
    unsigned value = 0;
    auto const [end, bad] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (bad != std::errc() || end != text.data() + text.size() || value > most) return {};
    return value;
}

std::optional<std::chrono::seconds> parse_time(std::string_view text) {
    constexpr unsigned longest = 10 * 365 * 86400;
    if (text.empty()) return {};
    std::uint64_t total = 0;
    while (!text.empty()) {
        auto const digits = std::min(text.find_first_not_of("0123456789"), text.size());
        auto const number = parse_number(text.substr(0, digits), longest);
        if (!number) return {};
        text.remove_prefix(digits);
        std::uint64_t unit = 1;
        if (!text.empty()) {
            switch (std::tolower(static_cast<unsigned char>(text[0]))) {
            case 's': unit = 1; break;
            case 'm': unit = 60; break;
            case 'h': unit = 3600; break;
            case 'd': unit = 86400; break;
            case 'w': unit = 7 * 86400; break;
            default: return {};
            }
            text.remove_prefix(1);
        }
        total += *number * unit;
        if (total > longest) return {};
    }
    return std::chrono::seconds(total);
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
    int shift = 0;
    if (!text.empty()) {
        switch (text.back()) {
        case 'k':
        case 'K': shift = 10; break;
        case 'm':
        case 'M': shift = 20; break;
        case 'g':
        case 'G': shift = 30; break;
        }
    }
    if (shift > 0) text.remove_suffix(1);
    auto const number = parse_number(text, std::numeric_limits<unsigned>::max());
    auto const bytes = std::uint64_t{number.value_or(0)} << shift;
    if (!number || bytes < 16) return {};
    return bytes;
}

} // namespace trawl::ssh::detail
