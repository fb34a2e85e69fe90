#include "mail/smtp_reply.hpp"

#include <algorithm>
#include <charconv>
#include <vector>

namespace trawl::smtp::detail {
namespace {

std::string upper(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return out;
}

/// What stands before the next `separator` of `text`, which loses both.
std::string_view cut(std::string_view& text, char separator) {
    auto const word = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    return word;
}

/// The words of a line, in upper case: names and mechanisms know no case.
std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> words;
    while (!line.empty())
        if (auto const word = cut(line, ' '); !word.empty()) words.push_back(upper(word));
    return words;
}

/// 0 when `text` is not a number: a limit that nobody can read is none.
std::uint64_t number(std::string_view text) {
    std::uint64_t value = 0;
    auto const* const end = text.data() + text.size();
    auto const [rest, failure] = std::from_chars(text.data(), end, value);
    return failure == std::errc() && rest == end ? value : 0;
}

void read_limits(std::vector<std::string> const& words, capabilities& can) {
    for (std::size_t i = 1; i < words.size(); ++i) {
        std::string_view rest = words[i];
        auto const name = cut(rest, '=');
        auto const value = number(rest);
        if (name == "MAILMAX") can.mail_max = value;
        if (name == "RCPTMAX") can.rcpt_max = value;
        if (name == "RCPTDOMAINMAX") can.rcpt_domain_max = value;
    }
}

} // namespace

capabilities capabilities::of(reply const& hello) {
    capabilities can;
    struct flag {
        std::string_view name;
        bool capabilities::*is;
    };
    static constexpr flag flags[]{
        {"PIPELINING", &capabilities::pipelining},
        {"CHUNKING", &capabilities::chunking},
        {"8BITMIME", &capabilities::eight_bit},
        {"SMTPUTF8", &capabilities::utf8},
        {"DSN", &capabilities::dsn},
        {"REQUIRETLS", &capabilities::require_tls},
        {"STARTTLS", &capabilities::starttls},
        {"SIZE", &capabilities::sizes},
    };
    std::string_view lines = hello.lines;
    cut(lines, '\n'); // the server's name
    while (!lines.empty()) {
        auto const words = words_of(cut(lines, '\n'));
        if (words.empty()) continue;
        auto const& name = words[0];
        for (auto const& [known, is] : flags) can.*is |= name == known;
        if (name == "SIZE" && words.size() > 1) can.size = number(words[1]);
        if (name == "LIMITS") read_limits(words, can);
        // "AUTH=LOGIN" is how servers spoke to clients of before RFC 2554; some still say both.
        if (name != "AUTH" && !name.starts_with("AUTH=")) continue;
        for (std::size_t w = name == "AUTH" ? 1 : 0; w < words.size(); ++w) {
            auto const mechanism = w > 0 ? words[w] : name.substr(5);
            if (mechanism.empty() || can.has_auth(mechanism)) continue;
            can.auth += (can.auth.empty() ? "" : " ") + mechanism;
        }
    }
    return can;
}

bool capabilities::has_auth(std::string_view mechanism) const noexcept {
    std::string_view rest = auth;
    while (!rest.empty())
        if (cut(rest, ' ') == mechanism) return true;
    return false;
}

} // namespace trawl::smtp::detail
