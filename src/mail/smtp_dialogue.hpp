#pragma once

#include "mail/smtp_opening.hpp"
#include "mail/smtp_transactions.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

// SMTP and LMTP without sockets (RFC 5321, RFC 2033): bytes in, bytes out.
namespace trawl::smtp::detail {

/// One connection's dialogue, driven by its owner:
///
///     banner -> hello -> [starttls -> handshake -> hello] -> [auth] -> ready
///     ready -> envelope -> data -> content -> dot -> ready -> ... -> quit -> closed
///
/// The owner writes what take() gives, feeds what it reads to receive(), reports the end with
/// lost(), and in phase handshake does TLS and calls secured(). settled() says when the owner has
/// to decide: ready (begin() or quit() may follow) or closed (failure() says why). begin() may be
/// called earlier, as wants_more() says.
class dialogue {
public:
    static constexpr std::size_t window = transactions::window;

    explicit dialogue(settings s);
    dialogue(dialogue const&) = delete;
    dialogue& operator=(dialogue const&) = delete;

    phase at() const noexcept;
    bool settled() const noexcept { return at() == phase::ready || at() == phase::closed; }
    /// Complete replies so far: a deadline for each.
    std::size_t steps() const noexcept { return steps_; }

    /// The next bytes for the wire, about `most` of a message's text at a time; empty when it is the
    /// server's turn. Valid until the next take(). The dialogue takes them for sent: behind the last
    /// of a text only a reply can tell what became of the message.
    std::string_view take(std::size_t most);
    /// What take() gave has been written, and its memory is wanted while the reply is awaited.
    void written() {
        if (out_.empty()) out_.release();
    }
    void receive(std::string_view bytes);
    /// The connection is gone, or waiting was given up (`why`). `said`: details, for messages.
    void lost(std::error_code why, std::string said = {});
    /// TLS stands; see opening::secured.
    void secured(bool verified, std::string binding_name = {}, std::string binding = {});
    bool working() const noexcept { return opening_.working(); }
    void work() { opening_.work(); }

    capabilities const& can() const noexcept { return opening_.can(); }
    /// Starts a message in phase ready, or when wants_more(); see transactions::begin.
    void begin(job_ptr one, bool alive = false) { transactions_.begin(std::move(one), alive); }
    /// Ends a message of which nothing can be read.
    void refuse(job_ptr one, error const& why) { transactions_.refuse(std::move(one), why); }
    bool wants_more() const noexcept {
        return open_ && !closed_ && !quitting_ && transactions_.wants_more();
    }
    bool spent() const noexcept { return transactions_.spent(); }
    void quit();

    /// The next message that has its answers; nullptr when there is none.
    job_ptr take_finished() { return take_first(transactions_.finished()); }
    /// In phase closed: the next message of which nothing can have been delivered.
    job_ptr take_unsent() { return take_first(transactions_.unsent()); }

    failed const& failure() const noexcept { return failure_; }

private:
    static job_ptr take_first(std::vector<job_ptr>& from);
    void on_reply(reply const& r);
    void fail(std::error_code code, std::string said, bool may_quit, bool shut_down);

    outbox out_;
    reply_parser parser_;
    opening opening_;
    transactions transactions_;
    std::size_t steps_ = 0;
    bool open_ = false, quitting_ = false, closed_ = false;
    failed failure_;
};

} // namespace trawl::smtp::detail
