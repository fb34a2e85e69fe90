#pragma once

#include <trawl/async.hpp>
#include <trawl/detail/parking.hpp>
#include <trawl/dns.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/buffer.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/generic/stream_protocol.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace trawl::net {

/// Whom a TLS client believes.
struct tls_options {
    std::string host; ///< a name (also sent as SNI) or an address; the certificate must be its own
    std::string ca_file; ///< PEM; empty: the system's authorities
    bool verify = true;
    /// SHA-256 of public keys (RFC 7469 §2.4), in base64. When there are any, a certificate with one
    /// of these keys is believed without an authority, whomever it names, and no other is.
    std::vector<std::string> pinned_keys;
    /// When there are any, a certificate is believed that one of usage 2 or 3 stands for, and no
    /// other (DANE, RFC 7671 §5). One of usage 2 has to name `host`, or one of `other_names`.
    std::vector<dns::tlsa> tlsa;
    std::vector<std::string> other_names;
    std::string certificate, key; ///< PEM files of our own, for servers that ask
};

/// What connections to one host share: authorities, keys, and the last session, which the next
/// handshake resumes (RFC 8446 §2.2). Outlives its streams.
class tls_context {
public:
    /// Reads the files. Throws error for what is wrong with them and for a pin that is no SHA-256.
    explicit tls_context(tls_options options);
    tls_context(tls_context const&) = delete;
    tls_context& operator=(tls_context const&) = delete;
    ~tls_context();

    struct state;
    state& inside() noexcept { return *state_; }

private:
    std::unique_ptr<state> state_;
};

/// Waits until `socket` is ready for that, or has ended; false when `deadline` passed.
template <class Socket>
awaitable<bool> ready_until(Socket& socket, typename Socket::wait_type what, time_point deadline) {
    struct wait {
        trawl::detail::waiter who;
        asio::cancellation_signal stop;
    };
    // Shared, because the handler of a wait that was stopped runs later.
    auto const mine = std::make_shared<wait>();
    auto ready = [mine](std::error_code) { mine->who.signal(); };
    socket.async_wait(what, asio::bind_cancellation_slot(mine->stop.slot(), std::move(ready)));
    auto const woken = co_await mine->who.wait(deadline);
    if (woken == trawl::detail::wake::signalled) co_return true;
    mine->stop.emit(asio::cancellation_type::terminal);
    if (woken == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
    co_return false;
}

/// As ready_until, for something to read.
template <class Socket>
awaitable<bool> readable_until(Socket& socket, time_point deadline) {
    return ready_until(socket, Socket::wait_read, deadline);
}

/// A connection (TCP or a Unix socket) that may become a TLS one. One read and one write at a time,
/// which may overlap. Stays where it was made. A write that was cancelled leaves it fit for closing
/// only.
class stream {
public:
    using lower = asio::generic::stream_protocol::socket;

    explicit stream(lower socket);
    stream(stream const&) = delete;
    stream& operator=(stream const&) = delete;
    ~stream();

    /// Waits for bytes; throws system_error, asio::error::eof at the peer's end.
    awaitable<std::size_t> read_some(asio::mutable_buffer into);
    /// As read_some, with `deadline` as an answer: nullopt when it passed. Costs half of read_some
    /// within a limit, which runs in a coroutine thread of its own.
    awaitable<std::optional<std::size_t>> read_some_until(asio::mutable_buffer into,
                                                          time_point deadline);
    /// Writes all of `bytes`, which outlive the call.
    awaitable<> write(std::string_view bytes);
    /// Writes what the kernel takes at once, and returns how much that is: nothing on a connection that
    /// has failed, as write() will say. The rest is what is written next.
    std::size_t try_write(std::string_view bytes) noexcept;

    /// The handshake of a client: TLS 1.2 or newer, SNI, and unless told otherwise a certificate
    /// that leads to a known authority and names the host. Throws error: a certificate that was
    /// refused has its reason in said().
    awaitable<> start_tls(std::shared_ptr<tls_context> with);
    bool encrypted() const noexcept { return tls_ != nullptr; }
    bool resumed() const noexcept; ///< the handshake took up an earlier session

    /// What binds a login to this TLS channel (RFC 5056): "tls-exporter" (RFC 9266) for TLS 1.3,
    /// else "tls-unique" (RFC 5929), with its bytes; where an attacker could make another channel
    /// with the same ones (RFC 7627) "tls-server-end-point", which binds to the server's certificate.
    /// No bytes: there is none.
    struct binding {
        std::string name, bytes;
    };
    binding channel_binding() const;

    lower& socket() noexcept { return socket_; }

private:
    struct layer;
    template <class Step>
    awaitable<std::optional<std::size_t>> complete(Step step, time_point deadline);

    lower socket_;
    std::unique_ptr<layer> tls_;
};

} // namespace trawl::net
