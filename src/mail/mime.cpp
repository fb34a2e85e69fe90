#include <trawl/dkim.hpp>
#include <trawl/error.hpp>
#include <trawl/mime.hpp>

#include "mail/address.hpp"
#include "mail/characters.hpp"
#include "mail/encoding.hpp"
#include "mail/idn.hpp"
#include "mail/letter.hpp"
#include "mail/media_type.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace trawl::mime {
namespace {

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
        case errc::changed: return "changed while it was sent";
        }
        return "unknown error";
    }
};

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

/// Same mailbox: domains in any case, local parts as they are (RFC 5321 §2.4).
bool same_address(std::string_view a, std::string_view b) {
    auto const da = detail::domain_of(a), db = detail::domain_of(b);
    return detail::equal_nocase(da, db) &&
           a.substr(0, a.size() - da.size()) == b.substr(0, b.size() - db.size());
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

part text_part(std::string_view subtype, std::string_view text) {
    part made;
    made.type = fmt::format("text/{}", subtype);
    auto lines = detail::with_crlf(text);
    if (!lines.empty() && !lines.ends_with("\r\n")) lines += "\r\n";
    made.parameters = {{"charset", detail::is_utf8(lines) ? "utf-8" : "unknown-8bit"}};
    made.body = std::move(lines);
    return made;
}

part multipart(std::string_view subtype, part first, std::vector<part> const& others) {
    part whole;
    whole.type = fmt::format("multipart/{}", subtype);
    whole.parts.push_back(std::move(first));
    whole.parts.insert(whole.parts.end(), others.begin(), others.end());
    return whole;
}

/// A file as a part; throws for a name with a path and for what is no media type.
part file_part(std::string_view disposition, content bytes, std::string name, std::string type) {
    auto const where = fmt::format("attachment \"{}\"", detail::shown(name));
    detail::require_header_text(where, name);
    if (name.empty() || name.find('/') != std::string::npos)
        throw error(std::make_error_code(std::errc::invalid_argument), where,
                    "a name without a path is wanted");
    if (type.empty()) type = detail::type_of(name, bytes);
    type = detail::lower(type);
    if (!detail::is_media_type(type) || type.starts_with("multipart/"))
        throw error(std::make_error_code(std::errc::invalid_argument), where,
                    fmt::format("\"{}\" is no media type of a file", detail::shown(type)));
    part made;
    made.parameters = {{"name", ascii_name(name)}};
    made.type = std::move(type);
    made.disposition = disposition;
    made.disposition_parameters = {{"filename", std::move(name)}};
    made.body = std::move(bytes);
    return made;
}

/// `left@right` (RFC 5322 §3.6.4), or throws.
void require_id(std::string const& where, std::string_view id) {
    detail::require_header_text(where, id);
    auto const at = id.find('@');
    constexpr std::string_view others = "!#$%&'*+-/=?^_`{|}~.";
    if (at == std::string_view::npos || !detail::is_token(id.substr(0, at), others) ||
        !detail::is_token(id.substr(at + 1), "!#$%&'*+-/=?^_`{|}~.[]:") || id.size() > 250)
        throw error(errc::bad_header, where,
                    fmt::format("\"{}\" is not LEFT@RIGHT", detail::shown(id)));
}

void append(std::vector<address>& list, std::string_view text) {
    auto more = parse_addresses(text);
    std::move(more.begin(), more.end(), std::back_inserter(list));
}

/// The address of the one mailbox that From and Sender are.
std::string_view address_of(std::vector<address> const& one) {
    return one.empty() ? std::string_view() : std::get<mailbox>(one.front()).address;
}

} // namespace

std::error_category const& category() noexcept {
    static category_type const instance;
    return instance;
}
std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

message::message() : date_(std::chrono::system_clock::now()), token_(detail::random_token()) {}

message& message::from(std::string_view mailbox) {
    from_.assign(1, parse_mailbox(mailbox));
    return *this;
}
message& message::sender(std::string_view mailbox) {
    sender_.assign(1, parse_mailbox(mailbox));
    return *this;
}
message& message::to(std::string_view addresses) { return append(to_, addresses), *this; }
message& message::cc(std::string_view addresses) { return append(cc_, addresses), *this; }
message& message::bcc(std::string_view addresses) { return append(bcc_, addresses), *this; }
message& message::reply_to(std::string_view addresses) {
    return append(reply_to_, addresses), *this;
}

message& message::subject(std::string_view utf8) {
    detail::require_header_text("mail subject", utf8);
    subject_ = utf8;
    has_subject_ = true;
    return *this;
}

message& message::in_reply_to(std::string_view id) {
    require_id("mail In-Reply-To", id);
    in_reply_to_.emplace_back(id);
    return *this;
}

message& message::references(std::string_view id) {
    require_id("mail References", id);
    references_.emplace_back(id);
    return *this;
}

message& message::header(std::string_view name, std::string_view utf8) {
    static constexpr std::array own{"From",        "Sender",      "To",         "Cc",
                                    "Bcc",         "Reply-To",    "Date",       "Subject",
                                    "Message-ID",  "In-Reply-To", "References", "MIME-Version",
                                    "Return-Path", "Received"};
    auto const where = fmt::format("mail header \"{}\"", detail::shown(name));
    bool const content = detail::equal_nocase(name.substr(0, 8), "Content-");
    bool const taken = std::any_of(own.begin(), own.end(),
                                   [&](auto known) { return detail::equal_nocase(name, known); });
    if (!detail::is_token(name, "!#$%&'*+-.^_`|~") || name.size() > 60)
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

message& message::embed(content bytes, std::string id, std::string name, std::string type) {
    require_id("mail Content-ID", id);
    auto made = file_part("inline", std::move(bytes), std::move(name), std::move(type));
    made.fields.push_back({"Content-ID", fmt::format("<{}>", id)});
    embedded_.push_back(std::move(made));
    return *this;
}

message& message::attach(std::filesystem::path const& file) {
    auto bytes = content::file(file);
    auto name = file.filename().string();
    if (!detail::is_utf8(name)) name = ascii_name(name);
    for (char& c : name)
        if (c == '\r' || c == '\n') c = '_';
    return attach(std::move(bytes), std::move(name));
}

message& message::attach(content bytes, std::string name, std::string type) {
    attachments_.push_back(
        file_part("attachment", std::move(bytes), std::move(name), std::move(type)));
    return *this;
}

message& message::attach(message const& nested) {
    part made;
    made.type = "message/rfc822";
    made.disposition = "attachment";
    made.parts.push_back(nested.tree());
    attachments_.push_back(std::move(made));
    return *this;
}

message& message::date(std::chrono::system_clock::time_point when) {
    date_ = when;
    return *this;
}

message& message::message_id(std::string_view id) {
    require_id("mail Message-ID", id);
    id_ = id;
    return *this;
}

std::string message::message_id() const {
    if (!id_.empty()) return id_;
    auto const domain = detail::domain_of(address_of(from_));
    bool const usable = !domain.empty() && detail::is_ascii(domain);
    return fmt::format("{}@{}", token_, usable ? domain : "localhost");
}

message& message::sign(std::shared_ptr<dkim::signer const> key) {
    signers_.push_back(std::move(key));
    return *this;
}

envelope message::envelope() const {
    mime::envelope found;
    if (from_.empty()) throw error(errc::no_sender, "mail");
    found.sender = address_of(sender_.empty() ? from_ : sender_);
    for (auto const* list : {&to_, &cc_, &bcc_})
        for (auto const& box : mailboxes_of(*list)) {
            auto const& known = found.recipients;
            if (std::none_of(known.begin(), known.end(),
                             [&](auto const& k) { return same_address(k, box.address); }))
                found.recipients.push_back(box.address);
        }
    if (found.recipients.empty()) throw error(errc::no_recipient, "mail");
    return found;
}

bool message::needs_utf8() const {
    for (auto const* list : {&from_, &sender_, &reply_to_, &to_, &cc_, &bcc_})
        for (auto const& box : mailboxes_of(*list))
            if (!detail::ascii_address(box.address)) return true;
    return false;
}

/// mixed(related or alternative(text, related(html, embedded)), attachments), as far as they are.
part message::body() const {
    auto main = text_part(has_html_ ? "html" : "plain", has_html_ ? html_ : text_);
    if (!embedded_.empty()) {
        auto const type = main.type;
        main = multipart("related", std::move(main), embedded_);
        main.parameters = {{"type", type}};
    }
    if (has_html_ && has_text_) {
        auto const shown = std::move(main);
        main = multipart("alternative", text_part("plain", text_), {shown});
    }
    if (!attachments_.empty()) main = multipart("mixed", std::move(main), attachments_);
    return main;
}

part message::tree() const {
    if (from_.empty()) throw error(errc::no_sender, "mail");
    auto root = body();
    auto& fields = root.fields;
    auto const addresses = [&](char const* name, std::vector<address> const& list) {
        if (!list.empty()) fields.push_back({name, to_string(list)});
    };
    auto const ids = [&](char const* name, std::vector<std::string> const& all) {
        if (!all.empty()) fields.push_back({name, fmt::format("<{}>", fmt::join(all, "> <"))});
    };
    fields.push_back({"Date", rfc5322(date_)});
    addresses("From", from_);
    addresses("Sender", sender_);
    addresses("Reply-To", reply_to_);
    addresses("To", to_);
    addresses("Cc", cc_);
    if (to_.empty() && cc_.empty() && !bcc_.empty())
        fields.push_back({"To", "undisclosed-recipients:;"});
    if (has_subject_) fields.push_back({"Subject", subject_});
    fields.push_back({"Message-ID", fmt::format("<{}>", message_id())});
    ids("In-Reply-To", in_reply_to_);
    ids("References", references_);
    fields.insert(fields.end(), fields_.begin(), fields_.end());
    return root;
}

std::unique_ptr<source> message::open(transport way) const {
    auto const root = tree();
    auto letter = detail::open_letter(root, way, token_);
    std::string signatures;
    for (auto const& signer : signers_)
        signatures += signer->sign(*detail::open_letter(root, way, token_));
    if (!signatures.empty()) letter->prepend(std::move(signatures));
    return letter;
}

std::string message::serialize(transport way) const { return read_all(*open(way)); }

} // namespace trawl::mime
