#pragma once

#include "mail/dot_stuffer.hpp"
#include "mail/smtp_job.hpp"
#include "mail/smtp_outbox.hpp"
#include "mail/smtp_phase.hpp"
#include "mail/smtp_reply.hpp"

#include <trawl/error.hpp>
#include <trawl/smtp.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace trawl::smtp::detail {

/// Mail transactions over an open connection (RFC 5321 §3.3), without sockets. With PIPELINING
/// (RFC 2920) a group is
///
///     MAIL RCPT... DATA | text . MAIL RCPT... DATA | text . ...
///
/// so that a message costs one round trip, and with CHUNKING too (RFC 3030) small messages follow
/// each other without waiting:
///
///     MAIL RCPT... BDAT text | RSET MAIL RCPT... BDAT text | ...
///
/// A message whose recipients exceed the server's limits (RFC 9422, or a 452) goes in several
/// transactions.
class transactions {
public:
    /// Commands that may wait for their replies at a time: the replies of more could fill the way
    /// back while both sides only write.
    static constexpr std::size_t window = 100;
    /// Larger messages go by DATA, which lets the server refuse the recipients first.
    static constexpr std::size_t most_chunk = job::most_held;
    /// Bytes of messages that are under way at a time by BDAT.
    static constexpr std::size_t most_ahead = 32768;

    transactions(outbox& out, bool lmtp) : out_(out), lmtp_(lmtp) {}

    /// What the server can do; `verified`: over TLS with its certificate.
    void open(capabilities can, bool verified) {
        can_ = std::move(can);
        verified_ = verified;
    }
    capabilities const& can() const noexcept { return can_; }

    phase at() const noexcept;
    bool idle() const noexcept { return rounds_.empty(); }
    /// begin() would have something to group now.
    bool wants_more() const noexcept;
    /// The server's MAILMAX (RFC 9422) is used up.
    bool spent() const noexcept { return can_.mail_max > 0 && begun_ >= can_.mail_max; }
    /// `alive`: the server has spoken this very moment. On a connection that was idle it is not known
    /// whether anybody is there, and a text is not sent ahead of the first reply.
    void begin(job_ptr one, bool alive = false);
    void refuse(job_ptr one, error const& why);

    /// Puts what may be said now into the outbox, about `most` bytes of text at a time.
    void fill(std::size_t most);
    /// Why the dialogue cannot go on after this reply; no code when it can.
    std::error_code receive(reply const& r);
    /// No more replies will come. What the server may have taken is unknown, the rest unsent.
    /// `shut_down`: it said 421, so it has not looked at what came behind that command.
    void abandon(std::string const& why, bool shut_down);

    /// Why no more of a message can be read; the dialogue cannot go on then.
    error const* broken() const noexcept { return broken_ ? &*broken_ : nullptr; }

    /// Messages whose answers are final, and those of which nothing can have been delivered.
    std::vector<job_ptr>& finished() noexcept { return finished_; }
    std::vector<job_ptr>& unsent() noexcept { return unsent_; }

private:
    enum class verb : std::uint8_t { rset, mail, rcpt, data, dot };
    enum class step : std::uint8_t { mail, recipients, data, go, text, said };
    /// One transaction.
    struct round {
        job_ptr of;
        std::vector<std::uint32_t> who;  ///< its recipients
        std::vector<std::uint32_t> left; ///< who got "too many recipients"
        step next = step::mail;
        std::size_t named = 0, answered = 0; ///< RCPTs said and answered
        std::size_t accepted = 0, due = 0;   ///< recipients; replies that have to come
        std::size_t text_at = 0;             ///< of the job's bytes
        dot_stuffer text;
        bool chunk = false, ahead = false; ///< by BDAT; before the replies
        bool reset = false, mail_refused = false, lone_dot = false, skipped = false, taken = false;
    };

    round& add_round(job_ptr const& one);
    void add_rounds(job_ptr const& one);
    std::size_t unsaid_text() const noexcept;
    bool refuse_unfit(job& one) const;
    bool say_next(round& r, std::size_t most);
    bool say_mail(round& r);
    bool say_recipient(round& r);
    bool say_data(round& r);
    void say_chunk(round& r);
    void say_text(round& r, std::size_t most);
    bool next_piece(round& r, std::size_t most);
    void say(round& r, verb what, std::string_view line);
    void expect(round& r, verb what);
    bool room() const noexcept { return awaited_.size() < (can_.pipelining ? window : 1); }

    std::error_code on_mail(round& r, reply const& answer);
    void on_recipient(round& r, reply const& answer);
    std::error_code on_data(round& r, reply const& answer);
    std::error_code on_end(round& r, reply const& answer);
    void reap();
    void end(round& r);
    void forget_text(round& r) noexcept;
    void settle(round& r, reply const& answer);
    void settle(round& r, smtp::status s, int code, std::string const& enhanced,
                std::string const& text);
    void decide(job& one, std::size_t at, reply const& answer);

    outbox& out_;
    bool lmtp_, verified_ = false;
    capabilities can_;
    std::deque<round> rounds_; ///< in the order of their commands
    std::size_t sending_ = 0;  ///< the round whose commands are being said
    // Short, and an empty std::deque takes 576 bytes.
    std::vector<verb> awaited_; ///< the first is the first round's
    std::vector<job_ptr> finished_, unsent_;
    std::uint64_t begun_ = 0;
    bool dirty_ = false; ///< the server holds a transaction that did not end
    bool first_ = false; ///< nothing had been sent before, so the connection is no kept one
    bool alive_ = false; ///< the server had spoken when the present group began
    bool heard_ = false; ///< it has answered since
    std::string block_;  ///< of a message that is not held
    std::optional<error> broken_;
};

} // namespace trawl::smtp::detail
