#include "mail/smtp_transactions.hpp"

#include "mail/address.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

namespace trawl::smtp::detail {
namespace {

smtp::status status_of(int family) {
    if (family == 2) return smtp::status::accepted;
    if (family == 4) return smtp::status::deferred;
    if (family == 5) return smtp::status::refused;
    return smtp::status::unknown;
}

} // namespace

// ---- what is said ----

phase transactions::at() const noexcept {
    if (sending_ < rounds_.size() && rounds_[sending_].next == step::text) return phase::content;
    if (rounds_.empty()) return phase::ready;
    if (awaited_.empty()) return phase::envelope;
    if (awaited_.front() == verb::data) return phase::data;
    return awaited_.front() == verb::dot ? phase::dot : phase::envelope;
}

bool transactions::wants_more() const noexcept {
    if (spent()) return false;
    if (!can_.pipelining) return rounds_.empty();
    auto const unsaid = rounds_.size() - sending_;
    if (unsaid < 2) return rounds_.size() < 16;
    return can_.chunking && unsaid_text() < most_ahead && rounds_.size() < 16;
}

std::size_t transactions::unsaid_text() const noexcept {
    std::size_t bytes = 0;
    for (auto i = sending_; i < rounds_.size(); ++i) bytes += rounds_[i].of->text.size();
    return bytes;
}

namespace {
void begin_answers(job& one) {
    auto const& to = one.what.envelope.recipients;
    one.answers.clear();
    one.answers.reserve(to.size());
    for (auto const& address : to)
        one.answers.push_back({address, smtp::status::unknown, 0, {}, {}});
    one.decided.assign(to.size(), false);
    one.open_rounds = 0;
}
} // namespace

void transactions::refuse(job_ptr one, error const& why) {
    begin_answers(*one);
    settle_unread(*one, why);
    finished_.push_back(std::move(one));
}

void transactions::begin(job_ptr one, bool alive) {
    if (rounds_.empty()) {
        first_ = begun_ == 0;
        alive_ = alive;
        heard_ = false;
    }
    begin_answers(*one);
    if (refuse_unfit(*one)) return finished_.push_back(std::move(one));
    add_rounds(one);
    if (one->open_rounds == 0) finished_.push_back(std::move(one));
}

transactions::round& transactions::add_round(job_ptr const& one) {
    ++begun_, ++one->open_rounds;
    auto& added = rounds_.emplace_back();
    added.of = one;
    return added;
}

/// Decides what the server's extensions do not allow. True when nobody is left to send to.
bool transactions::refuse_unfit(job& one) const {
    auto const& envelope = one.what.envelope;
    auto const& wants = one.what.parameters;
    std::string enhanced, why;
    if (can_.size > 0 && one.size && *one.size > can_.size) {
        enhanced = "5.3.4";
        why = fmt::format("the message has {} bytes and the server takes {}", *one.size, can_.size);
    } else if (wants.require_tls && !(can_.require_tls && verified_)) {
        enhanced = "5.7.30"; // RFC 8689 §4.2.1
        why = verified_ ? "the server does not offer REQUIRETLS"
                        : "REQUIRETLS needs a verified TLS connection";
    }
    constexpr auto no_utf8 = "the address needs SMTPUTF8, which the server does not offer";
    bool const sender_unfit = !can_.utf8 && needs_utf8(envelope.sender);
    for (std::size_t i = 0; i < one.answers.size(); ++i) {
        auto& answer = one.answers[i];
        bool const unfit = sender_unfit || (!can_.utf8 && needs_utf8(answer.address));
        if (why.empty() && !unfit) continue;
        answer.status = smtp::status::refused;
        answer.enhanced = why.empty() ? "5.6.7" : enhanced; // RFC 6531 §3.5
        answer.text = fmt::format("not sent: {}", why.empty() ? no_utf8 : why);
        one.decided[i] = true;
    }
    return std::find(one.decided.begin(), one.decided.end(), false) == one.decided.end();
}

/// For the undecided recipients, as many together as the server's limits allow.
void transactions::add_rounds(job_ptr const& one) {
    round* last = nullptr;
    std::set<std::string_view> domains;
    for (std::uint32_t i = 0; i < one->answers.size(); ++i) {
        if (one->decided[i]) continue;
        auto const domain = can_.rcpt_domain_max > 0
                                ? mime::detail::domain_of(one->answers[i].address)
                                : std::string_view();
        bool const full = !last || (can_.rcpt_max > 0 && last->who.size() >= can_.rcpt_max) ||
                          (can_.rcpt_domain_max > 0 && !domains.contains(domain) &&
                           domains.size() >= can_.rcpt_domain_max);
        if (full) last = &add_round(one), domains.clear();
        last->who.push_back(i);
        if (can_.rcpt_domain_max > 0) domains.insert(domain);
    }
}

void transactions::fill(std::size_t most) {
    while (sending_ < rounds_.size() && out_.size() < most) {
        auto& r = rounds_[sending_];
        if (r.next != step::said && !say_next(r, most)) break;
        if (r.next == step::said) ++sending_;
    }
    reap();
}

/// False when it is the server's turn.
bool transactions::say_next(round& r, std::size_t most) {
    switch (r.next) {
    case step::mail: return room() && say_mail(r);
    case step::recipients: return room() && say_recipient(r);
    case step::data: return room() && say_data(r);
    case step::text: say_text(r, most); return !broken_;
    case step::go:
    case step::said: return false;
    }
    return false;
}

void transactions::say(round& r, verb what, std::string_view line) {
    out_.line(line);
    expect(r, what);
}

void transactions::expect(round& r, verb what) {
    awaited_.push_back(what);
    ++r.due;
}

bool transactions::say_mail(round& r) {
    // A BDAT that is refused leaves a transaction of which nobody knows the state (RFC 3030 §2):
    // without RSET the recipients of this one could be added to it.
    bool const unsure = sending_ > 0 && rounds_[sending_ - 1].chunk;
    if (!r.reset && (dirty_ || unsure)) {
        say(r, verb::rset, "RSET");
        dirty_ = false;
        return r.reset = true;
    }
    r.chunk = can_.chunking && r.of->held && r.of->text.size() <= most_chunk;
    // A connection that was idle may be dead, and then nobody could tell what became of a text that
    // was sent ahead of every reply.
    bool const alive = first_ || alive_ || heard_;
    r.ahead = r.chunk && can_.pipelining && alive && r.who.size() + 8 < window;
    r.text = dot_stuffer(!r.chunk);
    write_mail(out_.begin_line(), *r.of, can_);
    out_.end_line();
    expect(r, verb::mail);
    r.next = step::recipients;
    return true;
}

bool transactions::say_recipient(round& r) {
    auto const& address = r.of->answers[r.who[r.named]].address;
    write_recipient(out_.begin_line(), *r.of, address, can_);
    out_.end_line();
    expect(r, verb::rcpt);
    if (++r.named == r.who.size()) r.next = step::data;
    return true;
}

bool transactions::say_data(round& r) {
    bool const all_heard = r.answered == r.who.size();
    if (all_heard && r.accepted == 0) { // nobody would receive it, and it is not on its way yet
        r.skipped = true;
        r.next = step::said;
    } else if (!r.chunk) {
        say(r, verb::data, "DATA");
        r.next = step::go;
    } else if (r.ahead || all_heard)
        say_chunk(r);
    else
        return false;
    return true;
}

void transactions::say_chunk(round& r) {
    auto text = r.of->text;
    std::string made;
    if (!has_wire_lines(text)) {
        made.reserve(text.size() + text.size() / 32 + 2);
        r.text.write(text, made);
        r.text.finish(made);
        text = made;
    }
    say(r, verb::dot, "BDAT " + std::to_string(text.size()) + " LAST");
    out_.text(std::max(text.size(), unsaid_text())) += text; // room for all that follow
    out_.note(text.size());
    forget_text(r);
    r.next = step::said;
}

void transactions::say_text(round& r, std::size_t most) {
    auto const before = out_.size();
    bool last = true;
    try {
        last = r.lone_dot || !next_piece(r, most);
    } catch (error const& e) {
        // The server has no whole message, and never gets one on this connection.
        settle_unread(*r.of, e);
        broken_.emplace(e);
        out_.release();
        return;
    }
    constexpr std::size_t envelope = 128; // of the next one
    if (last) r.text.finish(out_.text(envelope));
    out_.note(out_.size() - before);
    if (!last) return;
    forget_text(r);
    dirty_ =
        r.lone_dot; // a final dot ends the transaction, whatever is answered (RFC 5321 §4.1.1.4)
    expect(r, verb::dot);
    r.next = step::said;
}

/// Puts more of the text into the outbox; false when that was the last of it.
bool transactions::next_piece(round& r, std::size_t most) {
    auto& one = *r.of;
    if (r.text_at == 0 && !one.held && !one.source) one.open(can_); // an earlier round has read it
    std::string_view piece;
    bool more = true;
    if (one.held || r.text_at < one.text.size()) {
        piece = one.text.substr(r.text_at, most);
        r.text_at += piece.size();
        more = !one.held || r.text_at < one.text.size();
    } else {
        block_.resize(most);
        auto const size = one.source->read(block_);
        piece = std::string_view(block_).substr(0, size);
        more = size == most;
    }
    r.text.write(piece, out_.text(piece.size() + piece.size() / 64 + 128));
    return more;
}

// ---- what is heard ----

std::error_code transactions::receive(reply const& r) {
    if (awaited_.empty()) {
        if (at() != phase::content) return make_error_code(errc::out_of_step);
        // The server answers while the text is still on its way, and would read the rest of it as
        // commands.
        auto& now = rounds_[sending_];
        if (r.family() != 4 && r.family() != 5) return make_error_code(errc::out_of_step);
        heard_ = true;
        settle(now, r);
        now.next = step::said;
        reap();
        return make_error_code(errc::closed);
    }
    auto& now = rounds_.front();
    if (r.code == 421) {
        // As the first word on a kept connection it answers what was before.
        if (heard_ || first_) settle(now, r);
        return make_error_code(errc::service_refused);
    }
    heard_ = true;
    auto const what = awaited_.front();
    awaited_.erase(awaited_.begin());
    --now.due;
    std::error_code wrong;
    switch (what) {
    case verb::rset:
        if (r.family() != 2) wrong = make_error_code(errc::out_of_step);
        break;
    case verb::mail: wrong = on_mail(now, r); break;
    case verb::rcpt:
        if (r.family() == 3)
            wrong = make_error_code(errc::out_of_step);
        else
            on_recipient(now, r);
        break;
    case verb::data: wrong = on_data(now, r); break;
    case verb::dot: wrong = on_end(now, r); break;
    }
    if (wrong) { // the reply is not this command's, so it was not answered
        awaited_.insert(awaited_.begin(), what);
        ++now.due;
    }
    reap();
    return wrong;
}

std::error_code transactions::on_mail(round& r, reply const& answer) {
    if (answer.family() == 3) return make_error_code(errc::out_of_step);
    dirty_ = answer.family() == 2;
    if (dirty_) return {};
    r.mail_refused = true;
    settle(r, answer);
    // What is not on its way stays here.
    if (r.next == step::recipients || r.next == step::data) r.skipped = true, r.next = step::said;
    return {};
}

void transactions::on_recipient(round& r, reply const& answer) {
    auto const at = r.who[r.answered++];
    if (r.mail_refused) return;
    if (answer.family() == 2)
        ++r.accepted;
    else {
        // RFC 5321 §4.5.3.1.10: the rest may come in another transaction.
        bool const too_many = answer.code == 452 && r.accepted > 0 &&
                              (answer.enhanced.empty() || answer.enhanced == "4.5.3");
        if (too_many) r.left.push_back(at);
        decide(*r.of, at, answer);
    }
}

std::error_code transactions::on_data(round& r, reply const& answer) {
    if (answer.code == 354) {
        r.next = step::text;
        if (r.accepted > 0) return {};
        // RFC 2920 §3.1: all recipients refused, and yet it waits for a message.
        r.lone_dot = true;
        if (lmtp_) return make_error_code(errc::out_of_step); // how many replies would that have?
        return {};
    }
    if (answer.family() == 2 || answer.family() == 3) return make_error_code(errc::out_of_step);
    settle(r, answer);
    r.skipped = true;
    r.next = step::said;
    return {};
}

/// The reply to the whole message.
std::error_code transactions::on_end(round& r, reply const& answer) {
    // A BDAT or a lone dot that was refused may have left the transaction.
    if (r.chunk || r.lone_dot) dirty_ = answer.family() != 2;
    if (answer.family() == 3) {
        settle(r, answer);
        return make_error_code(errc::out_of_step);
    }
    if (r.lone_dot || r.accepted == 0) {
        if (!r.lone_dot) settle(r, answer);
        return {};
    }
    r.taken |= answer.family() == 2;
    if (!lmtp_) {
        settle(r, answer);
        return {};
    }
    // RFC 2033 §4.2: one for each recipient that RCPT took.
    auto& decided = r.of->decided;
    auto const open = [&](std::uint32_t i) { return !decided[i]; };
    decide(*r.of, *std::find_if(r.who.begin(), r.who.end(), open), answer);
    if (std::any_of(r.who.begin(), r.who.end(), open)) {
        awaited_.insert(awaited_.begin(), verb::dot);
        ++r.due;
    }
    return {};
}

// ---- what it comes to ----

/// Its text is on its way. Another round of this message needs it again, or opens it anew.
void transactions::forget_text(round& r) noexcept {
    bool const again = r.of->held && r.of->open_rounds > 1;
    if (!again) r.of->forget_text();
    std::string().swap(block_);
}

/// Takes the transactions that have ended out of the front.
void transactions::reap() {
    while (!rounds_.empty() && rounds_.front().next == step::said && rounds_.front().due == 0) {
        end(rounds_.front());
        rounds_.pop_front();
        if (sending_ > 0) --sending_;
    }
}

namespace {
bool can_be_read(job& one, capabilities const& can) {
    if (!one.text.empty()) return true;
    try {
        one.open(can);
        return true;
    } catch (error const&) { // what the server said stays the answer
        return false;
    }
}
} // namespace

void transactions::end(round& r) {
    auto& one = *r.of;
    --one.open_rounds;
    if (r.taken && !r.left.empty() && can_be_read(one, can_)) {
        for (auto i : r.left) one.decided[i] = false;
        add_round(r.of).who = std::move(r.left);
    }
    if (one.open_rounds == 0) finished_.push_back(r.of);
}

void transactions::decide(job& one, std::size_t at, reply const& answer) {
    auto& to = one.answers[at];
    to.status = status_of(answer.family());
    to.code = answer.code, to.enhanced = answer.enhanced, to.text = answer.text;
    one.decided[at] = true;
}

/// Gives every recipient of the round without a final answer this one.
void transactions::settle(round& r, reply const& answer) {
    settle(r, status_of(answer.family()), answer.code, answer.enhanced, answer.text);
}

void transactions::settle(round& r, smtp::status s, int code, std::string const& enhanced,
                          std::string const& text) {
    for (auto i : r.who) {
        if (r.of->decided[i]) continue;
        auto& to = r.of->answers[i];
        to.status = s, to.code = code, to.enhanced = enhanced, to.text = text;
        r.of->decided[i] = true;
    }
}

void transactions::abandon(std::string const& why, bool shut_down) {
    for (auto& r : rounds_)
        if (r.next == step::said && !r.skipped && !r.lone_dot && !shut_down)
            settle(r, smtp::status::unknown, 0, "", "no reply to the message: " + why);
    for (auto& r : rounds_) {
        auto& one = *r.of;
        if (one.open_rounds == 0) continue; // its earlier round was seen to
        one.open_rounds = 0;
        bool sent = false, all = true;
        for (std::size_t i = 0; i < one.answers.size(); ++i) {
            bool const decided = one.decided[i];
            all &= decided;
            sent |= decided && (one.answers[i].status == smtp::status::accepted ||
                                one.answers[i].status == smtp::status::unknown);
        }
        if (!all && !sent) {
            unsent_.push_back(r.of);
            continue;
        }
        for (std::size_t i = 0; i < one.answers.size(); ++i)
            if (!one.decided[i])
                one.answers[i].status = smtp::status::deferred,
                one.answers[i].text = "not sent: " + why;
        finished_.push_back(r.of);
    }
    rounds_.clear(), awaited_.clear();
    sending_ = 0;
}

} // namespace trawl::smtp::detail
