#include "mail/smtp_connection.hpp"

#include "mail/address.hpp"
#include "mail/dot_stuffer.hpp"
#include "mail/encoding.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trawl::smtp::detail {
namespace {

void require_token(std::string_view what, std::string_view value) {
    bool const good =
        std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c < 127; });
    if (!good || value.size() > 255)
        throw error(errc::bad_value, fmt::format("smtp {}", what),
                    fmt::format("\"{}\"", mime::detail::shown(value)));
}

/// Why `address` cannot be in MAIL or RCPT; letters of any script are judged as ASCII ones
/// (RFC 6531 §3.3).
std::string fault_of(std::string const& address) {
    if (!has_8bit(address)) return mime::detail::address_fault(address);
    if (!mime::detail::is_utf8(address)) return "it is not UTF-8";
    std::string plain;
    for (std::string_view rest = address; !rest.empty();) {
        auto const length = mime::detail::utf8_length(rest);
        plain += length == 1 ? rest.front() : 'x';
        rest.remove_prefix(length);
    }
    return mime::detail::address_fault(plain);
}

void require_address(std::string const& address) {
    if (auto const fault = fault_of(address); !fault.empty())
        throw error(mime::errc::bad_address, fmt::format("\"{}\"", mime::detail::shown(address)),
                    fault);
}

} // namespace

destination::destination(smtp::options with) : options(std::move(with)) {
    require_token("host", options.host);
    require_token("HELO name", options.helo);
    require_token("mechanism", options.mechanism);
    bool const bad_user =
        options.user.find_first_of(std::string_view("\0\x01\r\n", 4)) != std::string::npos;
    if (bad_user) throw error(errc::bad_value, "smtp user");
    if (!options.tlsa.empty() && options.tls != tls::implicit) options.tls = tls::required;
}

std::string destination::name() const {
    if (!options.host.empty()) return options.host;
    return options.addresses.empty() ? "" : options.addresses.front().to_string();
}

std::string destination::peer() const {
    if (!options.unix_path.empty()) return "smtp " + options.unix_path;
    auto host = name();
    if (host.find(':') != std::string::npos) host = fmt::format("[{}]", host);
    return host.empty() ? "smtp" : fmt::format("smtp {}:{}", host, options.port);
}

bool destination::verifies() const noexcept {
    return options.tls == tls::required || options.tls == tls::implicit;
}

std::shared_ptr<net::tls_context> destination::tls() {
    if (tls_) return tls_;
    net::tls_options how;
    how.host = name();
    how.ca_file = options.ca_file;
    how.verify = verifies();
    how.pinned_keys = options.pinned_keys;
    how.tlsa = options.tlsa;
    how.other_names = options.other_names;
    how.certificate = options.certificate;
    how.key = options.key;
    return tls_ = std::make_shared<net::tls_context>(std::move(how));
}

void require_valid(outgoing const& one) {
    if (!one.envelope.sender.empty()) require_address(one.envelope.sender); // the null path is fine
    if (one.envelope.recipients.empty()) throw error(mime::errc::no_recipient, "mail");
    for (auto const& address : one.envelope.recipients) require_address(address);
    auto const& id = one.parameters.envelope_id;
    bool const printable =
        std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < 127; });
    if (!printable || id.size() > 100)
        throw error(errc::bad_value, "smtp envelope id",
                    fmt::format("\"{}\"", mime::detail::shown(id)));
}

job_ptr make_job(outgoing&& one) {
    require_valid(one);
    auto made = std::make_shared<job>();
    made->what = std::move(one);
    return made;
}

} // namespace trawl::smtp::detail

namespace trawl::smtp {

outgoing outgoing::of(mime::message letter) {
    outgoing one;
    one.envelope = letter.envelope();
    one.message_id = letter.message_id();
    bool const needs_utf8 = letter.needs_utf8();
    one.content = [letter = std::move(letter), needs_utf8](mime::transport way) {
        // What travels without SMTPUTF8 gets further.
        bool const less = way == mime::transport::utf8 && !needs_utf8;
        return letter.open(less ? mime::transport::eight_bit : way);
    };
    return one;
}

outgoing outgoing::of(mime::envelope envelope, std::string content) {
    outgoing one;
    one.envelope = std::move(envelope);
    one.content = [bytes = mime::content(std::move(content))](mime::transport) {
        return bytes.open();
    };
    return one;
}

} // namespace trawl::smtp
