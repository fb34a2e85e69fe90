// TLS with a server of our own: sessions that are resumed, certificates of clients. And LMTP over a
// Unix socket.
#include "mail/aiosmtpd.hpp"
#include "mail/peers.hpp"
#include "mail/sending.hpp"
#include "test.hpp"

#include <trawl/smtp.hpp>

#include <asio/local/stream_protocol.hpp>
#include <asio/ssl/context.hpp>
#include <asio/ssl/stream.hpp>

#include <openssl/ssl.h>

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;
using step = scripted_server::step;
using asio::use_awaitable;

namespace {

/// A server with implicit TLS, one connection at a time.
class tls_server {
public:
    using stream = asio::ssl::stream<asio::ip::tcp::socket>;

    explicit tls_server(asio::any_io_executor executor, std::filesystem::path const& folder,
                        bool ask, int newest = TLS1_3_VERSION)
        : acceptor_(executor, {asio::ip::address_v4::loopback(), 0}) {
        tls_.use_certificate_chain_file(folder / "server.pem");
        tls_.use_private_key_file(folder / "server.key", asio::ssl::context::pem);
        SSL_CTX_set_max_proto_version(tls_.native_handle(), newest);
        SSL_CTX_set_session_id_context(tls_.native_handle(),
                                       reinterpret_cast<unsigned char const*>("t"), 1);
        if (!ask) return;
        tls_.load_verify_file(folder / "ca.pem");
        tls_.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
    }
    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

    awaitable<> serve() {
        for (;;) {
            auto socket = co_await acceptor_.async_accept(use_awaitable);
            stream wire(std::move(socket), tls_);
            try {
                co_await wire.async_handshake(asio::ssl::stream_base::server, use_awaitable);
                resumed.push_back(SSL_session_reused(wire.native_handle()));
                co_await talk(wire);
            } catch (std::system_error const& e) {
                if (is_cancelled(e)) throw;
            }
        }
    }

    std::vector<bool> resumed; ///< by connection
    std::string certificate;   ///< whose the client's was
    std::size_t messages = 0;

private:
    awaitable<std::string> hear(stream& wire) {
        auto const size = co_await asio::async_read_until(wire, asio::dynamic_buffer(pending_),
                                                          "\r\n", use_awaitable);
        auto line = pending_.substr(0, size - 2);
        pending_.erase(0, size);
        co_return line;
    }
    static awaitable<> say(stream& wire, std::string text) {
        text += "\r\n";
        co_await asio::async_write(wire, asio::buffer(text), use_awaitable);
    }

    awaitable<> talk(stream& wire) {
        pending_.clear();
        if (auto* const theirs = SSL_get0_peer_certificate(wire.native_handle())) {
            std::array<char, 256> name{};
            X509_NAME_get_text_by_NID(X509_get_subject_name(theirs), NID_commonName, name.data(),
                                      name.size());
            certificate = name.data();
        }
        co_await say(wire, "220 mx");
        for (;;) {
            auto const line = co_await hear(wire);
            if (line.starts_with("EHLO"))
                co_await say(wire, "250 mx");
            else if (line == "DATA") {
                co_await say(wire, "354 go");
                std::string text = co_await hear(wire);
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

    asio::ip::tcp::acceptor acceptor_;
    asio::ssl::context tls_{asio::ssl::context::tls_server};
    std::string pending_;
};

/// What `talk(server, options)` does to a server that runs meanwhile.
template <class Talk>
void with_server(bool ask, int newest, Talk talk) {
    temporary_folder folder;
    make_certificates(folder.path);
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        tls_server server(executor, folder.path, ask, newest);
        auto how = plain_to(server.port());
        how.tls = smtp::tls::implicit;
        how.host = "mx.test.example";
        how.ca_file = folder.path / "ca.pem";
        std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(server.serve());
            co_await talk(server, std::move(how), folder.path);
        };
        co_await with_group(body);
    };
    test::run(main);
}

} // namespace

TEST_CASE("a TLS session is resumed on the next connection", "[mail]") {
    for (int const newest : {TLS1_2_VERSION, TLS1_3_VERSION})
        with_server(false, newest,
                    [](tls_server& server, smtp::options how, auto const&) -> awaitable<> {
                        auto executor = co_await asio::this_coro::executor;
                        smtp::client client(executor, std::move(how));
                        for (int i = 0; i < 3; ++i) {
                            auto message = letter();
                            auto const sent = co_await client.send(std::move(message));
                            CHECK(sent.all_accepted());
                            co_await client.quit();
                        }
                        CHECK(server.messages == 3);
                        CHECK(server.resumed == std::vector<bool>{false, true, true});
                    });
}

TEST_CASE("a server that asks for a certificate gets ours, and nobody without one", "[mail]") {
    with_server(true, TLS1_3_VERSION,
                [](tls_server& server, smtp::options how, auto const& folder) -> awaitable<> {
                    auto executor = co_await asio::this_coro::executor;
                    auto const certificate = folder / "server.pem", key = folder / "server.key";
                    {
                        smtp::options none;
                        none.addresses = how.addresses, none.port = how.port, none.tls = how.tls;
                        none.host = how.host, none.ca_file = how.ca_file;
                        none.limits = how.limits;
                        smtp::client client(executor, std::move(none));
                        auto message = letter();
                        auto const seen = co_await attempt(client, std::move(message));
                        CHECK_FALSE(seen.receipt);
                        CHECK(server.messages == 0);
                    }
                    how.certificate = certificate, how.key = key;
                    smtp::client client(executor, std::move(how));
                    auto message = letter();
                    auto const sent = co_await client.send(std::move(message));
                    CHECK(sent.all_accepted());
                    CHECK(server.certificate == "mx.test.example");
                    co_await client.quit();
                });
}

TEST_CASE("LMTP over a Unix socket has an answer for each recipient", "[mail]") {
    temporary_folder folder;
    auto const path = (folder.path / "lmtp").string();
    scripted_server::script const steps{
        {step::say, "220 store\r\n"},
        {step::hear, "LHLO client.example\r\n"},
        {step::say, "250-store\r\n250-PIPELINING\r\n250 8BITMIME\r\n"},
        {step::hear, "DATA\r\n"},
        {step::say, "250 ok\r\n250 ok\r\n550 5.1.1 nobody\r\n250 ok\r\n354 go\r\n"},
        {step::hear, "\r\n.\r\n"},
        {step::say, "250 2.0.0 stored\r\n452 4.2.2 full\r\n"},
        {step::hear, "QUIT\r\n"},
        {step::say, "221 bye\r\n"}};
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        asio::local::stream_protocol::acceptor acceptor(
            executor, asio::local::stream_protocol::endpoint(path));
        std::string heard;
        auto const serve = [&]() -> awaitable<> {
            auto socket = co_await acceptor.async_accept(use_awaitable);
            co_await scripted_server::follow(socket, steps, heard);
        };
        smtp::options how;
        how.unix_path = path;
        how.protocol = smtp::protocol::lmtp;
        how.tls = smtp::tls::none;
        how.helo = "client.example";
        smtp::client client(executor, std::move(how));
        std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
            group.spawn(serve());
            auto message = letter("x@c.example, y@c.example, z@c.example");
            auto const sent = co_await client.send(std::move(message));
            CHECK(summary(sent) ==
                  "x@c.example accepted 250; y@c.example refused 550; z@c.example deferred 452");
            co_await client.quit();
        };
        co_await with_group(body);
        CHECK(heard.find("RCPT TO:<z@c.example>\r\n") != heard.npos);
    };
    test::run(main);
}
