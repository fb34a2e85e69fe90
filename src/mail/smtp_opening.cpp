#include "mail/smtp_opening.hpp"

#include "mail/encoding.hpp"

#include <fmt/format.h>

namespace trawl::smtp::detail {

opening::opening(settings s, outbox& out)
    : settings_(std::move(s)), out_(out),
      at_(settings_.tls == smtp::tls::implicit ? phase::handshake : phase::banner) {}

void opening::receive(reply const& r) {
    // Whatever was asked, a server may say that it goes (RFC 5321 §3.8).
    if (r.code == 421) return fail(errc::service_refused, r);
    switch (at_) {
    case phase::banner:
        if (r.family() != 2) return fail(errc::service_refused, r, true);
        greeted_ = true;
        return say_hello();
    case phase::hello: return on_hello(r);
    case phase::starttls: return on_starttls(r);
    case phase::auth: return on_auth(r);
    default: return;
    }
}

void opening::say_hello() {
    at_ = phase::hello;
    out_.line((lmtp() ? "LHLO " : esmtp_ ? "EHLO " : "HELO ") + settings_.helo);
}

void opening::on_hello(reply const& r) {
    if (r.family() == 2) {
        can_ = esmtp_ ? capabilities::of(r) : capabilities();
        return after_hello();
    }
    if (r.family() == 5 && esmtp_ && !lmtp()) { // a server of before RFC 1869
        esmtp_ = false;
        return say_hello();
    }
    fail(errc::service_refused, r, true);
}

void opening::after_hello() {
    bool const wanted = settings_.tls != smtp::tls::none && settings_.tls != smtp::tls::implicit;
    if (secure_ || !wanted) return log_in();
    if (can_.starttls) {
        at_ = phase::starttls;
        out_.line("STARTTLS");
    } else if (settings_.tls != smtp::tls::opportunistic)
        fail(errc::tls_unavailable, "the server does not offer STARTTLS", true);
    else
        log_in();
}

void opening::on_starttls(reply const& r) {
    if (r.family() == 2)
        at_ = phase::handshake;
    else if (settings_.tls != smtp::tls::opportunistic)
        fail(errc::tls_unavailable, r, true);
    else
        log_in();
}

void opening::secured(bool verified, std::string binding_name, std::string binding) {
    secure_ = true;
    verified_ = verified;
    settings_.login.binding_name = std::move(binding_name);
    settings_.login.binding = std::move(binding);
    can_ = {}; // RFC 3207 §4.2: what was said before TLS counts for nothing
    esmtp_ = true;
    at_ = phase::banner;
    if (greeted_) say_hello();
}

void opening::log_in() {
    if (settings_.login.user.empty()) {
        at_ = phase::ready;
        return;
    }
    if (!verified_ && !settings_.loopback)
        return fail(
            errc::auth_needs_tls,
            secure_ ? "the certificate was not verified" : "the connection is not encrypted", true);
    mechanism_ = choose_mechanism(can_.auth, settings_.login);
    if (!mechanism_)
        return fail(errc::auth_unavailable,
                    can_.auth.empty() ? "the server offers no AUTH"
                                      : "the server offers " + can_.auth,
                    true);
    at_ = phase::auth;
    auto line = fmt::format("AUTH {}", mechanism_->name());
    auto first = mechanism_->initial();
    if (!first) return out_.line(line);
    // With an initial response (RFC 4954 §4), which saves a round trip.
    auto encoded = first->empty() ? "=" : mime::detail::base64(*first);
    wipe(*first);
    auto const shown = line + " ***";
    line.reserve(line.size() + 1 + encoded.size());
    line += ' ';
    line += encoded;
    wipe(encoded);
    out_.secret_line(std::move(line), shown);
}

void opening::on_auth(reply const& r) {
    if (given_up_) return fail(errc::auth_unproved, "the server's proof is wrong", true);
    if (r.family() == 2) {
        if (!mechanism_->complete())
            return fail(errc::auth_unproved, "it said yes without its own proof", true);
        mechanism_.reset();
        at_ = phase::ready;
        return;
    }
    if (r.code != 334) return fail(errc::auth_denied, r, true);
    auto const challenge = from_base64(r.lines);
    // LOGIN's words are no challenge, and some servers do not encode them.
    bool const words = mechanism_->name() == "LOGIN";
    auto response = challenge ? mechanism_->respond(*challenge)
                    : words   ? mechanism_->respond(r.lines)
                              : std::nullopt;
    if (response)
        answer(std::move(*response));
    else if (!mechanism_->working()) {
        given_up_ = true; // RFC 4954 §4: a client cancels with "*" and gets 501
        out_.line("*");
    }
}

void opening::work() {
    if (auto response = mechanism_->work()) answer(std::move(*response));
}

void opening::answer(std::string response) {
    auto encoded = mime::detail::base64(response);
    wipe(response);
    out_.secret_line(std::move(encoded), "***");
}

void opening::fail(std::error_code code, std::string said, bool may_quit) {
    failure_ = {code, at_, std::move(said), may_quit};
    mechanism_.reset();
    at_ = phase::closed;
}

void opening::fail(smtp::errc code, reply const& r, bool may_quit) {
    fail(make_error_code(code), r.words(), may_quit);
}

} // namespace trawl::smtp::detail
