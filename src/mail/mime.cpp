#include <trawl/error.hpp>
#include <trawl/mime.hpp>

#include "mail/address.hpp"
#include "mail/encoding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <memory>
#include <random>

namespace trawl::mime {
namespace {

using detail::encoding;
using detail::header_line;

struct category_type : std::error_category {
    char const* name() const noexcept override { return "trawl.mime"; }
    std::string message(int code) const override {
        switch (static_cast<errc>(code)) {
        case errc::bad_address: return "not a mail address";
        case errc::forbidden_character: return "a line break or NUL is not allowed here";
        case errc::not_utf8: return "not UTF-8";
        case errc::bad_header: return "not a header name that can be set";
        case errc::no_sender: return "the message has no From";
        case errc::no_recipient: return "the message has no recipient";
        }
        return "unknown error";
    }
};

/// A part of a message: its Content- fields and what follows them.
struct entity {
    std::string fields, body;
    bool eight_bit = false;
};

std::string random_token() {
    std::random_device source;
    return fmt::format("{:08x}{:08x}{:08x}", source(), source(), source());
}

std::string rfc5322(std::chrono::system_clock::time_point when) {
    using namespace std::chrono;
    static constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    auto const day = floor<std::chrono::days>(when);
    year_month_day const date(day);
    hh_mm_ss const time(floor<seconds>(when - day));
    return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} +0000",
                       days[weekday(day).c_encoding()], static_cast<unsigned>(date.day()),
                       months[static_cast<unsigned>(date.month()) - 1],
                       static_cast<int>(date.year()), time.hours().count(), time.minutes().count(),
                       time.seconds().count());
}

std::string_view type_of(std::string_view name) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 22> types{{
        {"csv", "text/csv"},          {"gif", "image/gif"},
        {"gz", "application/gzip"},   {"htm", "text/html"},
        {"html", "text/html"},        {"ics", "text/calendar"},
        {"jpeg", "image/jpeg"},       {"jpg", "image/jpeg"},
        {"json", "application/json"}, {"log", "text/plain"},
        {"md", "text/markdown"},      {"ndjson", "application/x-ndjson"},
        {"pdf", "application/pdf"},   {"png", "image/png"},
        {"svg", "image/svg+xml"},     {"tar", "application/x-tar"},
        {"tgz", "application/gzip"},  {"toml", "application/toml"},
        {"txt", "text/plain"},        {"xml", "application/xml"},
        {"zip", "application/zip"},   {"zst", "application/zstd"},
    }};
    auto const dot = name.rfind('.');
    if (dot == std::string_view::npos) return "application/octet-stream";
    std::string ending(name.substr(dot + 1));
    for (char& c : ending)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    for (auto const& [known, type] : types)
        if (known == ending) return type;
    return "application/octet-stream";
}

bool is_token(std::string_view text, std::string_view others) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               others.find(c) != std::string_view::npos;
    });
}

bool equal_nocase(std::string_view a, std::string_view b) {
    auto const lower = [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [&](char x, char y) { return lower(x) == lower(y); });
}

/// Same mailbox: domains in any case, local parts as they are (RFC 5321 §2.4).
bool same_address(std::string_view a, std::string_view b) {
    auto const da = detail::domain_of(a), db = detail::domain_of(b);
    return equal_nocase(da, db) &&
           a.substr(0, a.size() - da.size()) == b.substr(0, b.size() - db.size());
}

std::string address_field(std::string_view name, std::vector<mailbox> const& boxes) {
    header_line line(name);
    for (std::size_t i = 0; i < boxes.size(); ++i) {
        auto const& [shown_name, address] = boxes[i];
        std::string_view const comma = i + 1 < boxes.size() ? "," : "";
        if (shown_name.empty())
            line.word(fmt::format("{}{}", address, comma));
        else {
            line.phrase(shown_name);
            line.word(fmt::format("<{}>{}", address, comma));
        }
    }
    return line.str();
}

std::string text_field(std::string_view name, std::string_view utf8) {
    header_line line(name);
    line.text(utf8);
    return line.str();
}

entity text_part(std::string_view subtype, std::string_view text, transport way,
                 std::string_view token) {
    auto const lines = detail::with_crlf(text);
    auto const seen = detail::look_at(lines);
    bool const utf8 = detail::is_utf8(lines);
    auto how = detail::choose(seen, lines.size(), utf8 && way == transport::eight_bit);
    // The other encodings cannot contain "=_", so that no boundary can appear in them.
    if ((how == encoding::seven_bit || how == encoding::eight_bit) &&
        lines.find(token) != std::string::npos)
        how = encoding::quoted_printable;
    header_line type("Content-Type");
    type.word(fmt::format("text/{}", subtype));
    type.parameter("charset", utf8 ? "utf-8" : "unknown-8bit");
    auto fields = type.str() + fmt::format("Content-Transfer-Encoding: {}\r\n", to_string(how));
    return {std::move(fields), encoded(lines, how), how == encoding::eight_bit};
}

/// Old programs that do not read RFC 2231 find a name in ASCII here; a second `filename` parameter
/// would be a fault (Python's email counts it as one).
std::string ascii_name(std::string_view utf8) {
    std::string out;
    for (std::size_t at = 0; at < utf8.size();) {
        auto const length = std::max<std::size_t>(1, detail::utf8_length(utf8.substr(at)));
        out += length == 1 && utf8[at] >= ' ' && utf8[at] <= '~' ? utf8[at] : '_';
        at += length;
    }
    if (out.size() <= 60) return out;
    auto const dot = out.rfind('.');
    auto const ending =
        dot == std::string::npos || out.size() - dot > 12 ? std::string() : out.substr(dot);
    return out.substr(0, 60 - ending.size()) + ending;
}

entity attached_part(std::string_view name, std::string_view type, std::string_view bytes) {
    header_line content("Content-Type"), disposition("Content-Disposition");
    content.word(type);
    content.parameter("name", ascii_name(name));
    disposition.word("attachment");
    disposition.parameter("filename", name);
    return {content.str() + "Content-Transfer-Encoding: base64\r\n" + disposition.str(),
            detail::base64_lines(bytes), false};
}

entity multipart(std::string_view subtype, std::vector<entity> const& parts, std::string boundary) {
    header_line type("Content-Type");
    type.word(fmt::format("multipart/{}", subtype));
    type.parameter("boundary", boundary);
    entity whole{type.str(), "", false};
    for (auto const& part : parts) {
        whole.body += fmt::format("--{}\r\n{}\r\n{}\r\n", boundary, part.fields, part.body);
        whole.eight_bit |= part.eight_bit;
    }
    whole.body += fmt::format("--{}--\r\n", boundary);
    if (whole.eight_bit) whole.fields += "Content-Transfer-Encoding: 8bit\r\n";
    return whole;
}

void append(std::vector<mailbox>& boxes, std::string_view text) {
    auto more = parse_mailboxes(text);
    std::move(more.begin(), more.end(), std::back_inserter(boxes));
}

} // namespace

std::error_category const& category() noexcept {
    static category_type const instance;
    return instance;
}
std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

message::message() : date_(std::chrono::system_clock::now()), token_(random_token()) {}

message& message::from(std::string_view mailbox) {
    from_.assign(1, parse_mailbox(mailbox));
    return *this;
}
message& message::to(std::string_view mailboxes) { return append(to_, mailboxes), *this; }
message& message::cc(std::string_view mailboxes) { return append(cc_, mailboxes), *this; }
message& message::bcc(std::string_view mailboxes) { return append(bcc_, mailboxes), *this; }
message& message::reply_to(std::string_view mailboxes) {
    return append(reply_to_, mailboxes), *this;
}

message& message::subject(std::string_view utf8) {
    detail::require_header_text("mail subject", utf8);
    subject_ = utf8;
    has_subject_ = true;
    return *this;
}

message& message::header(std::string_view name, std::string_view utf8) {
    static constexpr std::array own{"From",       "Sender",       "To",          "Cc",
                                    "Bcc",        "Reply-To",     "Date",        "Subject",
                                    "Message-ID", "MIME-Version", "Return-Path", "Received"};
    auto const where = fmt::format("mail header \"{}\"", detail::shown(name));
    bool const content = equal_nocase(name.substr(0, 8), "Content-");
    bool const taken =
        std::any_of(own.begin(), own.end(), [&](auto known) { return equal_nocase(name, known); });
    if (!is_token(name, "!#$%&'*+-.^_`|~") || name.size() > 60)
        throw error(errc::bad_header, where);
    if (content || taken) throw error(errc::bad_header, where, "the message writes it itself");
    detail::require_header_text(where, utf8);
    fields_.push_back({std::string(name), std::string(utf8)});
    return *this;
}

message& message::text(std::string body) {
    text_ = std::move(body);
    has_text_ = true;
    return *this;
}

message& message::html(std::string body) {
    html_ = std::move(body);
    has_html_ = true;
    return *this;
}

message& message::attach(std::filesystem::path const& file) {
    auto const fail = [&] {
        throw error(std::error_code(errno, std::system_category()),
                    fmt::format("attachment {}", detail::shown(file.native())));
    };
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "rbe"),
                                                       std::fclose);
    if (!in) fail();
    std::string bytes;
    std::array<char, 65536> block;
    while (auto const size = std::fread(block.data(), 1, block.size(), in.get()))
        bytes.append(block.data(), size);
    if (std::ferror(in.get())) fail();
    auto name = file.filename().string();
    if (!detail::is_utf8(name)) name = ascii_name(name);
    for (char& c : name)
        if (c == '\r' || c == '\n') c = '_';
    return attach(std::move(bytes), std::move(name));
}

message& message::attach(std::string bytes, std::string name, std::string type) {
    auto const where = fmt::format("attachment \"{}\"", detail::shown(name));
    detail::require_header_text(where, name);
    if (name.empty() || name.find('/') != std::string::npos)
        throw error(std::make_error_code(std::errc::invalid_argument), where,
                    "a name without a path is wanted");
    if (type.empty()) type = type_of(name);
    auto const slash = type.find('/');
    constexpr std::string_view token_others = "!#$&^_.+-";
    if (slash == std::string::npos ||
        !is_token(std::string_view(type).substr(0, slash), token_others) ||
        !is_token(std::string_view(type).substr(slash + 1), token_others) || type.size() > 70)
        throw error(std::make_error_code(std::errc::invalid_argument), where,
                    fmt::format("\"{}\" is no media type", detail::shown(type)));
    attachments_.push_back({std::move(name), std::move(type), std::move(bytes)});
    return *this;
}

message& message::date(std::chrono::system_clock::time_point when) {
    date_ = when;
    return *this;
}

message& message::message_id(std::string_view id) {
    detail::require_header_text("mail Message-ID", id);
    auto const at = id.find('@');
    constexpr std::string_view others = "!#$%&'*+-/=?^_`{|}~.";
    if (at == std::string_view::npos || !is_token(id.substr(0, at), others) ||
        !is_token(id.substr(at + 1), "!#$%&'*+-/=?^_`{|}~.[]:") || id.size() > 250)
        throw error(errc::bad_header, "mail Message-ID",
                    fmt::format("\"{}\" is not LEFT@RIGHT", detail::shown(id)));
    id_ = id;
    return *this;
}

std::string message::message_id() const {
    if (!id_.empty()) return id_;
    auto const domain =
        from_.empty() ? std::string_view() : detail::domain_of(from_.front().address);
    return fmt::format("{}@{}", token_, domain.empty() ? "localhost" : domain);
}

envelope message::envelope() const {
    mime::envelope found;
    if (from_.empty()) throw error(errc::no_sender, "mail");
    found.sender = from_.front().address;
    for (auto const* boxes : {&to_, &cc_, &bcc_})
        for (auto const& box : *boxes) {
            auto const& known = found.recipients;
            if (std::none_of(known.begin(), known.end(),
                             [&](auto const& k) { return same_address(k, box.address); }))
                found.recipients.push_back(box.address);
        }
    if (found.recipients.empty()) throw error(errc::no_recipient, "mail");
    return found;
}

std::string message::serialize(transport way) const {
    if (from_.empty()) throw error(errc::no_sender, "mail");
    std::string out = fmt::format("Date: {}\r\n", rfc5322(date_));
    out += address_field("From", from_);
    if (!reply_to_.empty()) out += address_field("Reply-To", reply_to_);
    if (!to_.empty()) out += address_field("To", to_);
    if (!cc_.empty()) out += address_field("Cc", cc_);
    if (has_subject_) out += text_field("Subject", subject_);
    out += fmt::format("Message-ID: <{}>\r\n", message_id());
    for (auto const& [name, value] : fields_) out += text_field(name, value);
    out += "MIME-Version: 1.0\r\n";

    std::vector<entity> bodies;
    if (has_text_ || !has_html_) bodies.push_back(text_part("plain", text_, way, token_));
    if (has_html_) bodies.push_back(text_part("html", html_, way, token_));
    auto root = std::move(bodies.front());
    if (bodies.size() > 1) {
        bodies.front() = std::move(root);
        root = multipart("alternative", bodies, fmt::format("=_a_{}", token_));
    }
    if (!attachments_.empty()) {
        std::vector<entity> parts;
        parts.push_back(std::move(root));
        for (auto const& [name, type, bytes] : attachments_)
            parts.push_back(attached_part(name, type, bytes));
        root = multipart("mixed", parts, fmt::format("=_m_{}", token_));
    }
    out += root.fields + "\r\n" + root.body;
    if (!out.ends_with("\r\n")) out += "\r\n";
    return out;
}

} // namespace trawl::mime
