#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

// The classes of bytes that mail's grammars are made of (RFC 5322 §3.2, RFC 2045 §5.1).
namespace trawl::mime::detail {

constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }
constexpr bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
constexpr bool is_printable(char c) { return c >= ' ' && c <= '~'; }
constexpr bool is_8bit(char c) { return static_cast<unsigned char>(c) > 127; }
constexpr bool is_atext(char c) {
    return is_alnum(c) || std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

/// What begins and ends with no blank.
constexpr std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
inline std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = lower(c);
    return out;
}
constexpr bool equal_nocase(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

/// Behind the comment that begins at `at` (RFC 5322 §3.2.2: nested, with quoted pairs); npos when its
/// ')' is missing.
constexpr std::size_t comment_end(std::string_view text, std::size_t at) {
    for (int depth = 0; at < text.size(); ++at) {
        if (text[at] == '\\')
            ++at;
        else if (text[at] == '(')
            ++depth;
        else if (text[at] == ')' && --depth == 0)
            return at + 1;
    }
    return std::string_view::npos;
}

/// Letters, digits and `others`, one at least.
constexpr bool is_token(std::string_view text, std::string_view others) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return is_alnum(c) || others.find(c) != std::string_view::npos;
    });
}

} // namespace trawl::mime::detail
