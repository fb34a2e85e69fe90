#include "cli/mail_letter.hpp"

#include "cli/environment.hpp"
#include "cli/raw_mail.hpp"

#include "mail/characters.hpp"
#include "mail/dot_stuffer.hpp"

#include <trawl/error.hpp>

#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <unistd.h>

namespace trawl::cli {
namespace {

namespace bj = boost::json;

[[noreturn]] void refuse(std::string what) { throw std::runtime_error(std::move(what)); }

std::string text_of(bj::value const& value, std::string_view key) {
    auto const* const text = value.if_string();
    if (!text) refuse(fmt::format("\"{}\" must be a string", key));
    return {text->data(), text->size()};
}

/// A string, or an array of strings.
std::vector<std::string> texts_of(bj::value const& value, std::string_view key) {
    std::vector<std::string> found;
    if (value.is_string()) return {text_of(value, key)};
    if (!value.is_array()) refuse(fmt::format("\"{}\" must be a string or an array of them", key));
    for (auto const& one : value.get_array()) found.push_back(text_of(one, key));
    return found;
}

std::vector<std::pair<std::string, std::string>> pairs_of(bj::value const& value,
                                                          std::string_view key) {
    std::vector<std::pair<std::string, std::string>> found;
    if (!value.is_object()) refuse(fmt::format("\"{}\" must be an object", key));
    for (auto const& [name, one] : value.get_object())
        found.emplace_back(std::string(name), text_of(one, name));
    return found;
}

/// A path, or {"file": PATH, "name": NAME, "type": TYPE}.
letter_parts::file attachment_of(bj::value const& value) {
    letter_parts::file found;
    if (auto const* const path = value.if_string()) {
        found.path.assign(path->data(), path->size());
        return found;
    }
    auto const* const object = value.if_object();
    if (!object) refuse("\"attachments\" must hold paths or objects");
    for (auto const& [key, one] : *object) {
        if (key == "file")
            found.path = text_of(one, key);
        else if (key == "name")
            found.name = text_of(one, key);
        else if (key == "type")
            found.type = text_of(one, key);
        else
            refuse(fmt::format("an attachment has no key \"{}\" (file, name, type)",
                               escaped(std::string_view(key))));
    }
    if (found.path.empty()) refuse("an attachment needs \"file\"");
    return found;
}

void take(letter_parts& parts, std::string_view key, bj::value const& value) {
    if (key == "from")
        parts.from = text_of(value, key);
    else if (key == "to")
        parts.to = texts_of(value, key);
    else if (key == "cc")
        parts.cc = texts_of(value, key);
    else if (key == "bcc")
        parts.bcc = texts_of(value, key);
    else if (key == "reply_to")
        parts.reply_to = texts_of(value, key);
    else if (key == "subject")
        parts.subject = text_of(value, key);
    else if (key == "text")
        parts.text = text_of(value, key);
    else if (key == "html")
        parts.html = text_of(value, key);
    else if (key == "headers")
        parts.headers = pairs_of(value, key);
    else if (key == "inline")
        parts.inlines = pairs_of(value, key);
    else if (key == "attachments") {
        if (!value.is_array()) refuse("\"attachments\" must be an array");
        parts.attachments.clear();
        for (auto const& one : value.get_array()) parts.attachments.push_back(attachment_of(one));
    } else
        refuse(fmt::format("no key \"{}\" is known (from, to, cc, bcc, reply_to, subject, text, "
                           "html, attachments, inline, headers)",
                           escaped(key)));
}

std::string file_name(std::string const& path) {
    return std::filesystem::path(path).filename().string();
}

void add_unique(std::vector<std::string>& to, std::vector<mime::mailbox> const& boxes) {
    for (auto const& box : boxes)
        if (std::find(to.begin(), to.end(), box.address) == to.end()) to.push_back(box.address);
}

} // namespace

smtp::outgoing compose(letter_parts const& parts, dkim_key const& signer) {
    mime::message letter;
    letter.from(parts.from);
    for (auto const& address : parts.to) letter.to(address);
    for (auto const& address : parts.cc) letter.cc(address);
    for (auto const& address : parts.bcc) letter.bcc(address);
    for (auto const& address : parts.reply_to) letter.reply_to(address);
    if (parts.subject) letter.subject(*parts.subject);
    for (auto const& [name, value] : parts.headers) letter.header(name, value);
    for (auto const& [path, name, type] : parts.attachments)
        if (name.empty() && type.empty())
            letter.attach(std::filesystem::path(path));
        else
            letter.attach(mime::content::file(path), name.empty() ? file_name(path) : name, type);
    for (auto const& [id, path] : parts.inlines)
        letter.embed(mime::content::file(path), id, file_name(path));
    if (parts.text) letter.text(*parts.text);
    if (parts.html) letter.html(*parts.html);
    if (signer) letter.sign(signer);
    return smtp::outgoing::of(std::move(letter));
}

letter_parts parse_letter(std::string_view json, letter_parts const& defaults) {
    bj::error_code failure;
    auto const parsed = bj::parse(bj::string_view(json.data(), json.size()), failure);
    if (failure) refuse("it is no JSON: " + failure.message());
    auto const* const object = parsed.if_object();
    if (!object) refuse("it is no JSON object");
    auto parts = defaults;
    for (auto const& [key, value] : *object)
        take(parts, std::string_view(key.data(), key.size()), value);
    if (parts.from.empty()) refuse("it has no \"from\"");
    return parts;
}

smtp::outgoing forward(std::string_view bytes, std::string const& from,
                       std::vector<std::string> const& to, dkim_key const& signer) {
    auto mail = raw_mail::read(bytes);
    smtp::outgoing one;
    if (from.empty()) {
        auto author = mail.mailboxes("Sender");
        if (author.empty()) author = mail.mailboxes("From");
        if (author.empty()) throw error(mime::errc::no_sender, "mail");
        one.envelope.sender = author.front().address;
    } else if (from != "<>")
        one.envelope.sender = mime::parse_mailbox(from).address;
    for (auto const& words : to) add_unique(one.envelope.recipients, mime::parse_mailboxes(words));
    if (to.empty())
        for (auto const* name : {"To", "Cc", "Bcc"})
            add_unique(one.envelope.recipients, mail.mailboxes(name));
    if (one.envelope.recipients.empty()) throw error(mime::errc::no_recipient, "mail");
    mail.erase("Bcc");
    auto id = mail.value("Message-ID");
    if (id.starts_with('<') && id.ends_with('>')) id = id.substr(1, id.size() - 2);
    one.message_id = std::move(id);
    auto text = mail.bytes();
    if (signer) { // the signature is over what is on the wire
        std::string wire;
        smtp::detail::dot_stuffer line_ends(false);
        line_ends.write(text, wire);
        line_ends.finish(wire);
        auto const source = mime::content(wire).open();
        text = signer->sign(*source) + wire;
    }
    one.content = smtp::outgoing::of({}, std::move(text)).content;
    return one;
}

void show_text(smtp::outgoing const& one, std::function<void(std::string_view)> const& put) {
    auto const from = one.content(mime::transport::utf8);
    // Whole lines, so that no character is cut in two, unless one is very long.
    constexpr std::size_t longest_line = 1 << 20;
    std::string block(65536, '\0'), rest;
    bool ended = false; // what was put last is the end of a line
    for (auto size = block.size(); size == block.size();) {
        size = from->read(block);
        auto const fresh = block.begin() + static_cast<std::ptrdiff_t>(size);
        rest.append(block.begin(), std::remove(block.begin(), fresh, '\r'));
        auto whole = rest.rfind('\n') + 1;
        if (whole == 0 && rest.size() >= longest_line) whole = rest.size();
        if (whole == 0) continue;
        put(std::string_view(rest).substr(0, whole));
        ended = rest[whole - 1] == '\n';
        rest.erase(0, whole);
    }
    if (!rest.empty() || !ended) put(rest + '\n');
}

std::string shown_text(smtp::outgoing const& one) {
    std::string text;
    show_text(one, [&](std::string_view piece) { text += piece; });
    return text;
}

std::pair<std::string, std::string> parse_inline(std::string const& text) {
    auto const mark = text.find('=');
    if (mark == text.npos || mark == 0 || mark + 1 == text.size())
        throw usage_error(
            fmt::format("--inline {}: ID=FILE is wanted, as logo@mail=logo.png", escaped(text)));
    return {text.substr(0, mark), text.substr(mark + 1)};
}

std::pair<std::string, std::string> parse_header(std::string const& text) {
    auto const mark = text.find(':');
    if (mark == text.npos || mark == 0)
        throw usage_error(fmt::format("--header {}: \"NAME: VALUE\" is wanted", escaped(text)));
    return {text.substr(0, mark),
            std::string(mime::detail::trimmed(std::string_view(text).substr(mark + 1)))};
}

std::string read_all(int descriptor, std::string const& name) {
    std::string bytes;
    std::array<char, 65536> block;
    for (;;) {
        auto const size = ::read(descriptor, block.data(), block.size());
        if (size > 0)
            bytes.append(block.data(), static_cast<std::size_t>(size));
        else if (size == 0)
            return bytes;
        else if (errno != EINTR)
            throw error(std::error_code(errno, std::system_category()), name);
    }
}

std::string read_file(std::string const& path) {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file(std::fopen(path.c_str(), "rbe"),
                                                               std::fclose);
    if (!file) throw error(std::error_code(errno, std::system_category()), path);
    return read_all(::fileno(file.get()), path);
}

} // namespace trawl::cli
