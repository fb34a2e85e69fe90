#include "mail/smtp_job.hpp"

#include "mail/address.hpp"
#include "mail/dot_stuffer.hpp"
#include "mail/idn.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trawl::smtp::detail {
namespace {

/// xtext of RFC 3461 §4.
std::string xtext(std::string_view text) {
    std::string out;
    for (char c : text)
        if (c < '!' || c > '~' || c == '+' || c == '=')
            out += fmt::format("+{:02X}", static_cast<unsigned char>(c));
        else
            out += c;
    return out;
}

} // namespace

std::string_view header_of(std::string_view message) {
    for (std::size_t at = 0; (at = message.find('\n', at)) != message.npos; ++at) {
        auto const next = message.substr(at + 1, 2);
        if (next.starts_with('\n') || next == "\r\n") return message.substr(0, at);
    }
    return message;
}

void job::open(capabilities const& can) {
    auto const way = can.utf8        ? mime::transport::utf8
                     : can.eight_bit ? mime::transport::eight_bit
                                     : mime::transport::seven_bit;
    source = what.content(way);
    size = source->size();
    auto const all = source->view();
    held = all && all->size() <= most_held;
    if (held)
        text = *all;
    else
        read_begin();
    bool const above = has_8bit(text);
    eight_bit = above || (!held && way != mime::transport::seven_bit);
    utf8 = above && has_8bit(header_of(text));
}

/// Not more than there is, for thousands of small ones may be held.
void job::read_begin() {
    auto const expected = std::min<std::uint64_t>(size.value_or(most_held), most_held);
    bytes_.resize(expected + 1);
    bytes_.resize(source->read(bytes_));
    text = bytes_;
    held = text.size() <= expected;
    if (held) source.reset(), size = text.size();
}

void job::forget_text() noexcept {
    text = {};
    std::string().swap(bytes_);
    source.reset();
}

void settle_unread(job& one, error const& why) {
    bool const refused = why.code().category() == mime::category();
    for (std::size_t i = 0; i < one.answers.size(); ++i) {
        if (one.decided[i]) continue;
        one.answers[i].status = refused ? smtp::status::refused : smtp::status::deferred;
        one.answers[i].text = fmt::format("not sent: {}", why.what());
        one.decided[i] = true;
    }
}

bool needs_utf8(std::string_view address) {
    return has_8bit(address) && !mime::detail::ascii_address(address);
}

namespace {
/// As MAIL and RCPT have it: in ASCII if it can be.
void write_path(std::string& line, std::string_view address) {
    line += '<';
    if (has_8bit(address))
        line += mime::detail::ascii_address(address).value_or(std::string(address));
    else
        line += address;
    line += '>';
}
} // namespace

void write_mail(std::string& line, job const& one, capabilities const& can) {
    auto const& envelope = one.what.envelope;
    auto const& wants = one.what.parameters;
    line += "MAIL FROM:";
    write_path(line, envelope.sender);
    if (can.sizes && one.size) line += " SIZE=", line += std::to_string(*one.size);
    if (can.eight_bit && one.eight_bit) line += " BODY=8BITMIME";
    // What has a header in UTF-8 needs it too (RFC 6531 §3.2); a server that does not offer it gets
    // such a message as it is.
    if (can.utf8 &&
        (needs_utf8(envelope.sender) || one.utf8 ||
         std::any_of(envelope.recipients.begin(), envelope.recipients.end(), needs_utf8)))
        line += " SMTPUTF8";
    if (wants.require_tls) line += " REQUIRETLS";
    if (!can.dsn) return;
    if (wants.returned != returned::unspecified)
        line += wants.returned == returned::full ? " RET=FULL" : " RET=HDRS";
    if (!wants.envelope_id.empty()) line += " ENVID=" + xtext(wants.envelope_id);
}

void write_recipient(std::string& line, job const& one, std::string_view address,
                     capabilities const& can) {
    line += "RCPT TO:";
    write_path(line, address);
    auto const& when = one.what.parameters.notify;
    if (!can.dsn || !when.any()) return;
    std::string words;
    for (auto [is, word] : {std::pair{when.never, "NEVER"}, std::pair{when.success, "SUCCESS"},
                            std::pair{when.failure, "FAILURE"}, std::pair{when.delay, "DELAY"}})
        if (is) words += (words.empty() ? "" : ",") + std::string(word);
    line += " NOTIFY=" + words;
    if (!has_8bit(address)) line += " ORCPT=rfc822;" + xtext(address);
}

} // namespace trawl::smtp::detail
