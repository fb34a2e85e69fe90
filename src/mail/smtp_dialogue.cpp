#include "mail/smtp_dialogue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trawl::smtp::detail {

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

namespace {

void show(tracer const& trace, reply const& r) {
    if (!trace) return;
    std::string_view lines = r.lines;
    for (;;) {
        auto const length = std::min(lines.find('\n'), lines.size());
        bool const last = length == lines.size();
        trace('<', fmt::format("{}{}{}", r.code, last ? ' ' : '-', lines.substr(0, length)));
        if (last) return;
        lines.remove_prefix(length + 1);
    }
}

} // namespace

dialogue::dialogue(settings s)
    : out_(s.trace), opening_(std::move(s), out_), transactions_(out_, opening_.lmtp()) {}

phase dialogue::at() const noexcept {
    if (closed_) return phase::closed;
    if (quitting_) return phase::quit;
    return open_ ? transactions_.at() : opening_.at();
}

std::string_view dialogue::take(std::size_t most) {
    if (out_.empty()) out_.release();
    if (open_ && !closed_ && !quitting_) {
        transactions_.fill(most);
        if (auto const* const why = transactions_.broken())
            fail(why->code(), why->what(), false, false);
    }
    if (closed_) out_.release();
    return out_.empty() ? std::string_view() : out_.take();
}

void dialogue::receive(std::string_view bytes) {
    parser_.feed(bytes);
    while (!closed_ && at() != phase::handshake) {
        auto const* const r = parser_.next();
        if (!r) break;
        ++steps_;
        on_reply(*r);
    }
    if (closed_) return;
    if (!parser_.fault().empty()) lost(errc::bad_reply, std::string(parser_.fault()));
    // RFC 3207 §6 and its implementations' history (CVE-2021-38371 and others): whoever put bytes
    // behind the 220 wants them read as if they had come through TLS.
    else if (at() == phase::handshake && !parser_.empty())
        lost(errc::injected_reply, "bytes behind the reply to STARTTLS");
}

void dialogue::on_reply(reply const& r) {
    show(out_.trace(), r);
    if (quitting_) {
        closed_ = true;
    } else if (!open_) {
        opening_.receive(r);
        open_ = opening_.at() == phase::ready;
        if (open_) transactions_.open(opening_.can(), opening_.verified());
        if (opening_.at() == phase::closed) failure_ = opening_.failure(), closed_ = true;
    } else if (transactions_.idle()) {
        // "421 idle for too long", or nonsense: nothing more can be said on this connection.
        fail(r.code == 421 ? errc::service_refused : errc::out_of_step, r.words(), false, true);
    } else if (auto const wrong = transactions_.receive(r)) {
        fail(wrong, r.words(), false, r.code == 421);
    }
}

void dialogue::secured(bool verified, std::string binding_name, std::string binding) {
    opening_.secured(verified, std::move(binding_name), std::move(binding));
}

void dialogue::lost(std::error_code why, std::string said) {
    fail(why, std::move(said), false, false);
}

void dialogue::fail(std::error_code code, std::string said, bool may_quit, bool shut_down) {
    if (closed_) return;
    if (!quitting_) failure_ = {code, at(), said, may_quit};
    closed_ = true;
    transactions_.abandon(
        said.empty() ? code.message() : fmt::format("{} ({})", code.message(), said), shut_down);
}

void dialogue::quit() {
    if (closed_ && !failure_.may_quit) return;
    closed_ = false, quitting_ = true;
    out_.release();
    out_.line("QUIT");
}

job_ptr dialogue::take_first(std::vector<job_ptr>& from) {
    if (from.empty()) return nullptr;
    auto first = std::move(from.front());
    from.erase(from.begin());
    return first;
}

} // namespace trawl::smtp::detail
