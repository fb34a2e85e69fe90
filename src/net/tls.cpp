#include "net/tls.hpp"

#include "net/authorities.hpp"
#include "net/tls_engine.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/ip/address.hpp>
#include <asio/ssl/context.hpp>
#include <asio/ssl/error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <array>
#include <utility>

#include <sys/socket.h>

namespace trawl::net {

namespace ssl = asio::ssl;

namespace {

using digest = std::array<unsigned char, 32>; ///< SHA-256

/// What a pin stands for.
digest digest_of(std::string_view pin) {
    std::array<unsigned char, 64> bytes;
    bool const fits = pin.size() == 44 && pin.back() == '=' && pin[42] != '=';
    int const size =
        fits ? EVP_DecodeBlock(bytes.data(), reinterpret_cast<unsigned char const*>(pin.data()),
                               static_cast<int>(pin.size()))
             : -1;
    if (size != 33)
        throw error(std::make_error_code(std::errc::invalid_argument), "pinned key",
                    "a SHA-256 in base64 is wanted");
    digest found;
    std::copy_n(bytes.begin(), found.size(), found.begin());
    return found;
}

/// Of the certificate's SubjectPublicKeyInfo; nullopt when OpenSSL cannot write it.
std::optional<digest> key_digest(X509* certificate) {
    unsigned char* der = nullptr;
    int const size = certificate ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der) : -1;
    if (size < 0) return std::nullopt;
    digest found;
    bool const done = EVP_Digest(der, static_cast<std::size_t>(size), found.data(), nullptr,
                                 EVP_sha256(), nullptr) == 1;
    OPENSSL_free(der);
    return done ? std::optional(found) : std::nullopt;
}

/// By the hash function that it is signed with, SHA-256 for weaker ones (RFC 5929 §4.1); empty for a
/// signature without one of its own.
std::string certificate_digest(X509* certificate) {
    int hash = NID_undef;
    if (!certificate || !X509_get_signature_info(certificate, &hash, nullptr, nullptr, nullptr))
        return {};
    if (hash == NID_md5 || hash == NID_sha1) hash = NID_sha256;
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
    unsigned size = 0;
    auto const* const by = EVP_get_digestbynid(hash);
    if (!by || X509_digest(certificate, by, bytes.data(), &size) != 1) return {};
    return {bytes.begin(), bytes.begin() + size};
}

bool is_address(std::string const& host) {
    std::error_code failure;
    (void)asio::ip::make_address(host, failure);
    return !failure;
}

} // namespace

struct tls_context::state {
    explicit state(tls_options o) : options(std::move(o)) {
        for (auto const& pin : options.pinned_keys) pins.push_back(digest_of(pin));
        auto* const handle = context.native_handle();
        SSL_CTX_set_min_proto_version(handle, TLS1_2_VERSION);
        SSL_CTX_set_session_cache_mode(handle,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_set_ex_data(handle, place(), this);
        SSL_CTX_sess_set_new_cb(handle, [](SSL* from, SSL_SESSION* fresh) {
            auto& self = *static_cast<state*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(from), place()));
            SSL_SESSION_free(std::exchange(self.session, fresh));
            return 1; // it is ours now
        });
        load_certificate();
        if (by_dane() && SSL_CTX_dane_enable(handle) <= 0)
            throw error(std::make_error_code(std::errc::not_enough_memory), "TLS");
        load_authorities();
    }
    ~state() { SSL_SESSION_free(session); }
    /// Where OpenSSL keeps our pointer; its "app data" is Asio's.
    static int place() {
        static int const index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
        return index;
    }
    state(state const&) = delete;

    bool by_dane() const noexcept { return !options.tlsa.empty(); }

    void load_certificate() {
        if (options.certificate.empty()) return;
        std::error_code failure;
        context.use_certificate_chain_file(options.certificate, failure);
        if (failure) throw error(failure, "certificate " + options.certificate);
        auto const& key = options.key.empty() ? options.certificate : options.key;
        context.use_private_key_file(key, ssl::context::pem, failure);
        if (failure) throw error(failure, "key " + key);
    }

    void load_authorities() {
        bool const by_chain = options.verify && (pins.empty() || by_dane());
        context.set_verify_mode(by_chain ? ssl::verify_peer : ssl::verify_none);
        if (!by_chain || by_dane()) return;
        SSL_CTX_set1_cert_store(context.native_handle(), authorities(options.ca_file).get());
    }

    tls_options options;
    ssl::context context{ssl::context::tls_client};
    std::vector<digest> pins;
    SSL_SESSION* session = nullptr; ///< owned
};

tls_context::tls_context(tls_options options)
    : state_(std::make_unique<state>(std::move(options))) {}
tls_context::~tls_context() = default;

struct stream::layer {
    layer(lower& socket, std::shared_ptr<tls_context> with)
        : context(std::move(with)),
          wire(context->inside().context.native_handle(), socket.native_handle()) {
        if (context->inside().by_dane()) {
            expect_dane(); // no resumption, which would judge by records of before
            return;
        }
        expect();
        if (auto* const last = context->inside().session) SSL_set_session(wire.handle(), last);
    }

    layer(layer const&) = delete;
    layer& operator=(layer const&) = delete;
    /// OpenSSL takes a connection that ends without a close_notify for a reason not to resume its
    /// session; where it matters how a connection ends, the protocol above says so (QUIT).
    ~layer() {
        auto* const handle = wire.handle();
        if (SSL_is_init_finished(handle))
            SSL_set_shutdown(handle, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }

    /// RFC 6125: the name in the certificate, by OpenSSL's own check; SNI has names only (RFC 6066
    /// §3).
    void expect() {
        auto const& options = context->inside().options;
        auto* const handle = wire.handle();
        auto* const wanted = SSL_get0_param(handle);
        bool const name = !options.host.empty() && !is_address(options.host);
        if (name) SSL_set_tlsext_host_name(handle, options.host.c_str());
        if (!options.verify || !context->inside().pins.empty()) return;
        X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        int const taken =
            name ? X509_VERIFY_PARAM_set1_host(wanted, options.host.data(), options.host.size())
                 : X509_VERIFY_PARAM_set1_ip_asc(wanted, options.host.c_str());
        if (!taken || options.host.empty())
            throw error(std::make_error_code(std::errc::invalid_argument), "TLS",
                        "no host name for the certificate");
    }

    /// RFC 7671: OpenSSL chooses among the records, weak digests last. A certificate that a record
    /// of usage 3 stands for may name anybody and be out of date (RFC 7672 §3.1.1).
    void expect_dane() {
        auto const& options = context->inside().options;
        auto* const handle = wire.handle();
        bool good = SSL_dane_enable(handle, options.host.c_str()) > 0;
        SSL_dane_set_flags(handle, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
        SSL_set_hostflags(handle, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        for (auto const& name : options.other_names)
            good = good && SSL_add1_host(handle, name.c_str()) > 0;
        bool usable = false;
        for (auto const& one : options.tlsa) {
            if (one.usage != 2 && one.usage != 3) continue; // RFC 7672 §3.1.3
            auto const* const data = reinterpret_cast<unsigned char const*>(one.data.data());
            usable |= SSL_dane_tlsa_add(handle, one.usage, one.selector, one.matching, data,
                                        one.data.size()) > 0;
        }
        if (!good || !usable)
            throw error(std::make_error_code(std::errc::permission_denied), "TLS " + options.host,
                        "no TLSA record can be used");
    }

    /// Why the certificate is refused.
    std::string objection() const {
        auto const& inside = context->inside();
        auto* const handle = wire.handle();
        if (inside.pins.empty()) {
            auto const why = SSL_get_verify_result(handle);
            bool const unproved = inside.by_dane() && why == X509_V_OK &&
                                  SSL_get0_dane_authority(handle, nullptr, nullptr) < 0;
            if (unproved) return "no TLSA record stands for it";
            return inside.options.verify && why != X509_V_OK ? X509_verify_cert_error_string(why)
                                                             : "";
        }
        auto const key = key_digest(SSL_get0_peer_certificate(handle));
        bool const known =
            key && std::find(inside.pins.begin(), inside.pins.end(), *key) != inside.pins.end();
        return known ? "" : "the key is not a pinned one";
    }

    std::shared_ptr<tls_context> context;
    tls_engine wire;
};

stream::stream(lower socket) : socket_(std::move(socket)) {}
stream::~stream() = default;

/// Takes a step of TLS again and again until it is done; nullopt when `deadline` passed.
template <class Step>
awaitable<std::optional<std::size_t>> stream::complete(Step step, time_point deadline) {
    for (;;) {
        auto const got = step();
        if (got.next == tls_engine::wants::nothing) co_return got.size;
        bool const to_read = got.next == tls_engine::wants::to_read;
        auto const what = to_read ? lower::wait_read : lower::wait_write;
        bool const ready = co_await ready_until(socket_, what, deadline);
        if (!ready) co_return std::nullopt;
    }
}

awaitable<std::size_t> stream::read_some(asio::mutable_buffer into) {
    auto const size = co_await read_some_until(into, time_point::max());
    co_return *size;
}

namespace {

/// A read that is under way; shared, because the handler of one that was stopped runs later.
struct reading {
    trawl::detail::waiter who;
    asio::cancellation_signal stop;
    bool ended = false;
    std::error_code failure;
    std::size_t size = 0;
};

} // namespace

awaitable<std::optional<std::size_t>> stream::read_some_until(asio::mutable_buffer into,
                                                              time_point deadline) {
    if (tls_) {
        auto step = [&wire = tls_->wire, into] { return wire.read(into); };
        co_return co_await complete(step, deadline);
    }
    auto const mine = std::make_shared<reading>();
    auto done = [mine](std::error_code failure, std::size_t size) {
        mine->ended = true, mine->failure = failure, mine->size = size;
        mine->who.signal();
    };
    socket_.async_read_some(into, asio::bind_cancellation_slot(mine->stop.slot(), std::move(done)));
    auto const woken = co_await mine->who.wait(deadline);
    if (!mine->ended) {
        // No byte goes into the reader's memory when it has gone. (Not in a destructor: when the
        // context is destroyed with the read under way, there is nothing left to stop it.)
        mine->stop.emit(asio::cancellation_type::terminal);
        if (woken == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
        co_return std::nullopt;
    }
    if (mine->failure) throw std::system_error(mine->failure);
    co_return mine->size;
}

std::size_t stream::try_write(std::string_view bytes) noexcept {
    if (bytes.empty()) return 0;
    if (!tls_) {
        auto const size = ::send(socket_.native_handle(), bytes.data(), bytes.size(),
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
        return size > 0 ? static_cast<std::size_t>(size) : 0;
    }
    std::size_t done = 0;
    try {
        while (done < bytes.size()) {
            auto const got = tls_->wire.write(bytes.substr(done));
            if (got.next != tls_engine::wants::nothing) break;
            done += got.size;
        }
    } catch (std::system_error const&) { // write() meets it, too
    }
    return done;
}

awaitable<> stream::write(std::string_view bytes) {
    if (!tls_) {
        auto const all = asio::buffer(bytes.data(), bytes.size());
        co_await asio::async_write(socket_, all, asio::use_awaitable);
        co_return;
    }
    while (!bytes.empty()) {
        auto step = [&wire = tls_->wire, bytes] { return wire.write(bytes); };
        auto const size = co_await complete(step, time_point::max());
        bytes.remove_prefix(*size);
    }
}

awaitable<> stream::start_tls(std::shared_ptr<tls_context> with) {
    auto const where = "TLS " + with->inside().options.host;
    tls_ = std::make_unique<layer>(socket_, std::move(with));
    std::error_code failure;
    auto step = [&wire = tls_->wire] { return wire.handshake(); };
    try {
        co_await complete(step, time_point::max());
    } catch (std::system_error const& e) {
        failure = e.code();
    }
    if (failure == asio::error::operation_aborted) throw std::system_error(failure);
    std::string objection;
    if (!failure || tls_->context->inside().pins.empty()) objection = tls_->objection();
    if (!failure && !objection.empty())
        failure = std::make_error_code(std::errc::permission_denied);
    if (failure) throw error(failure, where, objection);
}

bool stream::resumed() const noexcept { return tls_ && SSL_session_reused(tls_->wire.handle()); }

stream::binding stream::channel_binding() const {
    binding made;
    if (!tls_) return made;
    auto* const handle = tls_->wire.handle();
    std::array<unsigned char, 64> bytes;
    if (SSL_version(handle) >= TLS1_3_VERSION) {
        constexpr std::string_view label = "EXPORTER-Channel-Binding";
        if (SSL_export_keying_material(handle, bytes.data(), 32, label.data(), label.size(),
                                       nullptr, 0, 0) != 1)
            return made;
        made.name = "tls-exporter";
        made.bytes.assign(bytes.begin(), bytes.begin() + 32);
        return made;
    }
    // Without the extended master secret two channels can be made to have the same (RFC 7627 §1).
    if (SSL_get_extms_support(handle) != 1)
        return {"tls-server-end-point", certificate_digest(SSL_get0_peer_certificate(handle))};
    // The first Finished of the handshake: the server's when a session was resumed.
    auto const size = SSL_session_reused(handle)
                          ? SSL_get_peer_finished(handle, bytes.data(), bytes.size())
                          : SSL_get_finished(handle, bytes.data(), bytes.size());
    made.name = "tls-unique";
    made.bytes.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    return made;
}

} // namespace trawl::net
