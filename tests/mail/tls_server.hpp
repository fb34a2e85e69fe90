#pragma once

#include "mail/aiosmtpd.hpp"
#include "mail/encoding.hpp"
#include "mail/scram_verifier.hpp"
#include "mail/sending.hpp"

#include <trawl/task_group.hpp>

#include <asio/ssl/context.hpp>
#include <asio/ssl/stream.hpp>

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <openssl/ssl.h>

// An SMTP server whose TLS is OpenSSL's own, with all that a client may meet there.
namespace trawl::test {

/// Speaks TLS from the first byte or by STARTTLS, one connection at a time; knows bob, s3cret, by
/// SCRAM.
class tls_server {
public:
    struct settings {
        int newest = TLS1_3_VERSION;
        bool starttls = false;
        bool asks = false;       ///< for the client's certificate, and believes the CA only
        bool weak_tls = false;   ///< no extended master secret (RFC 7627)
        std::string hash = {};   ///< that the certificate is signed with, for weak_tls
        bool elsewhere = false;  ///< logins arrive on another TLS channel than they were made for
        bool hides_plus = false; ///< somebody takes SCRAM-SHA-256-PLUS out of what it offers
    };

    tls_server(asio::any_io_executor executor, std::filesystem::path const& folder, settings how)
        : acceptor_(executor, {asio::ip::address_v4::loopback(), 0}), how_(how) {
        auto* const handle = tls_.native_handle();
        tls_.use_certificate_chain_file(folder / "server.pem");
        tls_.use_private_key_file(folder / "server.key", asio::ssl::context::pem);
        SSL_CTX_set_max_proto_version(handle, how.newest);
        SSL_CTX_set_session_id_context(handle, reinterpret_cast<unsigned char const*>("t"), 1);
        if (how.weak_tls) {
            SSL_CTX_set_options(handle, SSL_OP_NO_EXTENDED_MASTER_SECRET);
            end_point_ = read_file(folder / "digest");
        }
        if (!how.asks) return;
        tls_.load_verify_file(folder / "ca.pem");
        tls_.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
    }
    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

    awaitable<> serve() {
        for (;;) {
            auto socket = co_await acceptor_.async_accept(asio::use_awaitable);
            stream wire(std::move(socket), tls_);
            pending_.clear();
            try {
                if (how_.starttls) co_await talk_in_plain(wire.next_layer());
                co_await wire.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
                resumed.push_back(SSL_session_reused(wire.native_handle()));
                note_certificate(wire);
                if (!how_.starttls) co_await say(wire, "220 mx");
                co_await talk(wire);
            } catch (std::system_error const& e) {
                if (is_cancelled(e)) throw;
            }
        }
    }

    std::vector<bool> resumed;       ///< by connection
    std::string certificate;         ///< whose the client's was
    std::vector<std::string> logins; ///< MECHANISM BINDING yes|no
    std::size_t messages = 0;

private:
    using stream = asio::ssl::stream<asio::ip::tcp::socket>;

    template <class Stream>
    awaitable<std::string> hear(Stream& wire) {
        auto const size = co_await asio::async_read_until(wire, asio::dynamic_buffer(pending_),
                                                          "\r\n", asio::use_awaitable);
        auto line = pending_.substr(0, size - 2);
        pending_.erase(0, size);
        co_return line;
    }
    template <class Stream>
    static awaitable<> say(Stream& wire, std::string_view text) {
        auto const line = std::string(text) + "\r\n";
        co_await asio::async_write(wire, asio::buffer(line), asio::use_awaitable);
    }
    void note_certificate(stream& wire) {
        auto* const theirs = SSL_get0_peer_certificate(wire.native_handle());
        if (!theirs) return;
        std::array<char, 256> name{};
        X509_NAME_get_text_by_NID(X509_get_subject_name(theirs), NID_commonName, name.data(),
                                  name.size());
        certificate = name.data();
    }

    awaitable<> talk_in_plain(asio::ip::tcp::socket& wire) {
        co_await say(wire, "220 mx");
        for (;;) {
            auto const line = co_await hear(wire);
            if (line == "STARTTLS") break;
            co_await say(wire, line.starts_with("EHLO") ? "250-mx\r\n250 STARTTLS" : "502 no");
        }
        co_await say(wire, "220 go");
    }

    awaitable<> talk(stream& wire) {
        for (;;) {
            auto const line = co_await hear(wire);
            if (line.starts_with("EHLO"))
                co_await say(wire, how_.hides_plus
                                       ? "250-mx\r\n250 AUTH SCRAM-SHA-256"
                                       : "250-mx\r\n250 AUTH SCRAM-SHA-256 SCRAM-SHA-256-PLUS");
            else if (line.starts_with("AUTH SCRAM"))
                co_await log_in(wire, line);
            else if (line == "DATA") {
                co_await say(wire, "354 go");
                auto text = co_await hear(wire);
                while (text != ".") text = co_await hear(wire);
                ++messages;
                co_await say(wire, "250 ok");
            } else if (line == "QUIT") {
                co_await say(wire, "221 bye");
                co_return;
            } else
                co_await say(wire, "250 ok");
        }
    }

    /// The bytes of RFC 9266 and of RFC 5929 §3 and §4.
    std::string binding(stream& wire, std::string const& name) const {
        auto* const handle = wire.native_handle();
        std::string bytes(name.empty() ? 0 : 32, '\0');
        if (name == "tls-exporter") {
            std::string const label = "EXPORTER-Channel-Binding";
            SSL_export_keying_material(handle, reinterpret_cast<unsigned char*>(bytes.data()),
                                       bytes.size(), label.data(), label.size(), nullptr, 0, 0);
        } else if (name == "tls-unique") { // the first Finished, whoever sends it
            bool const ours = SSL_session_reused(handle);
            bytes.resize(ours ? SSL_get_finished(handle, bytes.data(), bytes.size())
                              : SSL_get_peer_finished(handle, bytes.data(), bytes.size()));
        } else if (name == "tls-server-end-point")
            bytes = end_point_;
        if (how_.elsewhere && !bytes.empty()) bytes[0] = static_cast<char>(bytes[0] ^ 1);
        return bytes;
    }

    awaitable<> log_in(stream& wire, std::string line) {
        using mime::detail::base64;
        using smtp::detail::from_base64;
        auto const blank = line.rfind(' ');
        auto const mechanism = line.substr(5, blank - 5);
        auto const first = from_base64(line.substr(blank + 1)).value_or("");
        scram_verifier login(mechanism == "SCRAM-SHA-256-PLUS");
        std::optional<std::string> verdict;
        if (auto const challenge = login.challenge(first)) {
            auto const asked = "334 " + base64(*challenge);
            co_await say(wire, asked);
            auto const answer = co_await hear(wire);
            verdict = login.verdict(from_base64(answer).value_or(""),
                                    binding(wire, login.binding_name()));
        }
        logins.push_back(mechanism + ' ' + login.binding_name() + (verdict ? " yes" : " no"));
        if (verdict) {
            auto const proof = "334 " + base64(*verdict);
            co_await say(wire, proof);
            (void)co_await hear(wire);
        }
        co_await say(wire, verdict ? "235 ok" : "535 5.7.8 no");
    }

    asio::ip::tcp::acceptor acceptor_;
    settings how_;
    asio::ssl::context tls_{asio::ssl::context::tls_server};
    std::string pending_, end_point_;
};

/// Has server.pem signed with that hash, and writes the certificate's own to "digest" (RFC 5929 §4.1).
inline void sign_with(std::string const& hash, std::filesystem::path const& folder) {
    write_file(folder / "sign", "set -e; cd " + folder.string() + "\nhash=" + hash + R"(
openssl x509 -req -$hash -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile names
openssl x509 -in server.pem -outform der | openssl dgst -$hash -binary > digest
)");
    REQUIRE(child_process({"sh", folder / "sign"}, folder / "sign.log").wait() == 0);
}

/// What `talk(server, options, folder)` does to a server that runs meanwhile; the options are for
/// its certificate, which ca.pem in the folder has signed.
inline void with_tls_server(
    tls_server::settings settings,
    std::function<awaitable<>(tls_server&, smtp::options, std::filesystem::path const&)> talk) {
    temporary_folder folder;
    make_certificates(folder.path);
    if (settings.weak_tls) sign_with(settings.hash, folder.path);
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        tls_server server(executor, folder.path, settings);
        auto how = plain_to(server.port());
        how.tls = settings.starttls ? smtp::tls::required : smtp::tls::implicit;
        how.host = "mx.test.example";
        how.ca_file = folder.path / "ca.pem";
        std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(server.serve());
            auto talking = talk(server, std::move(how), folder.path);
            co_await std::move(talking);
        };
        co_await with_group(body);
    };
    test::run(main);
}

} // namespace trawl::test
