#pragma once

#include <trawl/async.hpp>
#include <trawl/dns.hpp>
#include <trawl/mime.hpp>
#include <trawl/net.hpp>
#include <trawl/queue.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace trawl::smtp {

/// Why a dialogue ended without an answer for the recipients. Failures of TCP and TLS keep their
/// own codes.
enum class errc {
    bad_reply = 1,    ///< not a reply of RFC 5321 §4.2: too long, NUL, no code, codes that differ
    out_of_step,      ///< a well-formed reply that nothing asked for, or that no command may get
    service_refused,  ///< the greeting or the hello was answered with 4xx or 5xx
    closed,           ///< the server closed the connection before it answered
    tls_unavailable,  ///< TLS is required and the server does not offer it, or refuses
    injected_reply,   ///< plain text after the reply to STARTTLS: somebody sits in between
    auth_unavailable, ///< a user is given and the server offers no mechanism that fits
    auth_needs_tls,   ///< a password would cross the network readable, or to a server not verified
    auth_denied,      ///< the server refused user and password
    auth_unproved,    ///< the server's part of the login is wrong: it does not know the password
    bad_value,        ///< a host, user or path that holds CR, LF, NUL or a blank where none may be
};

/// Category "trawl.smtp".
std::error_category const& category() noexcept;
/// `code` in that category.
std::error_code make_error_code(errc code) noexcept;

/// LMTP (RFC 2033) answers for each recipient behind the message.
enum class protocol { smtp, lmtp };

/// How a connection is protected.
enum class tls {
    none,          ///< plain text
    opportunistic, ///< STARTTLS when it is offered, certificate not verified: who can strip the
                   ///< offer can forge it too
    encrypted,     ///< STARTTLS or an error, certificate not verified
    required,      ///< STARTTLS (RFC 3207) with a verified certificate, or an error
    implicit,      ///< TLS from the first byte (RFC 8314, port 465) with a verified certificate
};

/// What became of the message for one recipient.
enum class status {
    accepted, ///< 2xx: the server has taken responsibility
    refused,  ///< 5xx: do not try again
    deferred, ///< 4xx: nothing was delivered, try again later
    unknown,  ///< the connection died after the message and before its reply: it may or may not
              ///< arrive
};
/// "accepted", "refused", "deferred", "unknown".
std::string_view to_string(status s) noexcept;

/// The server's answer for one recipient.
struct recipient {
    std::string address; ///< as in the envelope
    /// What the reply, or the lack of one, means for the message.
    smtp::status status = smtp::status::unknown;
    int code = 0;         ///< 0: no reply; the decision was made here and `text` says why
    std::string enhanced; ///< RFC 3463 ("5.1.1"); empty when the server gave none
    std::string text;     ///< the server's words without the codes; lines joined by a blank
};

/// When the sender wants to hear about a recipient (NOTIFY of RFC 3461 §4.1); none: as the server
/// does.
struct notify {
    /// Never, and nothing else; or any of the others.
    bool never = false, success = false, failure = false, delay = false;
    /// Whether something is asked for.
    bool any() const noexcept { return never || success || failure || delay; }
};

/// How much of the message comes back with a failure (RET of RFC 3461 §4.3).
enum class returned { unspecified, headers, full };

/// What a message asks of the servers on its way.
struct parameters {
    smtp::notify notify; ///< asked of servers that offer DSN, as the next two
    /// RET.
    smtp::returned returned = smtp::returned::unspecified;
    std::string envelope_id;  ///< ENVID: printable ASCII, at most 100 bytes
    bool require_tls = false; ///< RFC 8689: verified TLS on the whole way, or no delivery
};

/// A message to be sent: who, what, and how.
struct outgoing {
    std::uint64_t tag = 0;   ///< finds it again among the receipts of send_all
    std::string message_id;  ///< for the receipt; may be empty
    mime::envelope envelope; ///< from whom and to whom
    /// Opens the whole message, any line ends; called when it is known what the server takes, and
    /// again should its connection be lost. It is read a block at a time on the loop, so that a
    /// message of any size costs no memory. What it throws, and what reading throws, is the answer
    /// for all recipients: refused for an error of mime::category(), else deferred.
    std::function<std::unique_ptr<mime::source>(mime::transport way)> content;
    /// When there is one: awaited on a connection that stands, before anything is said of the message
    /// there, and again should it be sent on another. What it throws is the answer as of content.
    std::function<awaitable<>()> before;
    smtp::parameters parameters; ///< what is asked of the servers

    /// The letter to its own envelope. Throws as message::envelope().
    static outgoing of(mime::message letter);
    /// `content` as it is. Bytes above 127 go out unchanged even to a server without 8BITMIME.
    static outgoing of(mime::envelope envelope, std::string content);
};

/// What a message's journey came to.
struct receipt {
    std::string message_id;            ///< that of the message
    std::vector<recipient> recipients; ///< in the envelope's order
    /// Of send_all: why no connection could be had for the message; no code otherwise.
    std::error_code failure{};
    /// Recipients with that status.
    std::size_t count(status s) const noexcept;
    /// Whether no recipient has another one.
    bool all_accepted() const noexcept { return count(status::accepted) == recipients.size(); }
};

/// Absolute limits: each begins with its step and no dripping byte extends it. The defaults are the
/// minimums of RFC 5321 §4.5.3.2, made for servers that deliver while the client waits.
struct timeouts {
    std::chrono::milliseconds connect{30'000};  ///< all addresses together
    std::chrono::milliseconds tls{60'000};      ///< of the handshake
    std::chrono::milliseconds banner{300'000};  ///< until the greeting
    std::chrono::milliseconds command{300'000}; ///< for each reply to EHLO, AUTH, MAIL, RCPT
    std::chrono::milliseconds data{120'000};    ///< until 354
    std::chrono::milliseconds block{180'000};   ///< for each 64 KiB of the message
    std::chrono::milliseconds dot{600'000};     ///< until the reply to the whole message
    std::chrono::milliseconds quit{2'000};      ///< until the reply to QUIT

    /// Every limit times `factor` (> 0); `timeouts::scaled(0.05)` suits a server in the same room.
    static timeouts scaled(double factor);
};

/// Which server, and how to talk to it.
struct options {
    std::string host; ///< for the certificate, SNI and messages; the address when empty
    std::vector<asio::ip::address> addresses; ///< tried as net::connect does
    std::uint16_t port = 25;                  ///< of all addresses
    std::string
        unix_path; ///< a socket of this machine instead of addresses; `host` is for messages
    smtp::protocol protocol = smtp::protocol::smtp; ///< SMTP or LMTP

    smtp::tls tls = smtp::tls::required; ///< how the connection is protected
    std::string ca_file;                 ///< PEM; empty: the system's authorities
    /// SHA-256 of public keys (RFC 7469 §2.4: of SubjectPublicKeyInfo, in base64). When there are
    /// any, a certificate with one of these keys is believed without an authority, and no other.
    std::vector<std::string> pinned_keys;
    /// TLSA records of the server that DNSSEC has proved (RFC 6698). When there are any, TLS is
    /// required, and the certificate is believed that one of those of usage 2 and 3 stands for, no
    /// other (DANE, RFC 7672 §3.1). One of usage 2 has to name `host`, or one of `other_names`.
    std::vector<dns::tlsa> tlsa;
    /// More names that a certificate of usage 2 may have.
    std::vector<std::string> other_names;
    /// PEM files, for servers that ask who we are.
    std::string certificate, key;

    std::string user;               ///< empty: no AUTH
    net::secret password;           ///< of `user`; overwritten when the client goes
    bool password_is_token = false; ///< for OAUTHBEARER and XOAUTH2 (RFC 7628)
    std::string mechanism;          ///< the only one to be used; empty: the best that is offered

    std::string helo;      ///< empty: this host's full name, or its address in brackets
    smtp::timeouts limits; ///< of each step
    /// Sees every line of the dialogue, '>' sent and '<' received; secrets are replaced and the
    /// text of messages is left out.
    std::function<void(char direction, std::string_view line)> trace;
};

/// Sends messages to one server (RFC 5321) over one connection, which stays open between messages.
///
/// A domain in UTF-8 goes out as A-labels (IDNA 2008); a local part that is not ASCII takes a server
/// with SMTPUTF8.
///
/// Connects at the first send. PIPELINING, CHUNKING, SIZE, 8BITMIME, SMTPUTF8, DSN, LIMITS and
/// STARTTLS are used when offered; AUTH by SCRAM-SHA-256(-PLUS), PLAIN, LOGIN or CRAM-MD5, only over
/// verified TLS or on this machine. A connection without a greeting, as a server with a full backlog
/// leaves it, gets company by a second one after half of limits.banner. Not thread-safe: one
/// client, one executor; a send that finds another one under way waits for its turn. The client
/// outlives what it has started; destroying it closes the connection without QUIT.
class client {
public:
    /// Connects nowhere yet.
    client(asio::any_io_executor executor, smtp::options options);
    /// Speaks over a connection that somebody else has made; does not connect again when it is
    /// lost.
    client(asio::ip::tcp::socket connected, smtp::options options);
    client(client const&) = delete;
    client& operator=(client const&) = delete;
    ~client();

    /// Sends `letter` to its envelope and returns the answer for every recipient.
    ///
    /// A refusal is an answer, also one of the whole message. Throws error when nothing was
    /// delivered and no reply says why: no connection, no TLS, AUTH refused, a deadline, a broken
    /// dialogue; where() names host and phase, said() holds the server's words. A kept connection
    /// that turns out to be dead is replaced once. Cancelling closes the connection; whether the
    /// message was taken is then not known.
    awaitable<receipt> send(mime::message letter);

    /// Sends outgoing::of(envelope, content).
    awaitable<receipt> send(mime::envelope envelope, std::string content);

    /// As send(letter), for a message from elsewhere.
    awaitable<receipt> send(outgoing one);

    /// Sends what `from` holds until that is closed and drained, the next envelope with each message
    /// (RFC 2920) and several small ones at a time where the server offers CHUNKING.
    ///
    /// `done` gets the tag and the receipt of each, in the order in which they end. What could not
    /// be sent is deferred with the reason as its text; a lost connection is replaced, and messages
    /// that cannot have been delivered are sent again, twice at most. Throws only for cancellation
    /// and for what `done` throws: whatever has no receipt then may or may not have arrived.
    awaitable<> send_all(queue<outgoing>& from, std::function<void(std::uint64_t, receipt)> done);

    /// Ends the session with QUIT, within limits.quit and out of reach of cancellation. Never
    /// throws for what the server does; the next send connects again.
    awaitable<> quit();

    /// Whether a connection is open, as far as is known here.
    bool connected() const noexcept;

private:
    struct state;
    std::unique_ptr<state> state_;
};

/// How many connections, and how fast.
struct pool_options {
    std::size_t connections = 20; ///< at most; five at first, more as the server answers
    std::size_t messages = 0;     ///< on one connection, then QUIT; 0: any number
    double per_second = 0;        ///< messages begun; 0: no limit
};

/// Sends messages to one server over several connections, which stay open between messages. TLS
/// sessions are resumed. Not thread-safe; outlives what it has started.
class pool {
public:
    /// Connects nowhere yet.
    pool(asio::any_io_executor executor, smtp::options options, pool_options how);
    pool(pool const&) = delete;
    pool& operator=(pool const&) = delete;
    ~pool();

    /// As client::send, over a connection that is free, or a new one while there are fewer than
    /// allowed, or the next that gets free.
    awaitable<receipt> send(mime::message letter);
    /// As send(letter), for a message from elsewhere.
    awaitable<receipt> send(outgoing one);

    /// As client::send_all, with all connections. A server that cannot be reached, or takes no more
    /// connections, costs those messages nothing that others can carry.
    awaitable<> send_all(queue<outgoing>& from, std::function<void(std::uint64_t, receipt)> done);

    /// Ends all sessions with QUIT, as client::quit.
    awaitable<> quit();

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::smtp

template <>
struct std::is_error_code_enum<trawl::smtp::errc> : std::true_type {};
