#pragma once

#include <asio/buffer.hpp>

#include <cstddef>
#include <memory>
#include <string_view>
#include <system_error>

#include <openssl/ssl.h>

namespace trawl::net {

/// One end of a TLS connection, straight on a non-blocking socket that outlives it: each step goes as
/// far as it can at once, and says what it waits for. OpenSSL's own buffers are all there is between
/// the two, and an idle connection has given them back; asio::ssl::stream adds 68 KB to each.
class tls_engine {
public:
    enum class wants { nothing, to_read, to_write };
    struct outcome {
        wants next;           ///< nothing: the step is done; else it is to be taken again
        std::size_t size = 0; ///< of what was read or written
    };

    tls_engine(SSL_CTX* context, int socket);
    tls_engine(tls_engine const&) = delete;
    tls_engine& operator=(tls_engine const&) = delete;

    SSL* handle() const noexcept { return ssl_.get(); }

    // All of them throw system_error: asio::error::eof when the peer has said that it ends,
    // asio::ssl::error::stream_truncated when it just went, the socket's errors, and OpenSSL's.

    outcome handshake(); ///< a client's
    outcome read(asio::mutable_buffer into);
    /// A part of `bytes`; while it wants something, the next write begins with the same ones.
    outcome write(std::string_view bytes);

private:
    struct socket_bio;
    struct free_ssl {
        void operator()(SSL* p) const noexcept { SSL_free(p); }
    };
    void begin() noexcept;
    outcome judge(int result, std::size_t size);
    std::error_code failure() const;

    std::unique_ptr<SSL, free_ssl> ssl_;
    int socket_;
    int fault_ = 0;        ///< the socket's errno in the present step
    std::size_t room_ = 0; ///< bytes that the step may still read
};

} // namespace trawl::net
