#pragma once

#include <trawl/async.hpp>
#include <trawl/mime.hpp>
#include <trawl/net.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
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
    auth_unavailable, ///< a user is given and the server offers neither PLAIN nor LOGIN
    auth_needs_tls,   ///< a password would cross the network readable, or to a server not verified
    auth_denied,      ///< the server refused user and password
    bad_value,        ///< a host, user or path that holds CR, LF, NUL or a blank where none may be
};

/// Category "trawl.smtp".
std::error_category const& category() noexcept;
std::error_code make_error_code(errc code) noexcept;

/// How a connection is protected.
enum class tls {
    none,          ///< plain text
    opportunistic, ///< STARTTLS when it is offered, certificate not verified: who can strip the
                   ///< offer can forge it too
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
std::string_view to_string(status s) noexcept;

/// The server's answer for one recipient.
struct recipient {
    std::string address;
    smtp::status status = smtp::status::unknown;
    int code = 0;         ///< 0: no reply; the decision was made here and `text` says why
    std::string enhanced; ///< RFC 3463 ("5.1.1"); empty when the server gave none
    std::string text;     ///< the server's words without the codes; lines joined by a blank
};

/// What a message's journey came to.
struct receipt {
    std::string message_id;
    std::vector<recipient> recipients; ///< in the envelope's order
    std::size_t count(status s) const noexcept;
    bool all_accepted() const noexcept { return count(status::accepted) == recipients.size(); }
};

/// Absolute limits: each begins with its step and no dripping byte extends it. The defaults are the
/// minimums of RFC 5321 §4.5.3.2, made for servers that deliver while the client waits.
struct timeouts {
    std::chrono::milliseconds connect{30'000}; ///< all addresses together
    std::chrono::milliseconds tls{60'000};
    std::chrono::milliseconds banner{300'000};
    std::chrono::milliseconds command{300'000}; ///< for each reply to EHLO, AUTH, MAIL, RCPT
    std::chrono::milliseconds data{120'000};    ///< until 354
    std::chrono::milliseconds block{180'000};   ///< for each 64 KiB of the message
    std::chrono::milliseconds dot{600'000};     ///< until the reply to the whole message
    std::chrono::milliseconds quit{2'000};

    /// Every limit times `factor` (> 0); `timeouts::scaled(0.05)` suits a server in the same room.
    static timeouts scaled(double factor);
};

struct options {
    std::string host; ///< for the certificate, SNI and messages; the address when empty
    std::vector<asio::ip::address> addresses; ///< tried as net::connect does
    std::uint16_t port = 25;
    smtp::tls tls = smtp::tls::required;
    std::string ca_file; ///< PEM; empty: the system's authorities
    std::string user;    ///< empty: no AUTH
    net::secret password;
    std::string helo; ///< empty: this host's full name, or its address in brackets
    smtp::timeouts limits;
};

/// Sends messages to one server (RFC 5321) over one connection, which stays open between messages.
///
/// Connects at the first send. PIPELINING, SIZE, 8BITMIME and STARTTLS are used when offered; AUTH
/// PLAIN and LOGIN only over verified TLS or to a loopback address. Not thread-safe: one client,
/// one executor; a send that finds another one under way waits for its turn. The client outlives
/// what it has started; destroying it closes the connection without QUIT.
class client {
public:
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

    /// Sends `content` (a whole message, any line ends) as it is. 8-bit content goes out unchanged
    /// even to a server without 8BITMIME.
    awaitable<receipt> send(mime::envelope envelope, std::string content);

    /// Ends the session with QUIT, within limits.quit and out of reach of cancellation. Never
    /// throws for what the server does; the next send connects again.
    awaitable<> quit();

    bool connected() const noexcept;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::smtp

template <>
struct std::is_error_code_enum<trawl::smtp::errc> : std::true_type {};
