#pragma once

#include <trawl/async.hpp>

#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace trawl::net {

/// Whom a TLS client believes.
struct tls_options {
    std::string host; ///< a name (also sent as SNI) or an address; the certificate must be its own
    std::string ca_file; ///< PEM; empty: the system's authorities
    bool verify = true;
};

/// A TCP connection that may become a TLS one. One read and one write at a time, which may overlap.
/// Stays where it was made (asio::ssl::stream does not survive a move in Asio 1.22); cancelling an
/// operation on a TLS stream leaves it fit for closing only.
class stream {
public:
    explicit stream(asio::ip::tcp::socket socket);
    stream(stream const&) = delete;
    stream& operator=(stream const&) = delete;
    ~stream();

    /// Waits for bytes; throws system_error, asio::error::eof at the peer's end.
    awaitable<std::size_t> read_some(asio::mutable_buffer into);
    /// Writes all of `bytes`, which outlive the call.
    awaitable<> write(std::string_view bytes);

    /// The handshake of a client: TLS 1.2 or newer, SNI, and unless told otherwise a certificate
    /// that leads to a known authority and names the host. Reads the authorities from disk. Throws
    /// error: a certificate that was refused has its reason in said().
    awaitable<> start_tls(tls_options options);
    bool encrypted() const noexcept { return tls_ != nullptr; }

    asio::ip::tcp::socket& socket() noexcept { return socket_; }

private:
    struct layer;
    asio::ip::tcp::socket socket_;
    std::unique_ptr<layer> tls_;
};

} // namespace trawl::net
