// smtp::client against servers that others run: Postfix's smtp-sink and aiosmtpd.
#include "mail/aiosmtpd.hpp"
#include "mail/peers.hpp"
#include "mail/sending.hpp"
#include "test.hpp"

#include <regex>

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;
using smtp::status;

namespace {

smtp::receipt send_to_sink(std::vector<std::string> flags, mime::message message,
                           std::string* stored = nullptr) {
    test::smtp_sink server(std::move(flags));
    smtp::receipt receipt;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        smtp::client client(executor, plain_to(server.port));
        receipt = co_await client.send(message);
        co_await client.quit();
        CHECK_FALSE(client.connected());
    };
    test::run(main);
    if (!stored) return receipt; // smtp-sink removes what was not accepted, at any moment
    auto const found = server.messages();
    *stored = found.empty() ? "" : found.front();
    return receipt;
}

outcome send_to(aiosmtpd const& server, std::function<void(smtp::options&)> change,
                mime::message message = letter()) {
    outcome seen;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = plain_to(server.port);
        change(how);
        smtp::client client(executor, std::move(how));
        auto copy = message;
        seen = co_await attempt(client, std::move(copy));
        co_await client.quit();
    };
    test::run(main);
    return seen;
}

} // namespace

TEST_CASE("smtp-sink takes messages over one kept connection", "[mail]") {
    test::smtp_sink server({});
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        smtp::client client(executor, plain_to(server.port));
        for (int i = 0; i < 3; ++i) {
            auto message =
                letter("x@c.example, y@c.example", ".dot " + std::to_string(i) + "\n.\n");
            message.bcc("hidden@c.example");
            auto const receipt = co_await client.send(message);
            CHECK(summary(receipt) == "x@c.example accepted 250; y@c.example accepted 250; "
                                      "hidden@c.example accepted 250");
            CHECK(receipt.message_id == message.message_id());
            CHECK(receipt.recipients[0].enhanced == "2.0.0");
            CHECK(client.connected());
        }
        co_await client.quit();
    };
    test::run(main);
    auto const stored = server.messages();
    REQUIRE(stored.size() == 3);
    for (auto const& message : stored) {
        CHECK(message.find("X-Helo-Args: client.example\n") != std::string::npos);
        CHECK(message.find("X-Mail-Args: <a@b.example>") != std::string::npos);
        CHECK(message.find("X-Rcpt-Args: <hidden@c.example>\n") != std::string::npos);
        auto const content = message.substr(message.find("Date: "));
        CHECK(content.find("hidden") == std::string::npos);
        CHECK(content.find("Subject: night run\n") != std::string::npos);
        CHECK(std::regex_search(content, std::regex("\n\n\\.dot [0-2]\n\\.\n\n$")));
    }
}

TEST_CASE("a server without 8BITMIME gets a message of 7 bits", "[mail]") {
    std::string stored;
    auto message = letter("x@c.example", "gr\xc3\xbc\xc3\x9f dich\n");
    CHECK(send_to_sink({"-8"}, message, &stored).all_accepted());
    CHECK(stored.find("\n\ngr=C3=BC=C3=9F dich\n") != std::string::npos);
    CHECK(send_to_sink({}, message, &stored).all_accepted());
    CHECK(stored.find("X-Mail-Args: <a@b.example> BODY=8BITMIME\n") != std::string::npos);
    CHECK(stored.find("\n\ngr\xc3\xbc\xc3\x9f dich\n") != std::string::npos);
}

TEST_CASE("servers without PIPELINING or EHLO are served", "[mail]") {
    std::string stored;
    CHECK(send_to_sink({"-p"}, letter("x@c.example, y@c.example"), &stored).all_accepted());
    CHECK(stored.find("X-Client-Proto: ESMTP\n") != std::string::npos);
    CHECK(send_to_sink({"-e"}, letter("x@c.example, y@c.example"), &stored).all_accepted());
    CHECK(stored.find("X-Client-Proto: SMTP\n") != std::string::npos);
}

TEST_CASE("what smtp-sink refuses, defers or leaves open is told per recipient", "[mail]") {
    CHECK(summary(send_to_sink({"-f", "RCPT"}, letter())) == "x@c.example refused 500");
    CHECK(summary(send_to_sink({"-r", "RCPT"}, letter())) == "x@c.example deferred 450");
    CHECK(summary(send_to_sink({"-f", "MAIL"}, letter())) == "x@c.example refused 500");
    CHECK(summary(send_to_sink({"-r", "."}, letter())) == "x@c.example deferred 450");
    CHECK(summary(send_to_sink({"-f", "DATA"}, letter())) == "x@c.example refused 500");
    CHECK(summary(send_to_sink({"-Q", "RCPT"}, letter("x@c.example, y@c.example"))) ==
          "x@c.example deferred 421; y@c.example deferred 421");
    CHECK(summary(send_to_sink({"-Q", "."}, letter())) == "x@c.example deferred 421");
    CHECK(summary(send_to_sink({"-q", "."}, letter())) == "x@c.example unknown 0");
}

TEST_CASE("a server that answers a large message early and reads no more is understood at once",
          "[mail]") {
    // The deadline of a block would be 36 s.
    auto const begin = clock::now();
    CHECK(summary(send_to_sink({"-A", "0"}, letter("x@c.example", lines(12'000'000)))) ==
          "x@c.example refused 550");
    CHECK(clock::now() - begin < 20s);
}

TEST_CASE("a large message arrives whole", "[mail]") {
    std::string text, stored;
    for (int i = 0; i < 40000; ++i) text += ".line " + std::to_string(i) + '\n';
    CHECK(send_to_sink({}, letter("x@c.example", text), &stored).all_accepted());
    bool const same = stored.substr(stored.find("\n\n.line 0\n") + 2) == text + '\n';
    CHECK(same);
}

TEST_CASE("aiosmtpd answers for each recipient", "[mail]") {
    aiosmtpd server("plain");
    auto const none = [](smtp::options&) {};
    auto const seen = send_to(server, none, letter("x@c.example, no@c.example, later@c.example"));
    REQUIRE(seen.receipt);
    CHECK(summary(*seen.receipt) ==
          "x@c.example accepted 250; no@c.example refused 550; later@c.example deferred 451");
    CHECK(seen.receipt->recipients[1].enhanced == "5.1.1");
    CHECK(seen.receipt->recipients[1].text == "no such user");
    CHECK(server.session() == "(False, None, 'a@b.example', ['x@c.example'])");
    CHECK(server.message().ends_with("\r\n\r\nok\r\n"));
}

TEST_CASE("STARTTLS with a certificate of our own authority", "[mail]") {
    aiosmtpd server("starttls");
    for (auto const host : {"mx.test.example", ""}) { // by name, and by address
        auto const seen = send_to(server, [&](smtp::options& how) {
            how.tls = smtp::tls::required;
            how.ca_file = server.ca();
            how.host = host;
            how.user = "bob";
            how.password = net::secret("s3cret");
        });
        INFO((seen.failure ? seen.failure->what() : ""));
        REQUIRE(seen.receipt);
        CHECK(seen.receipt->all_accepted());
        CHECK(server.session() == "(True, b'bob', 'a@b.example', ['x@c.example'])");
    }
}

TEST_CASE("a certificate that does not fit ends the connection before anything is said", "[mail]") {
    aiosmtpd server("starttls");
    auto const refused = [&](std::function<void(smtp::options&)> change) {
        auto const seen = send_to(server, [&](smtp::options& how) {
            how.tls = smtp::tls::required;
            how.ca_file = server.ca();
            how.host = "mx.test.example";
            change(how);
        });
        REQUIRE(seen.failure);
        CHECK(seen.failure->where().ends_with(" TLS"));
        return seen.failure->said();
    };
    CHECK(refused([&](smtp::options& how) { how.host = "other.test.example"; }) ==
          "hostname mismatch");
    CHECK(refused([&](smtp::options& how) { how.ca_file = server.folder.path / "other.pem"; }) ==
          "unable to get local issuer certificate");
    CHECK(refused([&](smtp::options& how) { how.ca_file.clear(); }) ==
          "unable to get local issuer certificate");
    (void)refused([&](smtp::options& how) { how.ca_file = "/no/such/file"; });
    CHECK_FALSE(std::filesystem::exists(server.folder.path / "message"));

    auto const seen =
        send_to(server, [](smtp::options& how) { how.tls = smtp::tls::opportunistic; });
    REQUIRE(seen.receipt);
    CHECK(server.session() == "(True, None, 'a@b.example', ['x@c.example'])");
}

TEST_CASE("required TLS fails closed against a server without it", "[mail]") {
    aiosmtpd server("plain");
    auto const seen = send_to(server, [](smtp::options& how) { how.tls = smtp::tls::required; });
    REQUIRE(seen.failure);
    CHECK(seen.failure->code() == smtp::errc::tls_unavailable);
    CHECK(seen.failure->what() ==
          "smtp 127.0.0.1:" + std::to_string(server.port) +
              " EHLO: TLS is required and not available (the server does not offer STARTTLS)");
}

TEST_CASE("implicit TLS, and AUTH LOGIN on loopback", "[mail]") {
    aiosmtpd implicit("implicit");
    auto seen = send_to(implicit, [&](smtp::options& how) {
        how.tls = smtp::tls::implicit;
        how.ca_file = implicit.ca();
    });
    INFO((seen.failure ? seen.failure->what() : ""));
    REQUIRE(seen.receipt);
    CHECK(seen.receipt->all_accepted());

    aiosmtpd login("login");
    seen = send_to(
        login, [](smtp::options& how) { how.user = "bob", how.password = net::secret("s3cret"); });
    REQUIRE(seen.receipt);
    CHECK(login.session() == "(False, b'bob', 'a@b.example', ['x@c.example'])");
    seen = send_to(
        login, [](smtp::options& how) { how.user = "bob", how.password = net::secret("wr0ng"); });
    REQUIRE(seen.failure);
    CHECK(seen.failure->code() == smtp::errc::auth_denied);
    CHECK(seen.failure->where().ends_with(" AUTH"));
    CHECK(seen.failure->said().starts_with("535 5.7.8"));
    CHECK(seen.failure->what() ==
          std::regex_replace(std::string(seen.failure->what()), std::regex("wr0ng"), ""));
}

TEST_CASE("a large message goes through TLS while replies are awaited", "[mail]") {
    aiosmtpd server("starttls");
    std::string text;
    for (int i = 0; i < 50000; ++i) text += "line " + std::to_string(i) + "\r\n";
    auto const tls = [&](smtp::options& how) {
        how.tls = smtp::tls::required, how.ca_file = server.ca();
    };
    auto const seen = send_to(server, tls, letter("x@c.example", text));
    INFO((seen.failure ? seen.failure->what() : ""));
    REQUIRE(seen.receipt);
    CHECK(seen.receipt->all_accepted());
    CHECK(server.message().ends_with("\r\n\r\n" + text));
}
