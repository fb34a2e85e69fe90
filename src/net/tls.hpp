#pragma once

#include <trawl/async.hpp>
#include <trawl/dns.hpp>

#include <asio/buffer.hpp>
#include <asio/generic/stream_protocol.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
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

/// A connection (TCP or a Unix socket) that may become a TLS one. One read and one write at a time,
/// which may overlap. Stays where it was made (asio::ssl::stream does not survive a move in Asio
/// 1.22); cancelling an operation on a TLS stream leaves it fit for closing only.
class stream {
public:
    using lower = asio::generic::stream_protocol::socket;

    explicit stream(lower socket);
    stream(stream const&) = delete;
    stream& operator=(stream const&) = delete;
    ~stream();

    /// Waits for bytes; throws system_error, asio::error::eof at the peer's end.
    awaitable<std::size_t> read_some(asio::mutable_buffer into);
    /// Writes all of `bytes`, which outlive the call.
    awaitable<> write(std::string_view bytes);

    /// The handshake of a client: TLS 1.2 or newer, SNI, and unless told otherwise a certificate
    /// that leads to a known authority and names the host. Throws error: a certificate that was
    /// refused has its reason in said().
    awaitable<> start_tls(std::shared_ptr<tls_context> with);
    bool encrypted() const noexcept { return tls_ != nullptr; }
    bool resumed() const noexcept; ///< the handshake took up an earlier session

    /// What binds a login to this TLS channel (RFC 5056): "tls-exporter" (RFC 9266) for TLS 1.3,
    /// else "tls-unique" (RFC 5929), with its bytes; nothing where an attacker could make another
    /// channel with the same ones (RFC 7627).
    struct binding {
        std::string name, bytes;
    };
    binding channel_binding() const;

    lower& socket() noexcept { return socket_; }

private:
    struct layer;
    lower socket_;
    std::unique_ptr<layer> tls_;
};

} // namespace trawl::net
