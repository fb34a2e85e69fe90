#include "net/tls_engine.hpp"

#include <asio/error.hpp>
#include <asio/ssl/error.hpp>

#include <openssl/bio.h>
#include <openssl/err.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include <sys/socket.h>

namespace trawl::net {

/// How OpenSSL reaches the socket. Its own BIO for that writes with write(2), and a peer that has gone
/// would raise SIGPIPE.
struct tls_engine::socket_bio {
    static BIO_METHOD* method() {
        static BIO_METHOD* const made = [] {
            auto* const m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
            if (!m) throw std::bad_alloc();
            BIO_meth_set_write(m, write);
            BIO_meth_set_read(m, read);
            BIO_meth_set_ctrl(m, control);
            return m;
        }();
        return made;
    }

    static int write(BIO* by, char const* bytes, int size) {
        auto& on = *static_cast<tls_engine*>(BIO_get_data(by));
        BIO_clear_retry_flags(by);
        auto const sent =
            ::send(on.socket_, bytes, static_cast<std::size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) return static_cast<int>(sent);
        if (is_passing(errno))
            BIO_set_retry_write(by);
        else
            on.fault_ = errno;
        return -1;
    }

    static int read(BIO* by, char* into, int size) {
        auto& on = *static_cast<tls_engine*>(BIO_get_data(by));
        BIO_clear_retry_flags(by);
        if (on.room_ == 0) return BIO_set_retry_read(by), -1;
        auto const most = std::min(on.room_, static_cast<std::size_t>(size));
        auto const got = ::recv(on.socket_, into, most, MSG_DONTWAIT);
        if (got >= 0) {
            on.room_ -= static_cast<std::size_t>(got);
            return static_cast<int>(got);
        }
        if (is_passing(errno))
            BIO_set_retry_read(by);
        else
            on.fault_ = errno;
        return -1;
    }

    static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH; }

    static bool is_passing(int error) noexcept { return error == EAGAIN || error == EINTR; }
};

tls_engine::tls_engine(SSL_CTX* context, int socket) : ssl_(SSL_new(context)), socket_(socket) {
    auto* const wire = ssl_ ? BIO_new(socket_bio::method()) : nullptr;
    if (!wire) throw std::bad_alloc();
    BIO_set_data(wire, this);
    BIO_set_init(wire, 1);
    SSL_set_bio(handle(), wire, wire);
    SSL_set_connect_state(handle());
    SSL_set_mode(handle(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                               SSL_MODE_RELEASE_BUFFERS);
    SSL_set_read_ahead(handle(), 1); // all records that are there in one call
}

/// A peer that sends tickets and key updates without end, which OpenSSL takes one after the other,
/// holds the loop no longer than this many bytes take.
void tls_engine::begin() noexcept {
    ERR_clear_error();
    fault_ = 0;
    room_ = std::size_t(64) << 10;
}

tls_engine::outcome tls_engine::handshake() {
    begin();
    return judge(SSL_do_handshake(handle()), 0);
}

tls_engine::outcome tls_engine::read(asio::mutable_buffer into) {
    begin();
    std::size_t size = 0;
    int const result = SSL_read_ex(handle(), into.data(), into.size(), &size);
    return judge(result, size);
}

tls_engine::outcome tls_engine::write(std::string_view bytes) {
    begin();
    std::size_t size = 0;
    int const result = SSL_write_ex(handle(), bytes.data(), bytes.size(), &size);
    return judge(result, size);
}

tls_engine::outcome tls_engine::judge(int result, std::size_t size) {
    if (result > 0) return {wants::nothing, size};
    switch (SSL_get_error(handle(), result)) {
    case SSL_ERROR_WANT_READ: return {wants::to_read};
    case SSL_ERROR_WANT_WRITE: return {wants::to_write};
    case SSL_ERROR_ZERO_RETURN: throw std::system_error(asio::error::eof);
    default: throw std::system_error(failure());
    }
}

std::error_code tls_engine::failure() const {
    if (fault_ != 0) return {fault_, std::system_category()};
    auto const reason = ERR_get_error();
    if (reason == 0 || ERR_GET_REASON(reason) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return asio::ssl::error::stream_truncated;
    return {static_cast<int>(reason), asio::error::get_ssl_category()};
}

} // namespace trawl::net
