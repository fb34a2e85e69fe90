#include "mail/header_fields.hpp"

#include "mail/characters.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace trawl::mime::detail {
namespace {

/// Printable, no blank, no colon (RFC 5322 §2.2).
bool is_field_name(std::string_view name) {
    return !name.empty() && name.size() <= 200 &&
           std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~'; });
}

/// The field that `line` begins; without a name if it begins none.
raw_field field_of(std::string_view line) {
    auto const colon = line.find(':');
    if (colon == std::string_view::npos) return {};
    auto const name = trimmed(line.substr(0, colon)); // "Subject : x" is obsolete, not wrong
    if (is_blank(line.front()) || !is_field_name(name)) return {};
    return {name, line.substr(colon + 1)};
}

} // namespace

line_cutter::line line_cutter::peek() const noexcept {
    auto const* const begin = text_.data() + at_;
    auto const* const lf = static_cast<char const*>(std::memchr(begin, '\n', text_.size() - at_));
    auto const end = lf ? static_cast<std::size_t>(lf - text_.data()) : text_.size();
    auto text = text_.substr(at_, end - at_);
    if (lf && text.ends_with('\r')) text.remove_suffix(1);
    return {text, at_, end + (lf ? 1 : 0)};
}

raw_header read_header(line_cutter& lines, std::size_t most, std::size_t most_fields) {
    raw_header found;
    std::size_t size = 0;
    bool skipped = false; // the field that goes on was left out
    if (!lines.at_end())
        if (auto const first = lines.peek(); first.text.starts_with("From ")) lines.skip(first);
    while (!lines.at_end()) {
        auto const line = lines.peek();
        if (line.text.empty()) {
            lines.skip(line);
            found.ended = true;
            return found;
        }
        bool const continued = is_blank(line.text.front()) && (skipped || !found.fields.empty());
        auto const field = continued ? raw_field() : field_of(line.text);
        if (!continued && field.name.empty()) return found;
        lines.skip(line);
        size += line.behind - line.begin;
        bool const too_much = size > most || found.fields.size() + !continued > most_fields;
        found.truncated |= too_much;
        if (!continued) skipped = too_much;
        if (too_much || skipped) continue;
        if (!continued)
            found.fields.push_back(field);
        else { // the fields are parts of one text
            auto& value = found.fields.back().value;
            auto const* const end = line.text.data() + line.text.size();
            value = {value.data(), static_cast<std::size_t>(end - value.data())};
        }
    }
    found.ended = true;
    return found;
}

std::string unfolded(std::string_view value) {
    std::string out;
    while (!value.empty()) {
        auto const end = std::min(value.find('\n'), value.size());
        auto line = value.substr(0, end);
        if (end < value.size() && line.ends_with('\r')) line.remove_suffix(1);
        out += line;
        value.remove_prefix(std::min(end + 1, value.size()));
    }
    return std::string(trimmed(out));
}

field_kind kind_of(std::string_view name) {
    static constexpr std::array<std::string_view, 8> addresses{"from",
                                                               "sender",
                                                               "reply-to",
                                                               "to",
                                                               "cc",
                                                               "bcc",
                                                               "disposition-notification-to",
                                                               "mail-followup-to"};
    static constexpr std::array<std::string_view, 10> opaque{
        "message-id", "in-reply-to",    "references", "received",  "return-path",
        "date",       "dkim-signature", "content-id", "autocrypt", "authentication-results"};
    auto lowered = lower(name);
    if (lowered.starts_with("resent-")) lowered.erase(0, 7);
    if (std::ranges::find(addresses, lowered) != addresses.end()) return field_kind::addresses;
    bool const prefixed = lowered.starts_with("list-") || lowered.starts_with("arc-");
    return prefixed || std::ranges::find(opaque, lowered) != opaque.end() ? field_kind::opaque
                                                                          : field_kind::text;
}

} // namespace trawl::mime::detail
