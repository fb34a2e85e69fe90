#include "mail/peers.hpp"
#include "mail/sending.hpp"
#include "test.hpp"

#include <trawl/smtp.hpp>

#include <asio/local/stream_protocol.hpp>
#include <asio/redirect_error.hpp>

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;
using step = scripted_server::step;
using smtp::status;

TEST_CASE("a silent server costs the greeting's deadline", "[mail]") {
    auto const begin = clock::now();
    auto const seen =
        against({{{step::hang, ""}}}, [](smtp::options& how) { how.limits.banner = 100ms; });
    CHECK(clock::now() - begin < 10s);
    REQUIRE(seen.failure);
    CHECK(seen.failure->code() == trawl::errc::timed_out);
    CHECK(seen.failure->where().ends_with(" greeting"));
}

TEST_CASE("a dripping server does not extend the deadline", "[mail]") {
    auto const begin = clock::now();
    auto const seen = against({{{step::drip, "220-" + std::string(1000, 'x')}}},
                              [](smtp::options& how) { how.limits.banner = 150ms; });
    CHECK(clock::now() - begin < 10s);
    REQUIRE(seen.failure);
    CHECK(seen.failure->code() == trawl::errc::timed_out);
}

TEST_CASE("an endless greeting is cut off", "[mail]") {
    for (auto text : {std::string(10000, 'x'), "220-" + std::string(10000, 'x'), "220-more\r\n"s}) {
        auto const seen = against({{{step::flood, text}}});
        REQUIRE(seen.failure);
        CHECK(seen.failure->code() == smtp::errc::bad_reply);
    }
}

TEST_CASE("replies with a NUL or with codes that differ end the dialogue", "[mail]") {
    for (auto reply : {"250 o\0k\r\n250 ok\r\n354 go\r\n"s,
                       "250-ok\r\n550-no\r\n250 ok\r\n250 ok\r\n354 go\r\n"s, "999 ok\r\n"s}) {
        auto const seen = against({then(until_data(), {{step::say, reply}, {step::hang, ""}})});
        REQUIRE(seen.failure);
        CHECK(seen.failure->code() == smtp::errc::bad_reply);
        CHECK(seen.failure->where().ends_with(" envelope"));
    }
}

TEST_CASE("a connection closed or silent behind the final dot leaves the outcome unknown",
          "[mail]") {
    scripted_server::script const accepting{{step::say, "250 ok\r\n250 ok\r\n354 go\r\n"},
                                            {step::hear, "\r\n.\r\n"}};
    for (auto last : {step{step::close, ""}, step{step::reset, ""}, step{step::hang, ""},
                      step{step::drip, "250 nearly"}, step{step::say, "250-ok\r\n550 ok\r\n"}}) {
        auto const seen = against({then(until_data(), then(accepting, {last}))},
                                  [](smtp::options& how) { how.limits.dot = 100ms; });
        REQUIRE(seen.receipt);
        CHECK(summary(*seen.receipt) == "x@c.example unknown 0");
    }
}

TEST_CASE("a connection reset in the middle of a large message is an error", "[mail]") {
    auto const seen = against({then(until_data(), {{step::say, "250 ok\r\n250 ok\r\n354 go\r\n"},
                                                   {step::hear, "xxxx"},
                                                   {step::reset, ""}})},
                              {}, "x@c.example", nullptr, lines(12'000'000));
    REQUIRE(seen.failure);
    CHECK(seen.failure->where().ends_with(" message"));
}

TEST_CASE("a server that stops reading costs the block's deadline", "[mail]") {
    auto const seen = against(
        {then(until_data(), {{step::say, "250 ok\r\n250 ok\r\n354 go\r\n"}, {step::hang, ""}})},
        [](smtp::options& how) { how.limits.block = 100ms; }, "x@c.example", nullptr,
        lines(12'000'000));
    REQUIRE(seen.failure);
    CHECK(seen.failure->code() == trawl::errc::timed_out);
    CHECK(seen.failure->where().ends_with(" message"));
}

TEST_CASE("421 in the middle of a group defers who has no answer", "[mail]") {
    auto const seen =
        against({then(until_data(), {{step::say, "250 ok\r\n550 no\r\n421 4.3.2 going down\r\n"},
                                     {step::close, ""}})},
                {}, "x@c.example, y@c.example, z@c.example");
    REQUIRE(seen.receipt);
    CHECK(summary(*seen.receipt) ==
          "x@c.example refused 550; y@c.example deferred 421; z@c.example deferred 421");
}

TEST_CASE("354 with nobody left is answered by a lone dot and the connection lives on", "[mail]") {
    std::string heard;
    auto const seen = against({then(until_data(), {{step::say, "250 ok\r\n550 no\r\n354 go\r\n"},
                                                   {step::hear, ".\r\n"},
                                                   {step::say, "554 nobody\r\n"},
                                                   {step::hang, ""}})},
                              {}, "x@c.example", &heard);
    REQUIRE(seen.receipt);
    CHECK(summary(*seen.receipt) == "x@c.example refused 550");
    CHECK(
        heard ==
        "EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@c.example>\r\nDATA\r\n.\r\n");
}

TEST_CASE("bytes behind the reply to STARTTLS end the connection", "[mail]") {
    std::string heard;
    auto const seen = against(
        {{{step::say, "220 mx\r\n"},
          {step::hear, "\r\n"},
          {step::say, "250-mx\r\n250 STARTTLS\r\n"},
          {step::hear, "STARTTLS\r\n"},
          {step::say, "220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n"},
          {step::hang, ""}}},
        [](smtp::options& how) { how.tls = smtp::tls::required; }, "x@c.example", &heard);
    REQUIRE(seen.failure);
    CHECK(seen.failure->code() == smtp::errc::injected_reply);
    CHECK(heard == "EHLO client.example\r\nSTARTTLS\r\n");
}

TEST_CASE("a handshake that never comes or is garbage ends", "[mail]") {
    scripted_server::script const offering{{step::say, "220 mx\r\n"},
                                           {step::hear, "\r\n"},
                                           {step::say, "250-mx\r\n250 STARTTLS\r\n"},
                                           {step::hear, "STARTTLS\r\n"},
                                           {step::say, "220 go\r\n"}};
    auto const short_tls = [](smtp::options& how) {
        how.tls = smtp::tls::required, how.limits.tls = 100ms;
    };
    auto const silent = against({then(offering, {{step::hang, ""}})}, short_tls);
    REQUIRE(silent.failure);
    CHECK(silent.failure->code() == trawl::errc::timed_out);
    CHECK(silent.failure->where().ends_with(" TLS"));
    // A client hello is longer than this; what follows is no TLS record.
    auto const garbage = against({then(offering, {{step::hear, std::string("\x03", 1)},
                                                  {step::say, "this is no TLS at all\r\n"},
                                                  {step::hang, ""}})},
                                 [](smtp::options& how) { how.tls = smtp::tls::required; });
    REQUIRE(garbage.failure);
    CHECK(garbage.failure->code() != trawl::errc::timed_out);
}

TEST_CASE("a kept connection that died while idle is replaced once", "[mail]") {
    auto const main = []() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        scripted_server::script const taking =
            then(until_data(), {{step::say, "250 ok\r\n250 ok\r\n354 go\r\n"},
                                {step::hear, "\r\n.\r\n"},
                                {step::say, "250 taken\r\n"}});
        scripted_server server(executor,
                               {then(taking, {{step::close, ""}}),
                                then(taking, {{step::say, "421 idle\r\n"}, {step::close, ""}}),
                                then(taking, {{step::hang, ""}})});
        smtp::client client(executor, plain_to(server.port()));
        std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(server.serve());
            for (std::size_t i = 1; i <= 3; ++i) {
                auto const receipt = co_await client.send(letter());
                CHECK(summary(receipt) == "x@c.example accepted 250");
                CHECK(server.connections() == i);
            }
        };
        co_await with_group(body);
    };
    test::run(main);
}

TEST_CASE("sends of one client take turns on one connection", "[mail]") {
    test::smtp_sink server({});
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        smtp::client client(executor, plain_to(server.port));
        std::size_t accepted = 0;
        auto one = [&]() -> awaitable<> {
            auto const receipt = co_await client.send(letter());
            accepted += receipt.count(status::accepted);
        };
        std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 20; ++i) group.spawn(one());
            co_return;
        };
        co_await with_group(body);
        CHECK(accepted == 20);
        co_await client.quit();
    };
    test::run(main);
    CHECK(server.messages().size() == 20);
}

TEST_CASE("a send cancelled at any step closes the connection and leaves the client fit for use",
          "[mail]") {
    scripted_server::script const steps = then(
        until_data(), {{step::say, "250 ok\r\n250 ok\r\n354 go\r\n"}, {step::hear, "\r\n.\r\n"}});
    for (std::size_t at = 0; at <= steps.size(); ++at) {
        scripted_server::script cut(steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(at));
        cut.push_back({step::hang, ""});
        auto const main = [&]() -> awaitable<> {
            auto executor = co_await asio::this_coro::executor;
            scripted_server server(executor, {cut});
            smtp::client client(executor, plain_to(server.port()));
            std::function<awaitable<>(task_group&)> const body =
                [&](task_group& group) -> awaitable<> {
                group.spawn_background(server.serve());
                auto sending = attempt(client, letter());
                auto const seen = co_await within(30ms, std::move(sending));
                CHECK_FALSE(seen);
                CHECK_FALSE(client.connected());
            };
            co_await with_group(body);
            co_await client.quit(); // nothing to say, nobody to say it to
        };
        test::run(main);
    }
}

TEST_CASE("a connection made by somebody else is used and not replaced", "[mail]") {
    test::smtp_sink server({});
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        asio::ip::tcp::socket socket(executor);
        asio::ip::tcp::endpoint const where(asio::ip::address_v4::loopback(), server.port);
        co_await socket.async_connect(where, asio::use_awaitable);
        auto how = plain_to(1);
        smtp::client client(std::move(socket), std::move(how));
        mime::envelope envelope{"", {"x@c.example"}};
        auto sending = client.send(envelope, "Subject: raw\n\nbare\rends\n.");
        auto const receipt = co_await std::move(sending);
        CHECK(summary(receipt) == "x@c.example accepted 250");
        co_await client.quit();
        auto const again = co_await attempt(client, letter());
        REQUIRE(again.failure);
        CHECK(again.failure->code() == net::errc::no_address);
    };
    test::run(main);
    CHECK(server.messages().at(0).find("X-Mail-Args: <>") != std::string::npos);
    CHECK(server.messages().at(0).ends_with("Subject: raw\n\nbare\nends\n.\n\n"));
}

TEST_CASE("nobody listening is an error that names the server", "[mail]") {
    auto const port = test::free_port();
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        smtp::client client(executor, plain_to(port));
        auto const seen = co_await attempt(client, letter());
        REQUIRE(seen.failure);
        CHECK(seen.failure->code() == asio::error::connection_refused);
        CHECK(std::string(seen.failure->what()).find("127.0.0.1:" + std::to_string(port)) !=
              std::string::npos);
    };
    test::run(main);
}

TEST_CASE("no address and no option can forge a command", "[mail]") {
    auto const main = []() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        smtp::client client(executor, plain_to(1));
        for (auto evil : {"x@c.example>\r\nRCPT TO:<y@c.example"s, "x@c.example\n"s, "x y@c"s,
                          "<x@c.example>"s, ""s, "x@c.example\0"s}) {
            bool refused = false;
            mime::envelope envelope{"a@b.example", {evil}};
            try {
                auto sending = client.send(std::move(envelope), "text");
                (void)co_await std::move(sending);
            } catch (error const& e) {
                refused = e.code() == mime::errc::bad_address;
            }
            CHECK(refused);
        }
        for (auto evil : {"a b", "a\r\nMAIL", "a\t"}) {
            auto how = plain_to(1);
            how.helo = evil;
            CHECK_THROWS_AS(smtp::client(executor, std::move(how)), error);
        }
    };
    test::run(main);
}

TEST_CASE("timeouts scale together and stay positive", "[mail]") {
    CHECK(smtp::timeouts::scaled(1).dot == 600s);
    CHECK(smtp::timeouts::scaled(0.5).banner == 150s);
    CHECK(smtp::timeouts::scaled(1e-9).quit == 1ms);
}

TEST_CASE("a Unix socket with a full backlog is tried again until the deadline", "[mail]") {
    temporary_folder folder;
    auto const path = (folder.path / "socket").string();
    auto const body = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        asio::local::stream_protocol::acceptor full(executor);
        full.open();
        full.bind(path);
        full.listen(0);
        asio::local::stream_protocol::socket first(executor);
        first.connect(path); // all that the backlog takes
        smtp::options how;
        how.unix_path = path;
        how.tls = smtp::tls::none;
        how.limits.connect = 100ms;
        smtp::client client(executor, std::move(how));
        std::size_t turns = 0; // of the loop, meanwhile
        auto count = [&]() -> awaitable<> {
            for (;; ++turns) co_await sleep_for(1ms);
        };
        outcome seen;
        auto both = [&](task_group& group) -> awaitable<> {
            group.spawn_background(count());
            auto message = letter();
            seen = co_await attempt(client, std::move(message));
        };
        co_await with_group(both);
        REQUIRE(seen.failure);
        CHECK(seen.failure->code() == trawl::errc::timed_out);
        CHECK(turns > 2);
    };
    test::run(body);
}

TEST_CASE("a Unix socket that nobody serves, or whose path is too long, is an error", "[mail]") {
    temporary_folder folder;
    auto const body = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        for (auto const& name : {"nobody"s, std::string(200, 'x')}) {
            smtp::options how;
            how.unix_path = (folder.path / name).string();
            smtp::client client(executor, std::move(how));
            auto message = letter();
            auto const seen = co_await attempt(client, std::move(message));
            REQUIRE(seen.failure);
            CHECK(std::string(seen.failure->what()).find(name) != std::string::npos);
        }
    };
    test::run(body);
}
