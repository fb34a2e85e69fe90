#include "mail/smtp_dialogue.hpp"

#include "mail/encoding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string.h> // explicit_bzero

namespace trawl::smtp {

std::string_view to_string(status s) noexcept {
    switch (s) {
    case status::accepted: return "accepted";
    case status::refused: return "refused";
    case status::deferred: return "deferred";
    case status::unknown: return "unknown";
    }
    return "";
}

namespace detail {
namespace {

smtp::status status_of(int family) {
    if (family == 2) return smtp::status::accepted;
    if (family == 4) return smtp::status::deferred;
    if (family == 5) return smtp::status::refused;
    return smtp::status::unknown;
}

void wipe(std::string& text) {
    explicit_bzero(text.data(), text.size());
    text.clear();
}

} // namespace

void dot_stuffer::write(std::string_view chunk, std::string& out) {
    while (!chunk.empty()) {
        if (after_cr_ && chunk.front() == '\n') chunk.remove_prefix(1);
        after_cr_ = false;
        if (chunk.empty()) return;
        if (line_start_ && chunk.front() == '.') out += '.';
        // memchr twice is several times faster than find_first_of.
        auto const* const lf =
            static_cast<char const*>(std::memchr(chunk.data(), '\n', chunk.size()));
        auto end = lf ? static_cast<std::size_t>(lf - chunk.data()) : chunk.size();
        if (auto const* const cr = static_cast<char const*>(std::memchr(chunk.data(), '\r', end)))
            end = static_cast<std::size_t>(cr - chunk.data());
        out += chunk.substr(0, end);
        line_start_ = end < chunk.size();
        if (!line_start_) return;
        out += "\r\n";
        after_cr_ = chunk[end] == '\r';
        chunk.remove_prefix(end + 1);
    }
}

void dot_stuffer::finish(std::string& out) { out += line_start_ ? ".\r\n" : "\r\n.\r\n"; }

std::string_view to_string(phase p) noexcept {
    switch (p) {
    case phase::banner: return "greeting";
    case phase::hello: return "EHLO";
    case phase::starttls: return "STARTTLS";
    case phase::handshake: return "TLS";
    case phase::auth: return "AUTH";
    case phase::ready: return "idle";
    case phase::envelope: return "envelope";
    case phase::data: return "DATA";
    case phase::content: return "message";
    case phase::dot: return "end of message";
    case phase::quit: return "QUIT";
    case phase::closed: return "closed";
    }
    return "";
}

dialogue::dialogue(settings s) : settings_(std::move(s)) {
    if (settings_.tls == smtp::tls::implicit) at_ = phase::handshake;
}

dialogue::~dialogue() { wipe_output(); }

phase dialogue::at() const noexcept {
    bool const data_only =
        at_ == phase::envelope && awaited_.size() == 1 && awaited_.front().what == verb::data;
    return data_only ? phase::data : at_;
}

void dialogue::wipe_output() {
    if (secret_out_) wipe(out_);
    secret_out_ = false;
    out_.clear();
    taken_ = false;
}

void dialogue::say(std::string_view line) {
    if (taken_) wipe_output();
    out_.reserve(out_.size() + line.size() + 2);
    out_ += line;
    out_ += "\r\n";
}

std::string_view dialogue::take(std::size_t most) {
    if (taken_) wipe_output();
    if (!out_.empty()) {
        taken_ = true;
        return out_;
    }
    if (at_ != phase::content) return {};
    auto const chunk = std::string_view(content_).substr(content_at_, most);
    content_at_ += chunk.size();
    if (content_at_ == content_.size()) at_ = phase::dot;
    return chunk;
}

void dialogue::receive(std::string_view bytes) {
    if (taken_) wipe_output();
    parser_.feed(bytes);
    while (at_ != phase::closed && at_ != phase::handshake) {
        auto const r = parser_.next();
        if (!r) break;
        ++steps_;
        on_reply(*r);
    }
    if (at_ == phase::closed) return;
    if (!parser_.fault().empty()) lost(errc::bad_reply, std::string(parser_.fault()));
    // RFC 3207 §6 and its implementations' history (CVE-2021-38371 and others): whoever put bytes
    // behind the 220 wants them read as if they had come through TLS.
    else if (at_ == phase::handshake && !parser_.empty())
        fail(errc::injected_reply, "bytes behind the reply to STARTTLS");
}

void dialogue::on_reply(reply const& r) {
    switch (at_) {
    case phase::banner:
        if (r.family() != 2) return fail(errc::service_refused, r, r.code != 421);
        greeted_ = true;
        at_ = phase::hello;
        return say("EHLO " + settings_.helo);
    case phase::hello: return on_hello(r);
    case phase::starttls:
        if (r.code == 421) return fail(errc::service_refused, r);
        if (r.family() == 2)
            at_ = phase::handshake;
        else if (settings_.tls == smtp::tls::required)
            fail(errc::tls_unavailable, r, true);
        else
            login();
        return;
    case phase::auth: return on_auth(r);
    case phase::envelope: return on_command(r);
    case phase::content: return on_early(r);
    case phase::dot: return on_dot(r);
    case phase::quit: at_ = phase::closed; return;
    case phase::ready:
        // "421 idle for too long", or nonsense: either way nothing more can be said on this
        // connection.
        at_ = phase::closed;
        if (!finished_) fail(r.code == 421 ? errc::service_refused : errc::out_of_step, r);
        return;
    case phase::data:
    case phase::handshake:
    case phase::closed: return;
    }
}

void dialogue::on_hello(reply const& r) {
    if (r.family() == 2) {
        can_ = esmtp_ ? capabilities::of(r) : capabilities();
        return after_hello();
    }
    if (r.family() == 5 && esmtp_) { // a server of before RFC 1869
        esmtp_ = false;
        return say("HELO " + settings_.helo);
    }
    fail(errc::service_refused, r, r.code != 421);
}

void dialogue::after_hello() {
    bool const wanted =
        settings_.tls == smtp::tls::required || settings_.tls == smtp::tls::opportunistic;
    if (secure_ || !wanted) return login();
    if (can_.starttls) {
        at_ = phase::starttls;
        say("STARTTLS");
    } else if (settings_.tls == smtp::tls::required)
        fail(errc::tls_unavailable, "the server does not offer STARTTLS", true);
    else
        login();
}

void dialogue::secured(bool verified) {
    secure_ = true;
    verified_ = verified;
    can_ = {}; // RFC 3207 §4.2: what was said before TLS counts for nothing
    esmtp_ = true;
    at_ = greeted_ ? phase::hello : phase::banner;
    if (greeted_) say("EHLO " + settings_.helo);
}

void dialogue::login() {
    if (settings_.user.empty()) {
        at_ = phase::ready;
        return;
    }
    if (!verified_ && !settings_.loopback)
        return fail(
            errc::auth_needs_tls,
            secure_ ? "the certificate was not verified" : "the connection is not encrypted", true);
    if (!can_.auth_plain && !can_.auth_login)
        return fail(errc::auth_unavailable,
                    can_.auth.empty() ? "the server offers no AUTH"
                                      : "the server offers " + can_.auth,
                    true);
    at_ = phase::auth;
    login_ = can_.auth_plain ? login_step::plain : login_step::login_user;
    if (login_ == login_step::login_user) return say("AUTH LOGIN");
    // With an initial response (RFC 4954 §4), which saves a round trip.
    auto credentials = fmt::format("{}{}{}{}", '\0', settings_.user, '\0', settings_.password);
    auto encoded = mime::detail::base64(credentials);
    auto line = "AUTH PLAIN " + encoded;
    say(line);
    secret_out_ = true;
    wipe(credentials), wipe(encoded), wipe(line);
}

void dialogue::on_auth(reply const& r) {
    if (r.code == 421) return fail(errc::service_refused, r);
    if (r.family() == 2) {
        at_ = phase::ready;
        return;
    }
    if (r.code != 334) return fail(errc::auth_denied, r, true);
    bool const plain = login_ == login_step::plain, password = login_ == login_step::login_password;
    if (!plain && !password && login_ != login_step::login_user) return fail(errc::out_of_step, r);
    auto answer = std::string(settings_.user);
    if (plain)
        answer = fmt::format("{}{}{}{}", '\0', settings_.user, '\0', settings_.password);
    else if (password)
        answer = settings_.password;
    login_ = plain      ? login_step::plain_continued
             : password ? login_step::done
                        : login_step::login_password;
    auto encoded = mime::detail::base64(answer);
    say(encoded);
    secret_out_ = true;
    wipe(answer), wipe(encoded);
}

void dialogue::begin(mime::envelope const& envelope, std::string_view content, bool has_8bit) {
    answers_.clear();
    commands_.clear(), awaited_.clear();
    for (auto const& address : envelope.recipients)
        answers_.push_back({address, smtp::status::unknown, 0, {}, {}});
    decided_.assign(answers_.size(), false);
    accepted_.assign(answers_.size(), false);
    finished_ = lone_dot_ = mail_refused_ = answered_ = stale_ = false;
    failure_ = {};
    if (can_.size > 0 && content.size() > can_.size) {
        settle(smtp::status::refused, 0, "5.3.4",
               fmt::format("not sent: the message has {} bytes and the server takes {}",
                           content.size(), can_.size));
        return finish(phase::ready);
    }
    content_.clear();
    content_.reserve(content.size() + content.size() / 64 + 16);
    content_at_ = 0;
    dot_stuffer stuffer;
    stuffer.write(content, content_);
    stuffer.finish(content_);

    if (std::exchange(open_, false)) commands_.push_back({verb::rset, 0, "RSET"});
    auto mail = fmt::format("MAIL FROM:<{}>", envelope.sender);
    if (can_.size > 0) mail += fmt::format(" SIZE={}", content.size());
    if (has_8bit && can_.eight_bit) mail += " BODY=8BITMIME";
    commands_.push_back({verb::mail, 0, std::move(mail)});
    for (std::size_t i = 0; i < answers_.size(); ++i)
        commands_.push_back({verb::rcpt, i, fmt::format("RCPT TO:<{}>", answers_[i].address)});
    commands_.push_back({verb::data, 0, "DATA"});
    at_ = phase::envelope;
    flush();
}

/// Sends a group (RFC 2920), or one command to a server without PIPELINING.
void dialogue::flush() {
    if (!awaited_.empty()) return;
    auto const most = can_.pipelining ? window : 1;
    while (!commands_.empty() && awaited_.size() < most) {
        // Nobody would receive it, and it is not on its way yet.
        if (commands_.front().what == verb::data && !any_pending() && awaited_.empty())
            commands_.pop_front();
        else {
            say(commands_.front().text);
            awaited_.push_back(std::move(commands_.front()));
            commands_.pop_front();
        }
    }
    if (awaited_.empty()) finish(phase::ready);
}

bool dialogue::any_pending() const noexcept {
    return std::find(accepted_.begin(), accepted_.end(), true) != accepted_.end();
}

void dialogue::on_command(reply const& r) {
    auto const sent = std::move(awaited_.front());
    awaited_.pop_front();
    if (r.code == 421) {
        stale_ = !answered_;
        settle(r);
        return finish(phase::closed);
    }
    answered_ = true;
    if (sent.what == verb::data) return on_data(r);
    if (r.family() == 3) return fail(errc::out_of_step, r);
    if (sent.what == verb::mail)
        on_mail(r);
    else if (sent.what == verb::rcpt && !mail_refused_) {
        auto& answer = answers_[sent.recipient];
        if (r.family() == 2)
            accepted_[sent.recipient] = true;
        else {
            decided_[sent.recipient] = true;
            answer = {std::move(answer.address), status_of(r.family()), r.code, r.enhanced, r.text};
        }
    }
    flush();
}

void dialogue::on_mail(reply const& r) {
    open_ = r.family() == 2;
    if (open_) return;
    mail_refused_ = true;
    settle(r);
    commands_.clear();
}

void dialogue::on_data(reply const& r) {
    if (r.code == 354) {
        if (any_pending())
            at_ = phase::content;
        else { // RFC 2920 §3.1: all recipients refused, and yet it waits for a message
            lone_dot_ = true;
            at_ = phase::dot;
            say(".");
        }
        return;
    }
    if (r.family() == 2 || r.family() == 3) return fail(errc::out_of_step, r);
    settle(r);
    finish(phase::ready);
}

/// The server answers while the message is still on its way.
void dialogue::on_early(reply const& r) {
    if (r.family() != 4 && r.family() != 5) return fail(errc::out_of_step, r);
    settle(r);
    finish(phase::closed); // the rest of the message would be read as commands
}

void dialogue::on_dot(reply const& r) {
    open_ = lone_dot_ && r.family() != 2;
    if (lone_dot_) return finish(r.code == 421 ? phase::closed : phase::ready);
    settle(r);
    finish(r.family() == 3 || r.code == 421 ? phase::closed : phase::ready);
}

void dialogue::settle(reply const& r) { settle(status_of(r.family()), r.code, r.enhanced, r.text); }

/// Gives every recipient without a final answer this one.
void dialogue::settle(smtp::status s, int code, std::string enhanced, std::string text) {
    for (std::size_t i = 0; i < answers_.size(); ++i)
        if (!decided_[i]) {
            answers_[i] = {std::move(answers_[i].address), s, code, enhanced, text};
            decided_[i] = true;
        }
}

void dialogue::finish(phase next) {
    finished_ = true;
    commands_.clear(), awaited_.clear();
    at_ = next;
}

void dialogue::lost(std::error_code why, std::string said) {
    if (at_ == phase::closed) return;
    if (at_ == phase::dot && !lone_dot_) {
        settle(smtp::status::unknown, 0, "",
               fmt::format("no reply to the message: {}{}", why.message(),
                           said.empty() ? "" : " (" + said + ")"));
        return finish(phase::closed);
    }
    if (at_ == phase::dot || at_ == phase::quit || at_ == phase::ready) {
        if (at_ == phase::dot) finish(phase::closed);
        at_ = phase::closed;
        return;
    }
    stale_ = at_ == phase::envelope && !answered_;
    fail(why, std::move(said));
}

void dialogue::fail(std::error_code code, std::string said, bool may_quit) {
    failure_ = {code, at(), std::move(said), may_quit};
    at_ = phase::closed;
    commands_.clear(), awaited_.clear();
}

void dialogue::fail(smtp::errc code, reply const& r, bool may_quit) {
    fail(make_error_code(code), r.words(), may_quit);
}

void dialogue::quit() {
    if (taken_) wipe_output();
    out_.clear();
    at_ = phase::quit;
    say("QUIT");
}

std::optional<std::vector<recipient>> dialogue::take_answers() {
    if (!finished_) return std::nullopt;
    finished_ = false;
    std::string().swap(content_);
    return std::move(answers_);
}

} // namespace detail
} // namespace trawl::smtp
