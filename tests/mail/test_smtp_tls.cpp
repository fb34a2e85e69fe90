// TLS with a server of our own: sessions that are resumed, certificates of clients. And LMTP over a
// Unix socket.
#include "mail/tls_server.hpp"
#include "test.hpp"

#include <trawl/smtp.hpp>

#include <asio/local/stream_protocol.hpp>

using namespace trawl;
using namespace trawl::test;
using step = scripted_server::step;
using asio::use_awaitable;

TEST_CASE("a TLS session is resumed on the next connection", "[mail]") {
    for (int const newest : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        tls_server::settings settings;
        settings.newest = newest;
        with_tls_server(settings,
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
}

TEST_CASE("authorities that were replaced on disk are believed from the next client on", "[mail]") {
    with_tls_server(
        {}, [](tls_server& server, smtp::options how, auto const& folder) -> awaitable<> {
            auto executor = co_await asio::this_coro::executor;
            auto const file = folder / "believed.pem";
            how.ca_file = file;
            for (auto const* now : {"other.pem", "ca.pem", "ca.pem", "other.pem"}) {
                write_file(file, read_file(folder / now) + '\n' + std::string(now) + '\n');
                smtp::options same;
                same.addresses = how.addresses, same.port = how.port, same.tls = how.tls;
                same.host = how.host, same.ca_file = how.ca_file, same.limits = how.limits;
                smtp::client client(executor, std::move(same));
                auto message = letter();
                auto const seen = co_await attempt(client, std::move(message));
                CHECK(seen.receipt.has_value() == (now == std::string_view("ca.pem")));
                co_await client.quit();
            }
            CHECK(server.messages == 2);
        });
}

TEST_CASE("a server that asks for a certificate gets ours, and nobody without one", "[mail]") {
    tls_server::settings settings;
    settings.asks = true;
    with_tls_server(
        settings, [](tls_server& server, smtp::options how, auto const& folder) -> awaitable<> {
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
