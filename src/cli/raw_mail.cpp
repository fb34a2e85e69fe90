#include "cli/raw_mail.hpp"

#include "mail/characters.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trawl::cli {
namespace {

/// The name of the field that `line` begins; empty when it begins none (RFC 5322 §3.6.8).
std::string_view name_of(std::string_view line) {
    auto const colon = line.find(':');
    if (colon == line.npos) return {};
    auto name = line.substr(0, colon);
    while (name.ends_with(' ') || name.ends_with('\t')) name.remove_suffix(1); // obsolete, §4.5
    bool const good =
        std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~'; });
    return good ? name : std::string_view();
}

std::string_view next_line(std::string_view text) {
    auto const end = text.find('\n');
    return text.substr(0, end == text.npos ? text.npos : end + 1);
}

} // namespace

raw_mail raw_mail::read(std::string_view bytes) {
    raw_mail made;
    if (bytes.starts_with("From ")) bytes.remove_prefix(next_line(bytes).size());
    while (!bytes.empty()) {
        auto const line = next_line(bytes);
        bool const folded = line.starts_with(' ') || line.starts_with('\t');
        if (folded && !made.header.empty())
            made.header.back().lines += line;
        else if (auto const name = name_of(line); !name.empty() && !folded)
            made.header.push_back({std::string(name), std::string(line)});
        else
            break;
        bytes.remove_prefix(line.size());
    }
    auto& fields = made.header;
    if (!fields.empty() && !fields.back().lines.ends_with('\n')) fields.back().lines += '\n';
    if (!bytes.starts_with("\n") && !bytes.starts_with("\r\n")) made.body += '\n';
    made.body += bytes;
    return made;
}

bool raw_mail::has(std::string_view name) const {
    return std::any_of(header.begin(), header.end(),
                       [&](field const& f) { return mime::detail::equal_nocase(f.name, name); });
}

void raw_mail::erase(std::string_view name) {
    std::erase_if(header, [&](field const& f) { return mime::detail::equal_nocase(f.name, name); });
}

void raw_mail::prepend(std::string_view name, std::string_view value) {
    field made{std::string(name), fmt::format("{}: {}\n", name, value)};
    header.insert(header.begin(), std::move(made));
}

std::vector<mime::mailbox> raw_mail::mailboxes(std::string_view name) const {
    std::vector<mime::mailbox> found;
    for (auto const& f : header) {
        if (!mime::detail::equal_nocase(f.name, name)) continue;
        auto const read = mime::read(f.lines);
        auto const value = read.value(f.name);
        if (value.find_first_not_of(" \t,") == value.npos) continue;
        for (auto& box : mime::parse_mailboxes(value)) found.push_back(std::move(box));
    }
    return found;
}

std::string raw_mail::value(std::string_view name) const {
    for (auto const& f : header)
        if (mime::detail::equal_nocase(f.name, name))
            return std::string(mime::read(f.lines).value(f.name));
    return {};
}

std::string raw_mail::bytes() const {
    std::string all;
    for (auto const& f : header) all += f.lines;
    return all += body;
}

} // namespace trawl::cli
