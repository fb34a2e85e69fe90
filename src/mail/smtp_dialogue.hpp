#pragma once

#include "mail/smtp_reply.hpp"

#include <trawl/smtp.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

// SMTP without sockets (RFC 5321): bytes in, bytes out.
namespace trawl::smtp::detail {

/// Makes a message fit for DATA: every line end CRLF, also a bare CR or LF, and each dot at a
/// line's begin doubled (RFC 5321 §4.5.2). Chunks may be cut anywhere.
class dot_stuffer {
public:
    void write(std::string_view chunk, std::string& out);
    /// Ends the last line and appends the final dot.
    void finish(std::string& out);

private:
    bool line_start_ = true, after_cr_ = false;
};

enum class phase {
    banner,
    hello,
    starttls,
    handshake,
    auth,
    ready,
    envelope,
    data,
    content,
    dot,
    quit,
    closed
};
std::string_view to_string(phase p) noexcept;

/// One connection's dialogue, driven by its owner:
///
///     banner -> hello -> [starttls -> handshake -> hello] -> [auth] -> ready
///     ready -> envelope -> data -> content -> dot -> ready -> ... -> quit -> closed
///
/// The owner writes what take() gives, feeds what it reads to receive(), reports the end with
/// lost(), and in phase handshake does TLS and calls secured(). settled() says when the owner has
/// to decide: ready (begin() or quit() may follow; after begin() the receipt is there) or closed
/// (failure() says why, unless a receipt does).
class dialogue {
public:
    struct settings {
        std::string helo;
        smtp::tls tls = smtp::tls::required;
        std::string user;
        std::string_view password; ///< outlives the dialogue
        bool loopback = false;     ///< the peer is this machine: AUTH needs no TLS
    };
    /// Commands that may wait for their replies at a time: the replies of more could fill the way
    /// back while both sides only write.
    static constexpr std::size_t window = 100;

    explicit dialogue(settings s);
    ~dialogue();
    dialogue(dialogue const&) = delete;
    dialogue& operator=(dialogue const&) = delete;

    phase at() const noexcept;
    bool settled() const noexcept { return at_ == phase::ready || at_ == phase::closed; }
    /// Complete replies so far: a deadline for each.
    std::size_t steps() const noexcept { return steps_; }

    /// The next bytes for the wire, `most` at most of a message's content; empty when it is the
    /// server's turn. Valid until the next take() or receive(), content until begin(). The dialogue
    /// takes them for sent: behind the last of the content only a reply can tell what became of the
    /// message.
    std::string_view take(std::size_t most);
    void receive(std::string_view bytes);
    /// The connection is gone, or waiting was given up (`why`). `said`: details, for messages.
    void lost(std::error_code why, std::string said = {});
    /// TLS stands; `verified` if the certificate is the host's.
    void secured(bool verified);

    capabilities const& can() const noexcept { return can_; }
    /// Starts a transaction in phase ready. `content` is not stuffed yet.
    void begin(mime::envelope const& envelope, std::string_view content, bool has_8bit);
    void quit();

    /// The answers of the transaction that has ended, once.
    std::optional<std::vector<recipient>> take_answers();
    /// The transaction found the kept connection dead before the server had answered any of it.
    bool stale() const noexcept { return stale_; }

    struct failed {
        std::error_code code; ///< none: no failure
        phase where = phase::closed;
        std::string said;
        bool may_quit = false; ///< the server still listens
    };
    failed const& failure() const noexcept { return failure_; }

private:
    enum class verb { rset, mail, rcpt, data };
    struct command {
        verb what;
        std::size_t recipient;
        std::string text;
    };

    void say(std::string_view line);
    void flush();
    void on_reply(reply const& r);
    void on_hello(reply const& r);
    void after_hello();
    void login();
    void on_auth(reply const& r);
    void on_command(reply const& r);
    void on_mail(reply const& r);
    void on_data(reply const& r);
    void on_early(reply const& r);
    void on_dot(reply const& r);
    void settle(reply const& r);
    void settle(smtp::status s, int code, std::string enhanced, std::string text);
    void finish(phase next);
    void fail(std::error_code code, std::string said, bool may_quit = false);
    void fail(smtp::errc code, reply const& r, bool may_quit = false);
    bool any_pending() const noexcept;
    void wipe_output();

    settings settings_;
    reply_parser parser_;
    capabilities can_;
    phase at_ = phase::banner;
    std::size_t steps_ = 0;
    std::string out_;
    bool taken_ = false; ///< out_ was handed over
    bool secret_out_ = false, esmtp_ = true, secure_ = false, verified_ = false, greeted_ = false;
    enum class login_step {
        plain,
        plain_continued,
        login_user,
        login_password,
        done
    } login_ = login_step::plain;

    std::deque<command> commands_;
    std::deque<command> awaited_;
    std::vector<recipient> answers_;
    std::vector<bool> decided_; ///< the answer is final; else an accepted RCPT, or none yet
    std::vector<bool> accepted_;
    std::string content_;
    std::size_t content_at_ = 0;
    bool finished_ = false, lone_dot_ = false, mail_refused_ = false, open_ = false,
         answered_ = false, stale_ = false;
    failed failure_;
};

} // namespace trawl::smtp::detail
