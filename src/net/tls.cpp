#include "net/tls.hpp"

#include <asio/ssl/context.hpp>
#include <asio/ssl/error.hpp>
#include <asio/ssl/stream.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

namespace trawl::net {

namespace ssl = asio::ssl;

struct stream::layer {
    layer(asio::ip::tcp::socket& socket, tls_options const& options)
        : context(make_context(options)), wire(socket, context) {
        expect(options);
    }

    static ssl::context make_context(tls_options const& options) {
        ssl::context made(ssl::context::tls_client);
        SSL_CTX_set_min_proto_version(made.native_handle(), TLS1_2_VERSION);
        // Idle connections give their 2 x 17 KB back.
        SSL_CTX_set_mode(made.native_handle(), SSL_MODE_RELEASE_BUFFERS);
        made.set_verify_mode(options.verify ? ssl::verify_peer : ssl::verify_none);
        if (!options.verify) return made;
        std::error_code failure;
        if (options.ca_file.empty())
            made.set_default_verify_paths(failure);
        else
            made.load_verify_file(options.ca_file, failure);
        if (failure)
            throw error(failure, "certificates " +
                                     (options.ca_file.empty() ? "of the system" : options.ca_file));
        return made;
    }

    /// RFC 6125: the name in the certificate, by OpenSSL's own check; SNI has names only (RFC 6066
    /// §3).
    void expect(tls_options const& options) {
        auto* const handle = wire.native_handle();
        auto* const wanted = SSL_get0_param(handle);
        std::error_code not_an_address;
        (void)asio::ip::make_address(options.host, not_an_address);
        if (not_an_address && !options.host.empty())
            SSL_set_tlsext_host_name(handle, options.host.c_str());
        if (!options.verify) return;
        X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        int const taken =
            not_an_address
                ? X509_VERIFY_PARAM_set1_host(wanted, options.host.data(), options.host.size())
                : X509_VERIFY_PARAM_set1_ip_asc(wanted, options.host.c_str());
        if (!taken || options.host.empty())
            throw error(std::make_error_code(std::errc::invalid_argument), "TLS",
                        "no host name for the certificate");
    }

    ssl::context context;
    ssl::stream<asio::ip::tcp::socket&> wire;
};

stream::stream(asio::ip::tcp::socket socket) : socket_(std::move(socket)) {}
stream::~stream() = default;

awaitable<std::size_t> stream::read_some(asio::mutable_buffer into) {
    std::size_t size = 0;
    if (tls_)
        size = co_await tls_->wire.async_read_some(into, asio::use_awaitable);
    else
        size = co_await socket_.async_read_some(into, asio::use_awaitable);
    co_return size;
}

awaitable<> stream::write(std::string_view bytes) {
    auto const all = asio::buffer(bytes.data(), bytes.size());
    if (tls_)
        co_await asio::async_write(tls_->wire, all, asio::use_awaitable);
    else
        co_await asio::async_write(socket_, all, asio::use_awaitable);
}

awaitable<> stream::start_tls(tls_options options) {
    tls_ = std::make_unique<layer>(socket_, options);
    std::string said;
    std::error_code failure;
    try {
        co_await tls_->wire.async_handshake(ssl::stream_base::client, asio::use_awaitable);
    } catch (std::system_error const& e) {
        failure = e.code();
        auto const why = SSL_get_verify_result(tls_->wire.native_handle());
        if (options.verify && why != X509_V_OK) said = X509_verify_cert_error_string(why);
    }
    if (failure == asio::error::operation_aborted) throw std::system_error(failure);
    if (failure) throw error(failure, "TLS " + options.host, said);
}

} // namespace trawl::net
