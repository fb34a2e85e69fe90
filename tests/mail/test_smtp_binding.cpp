// Logins that are bound to their TLS channel (SCRAM-SHA-256-PLUS), over TLS, against a verifier that
// was written from the RFCs.
#include "mail/tls_server.hpp"
#include "test.hpp"

#include <trawl/smtp.hpp>

using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;

namespace {

using logins = std::vector<std::string>;

smtp::options as_bob(smtp::options how, std::string password = "s3cret") {
    how.user = "bob";
    how.password = net::secret(std::move(password));
    return how;
}

/// A letter that is not sent, because the login is refused; the server's account of it.
logins refused(tls_server::settings settings, std::string password = "s3cret") {
    logins seen;
    with_tls_server(settings,
                    [&](tls_server& server, smtp::options how, auto const&) -> awaitable<> {
                        auto executor = co_await asio::this_coro::executor;
                        smtp::client client(executor, as_bob(std::move(how), password));
                        auto message = letter();
                        auto const sent = co_await attempt(client, std::move(message));
                        REQUIRE(sent.failure);
                        CHECK(sent.failure->code() == smtp::errc::auth_denied);
                        CHECK(server.messages == 0);
                        seen = server.logins;
                    });
    return seen;
}

/// Two letters, the second over a resumed session; the server's account of the logins.
logins accepted_twice(tls_server::settings settings) {
    logins seen;
    with_tls_server(settings,
                    [&](tls_server& server, smtp::options how, auto const&) -> awaitable<> {
                        auto executor = co_await asio::this_coro::executor;
                        smtp::client client(executor, as_bob(std::move(how)));
                        for (int i = 0; i < 2; ++i) {
                            auto message = letter();
                            auto const sent = co_await client.send(std::move(message));
                            CHECK(sent.all_accepted());
                            co_await client.quit();
                        }
                        CHECK(server.resumed == std::vector<bool>{false, true});
                        seen = server.logins;
                    });
    return seen;
}

} // namespace

TEST_CASE("a login is bound to its TLS channel, also to one of a resumed session", "[mail]") {
    for (bool const starttls : {false, true})
        for (int const newest : {TLS1_2_VERSION, TLS1_3_VERSION}) {
            tls_server::settings settings;
            settings.starttls = starttls, settings.newest = newest;
            auto const bound = newest == TLS1_3_VERSION ? "SCRAM-SHA-256-PLUS tls-exporter yes"s
                                                        : "SCRAM-SHA-256-PLUS tls-unique yes"s;
            CHECK(accepted_twice(settings) == logins{bound, bound});
        }
}

TEST_CASE("a login that somebody passes on over another TLS channel is refused", "[mail]") {
    for (bool const starttls : {false, true}) {
        tls_server::settings settings;
        settings.starttls = starttls, settings.elsewhere = true;
        CHECK(refused(settings) == logins{"SCRAM-SHA-256-PLUS tls-exporter no"});
        settings.newest = TLS1_2_VERSION;
        CHECK(refused(settings) == logins{"SCRAM-SHA-256-PLUS tls-unique no"});
    }
}

TEST_CASE("the server learns that somebody took the binding out of what it offers", "[mail]") {
    tls_server::settings settings;
    settings.starttls = settings.hides_plus = true;
    CHECK(refused(settings) == logins{"SCRAM-SHA-256  no"});
}

TEST_CASE("a wrong password is refused though its binding is right", "[mail]") {
    tls_server::settings settings;
    settings.starttls = true;
    CHECK(refused(settings, "secret") == logins{"SCRAM-SHA-256-PLUS tls-exporter no"});
}

TEST_CASE(
    "on a channel that an attacker could copy (RFC 7627) the login is bound to the certificate",
    "[mail]") {
    for (auto const* hash : {"sha256", "sha384"}) {
        tls_server::settings settings;
        settings.newest = TLS1_2_VERSION, settings.weak_tls = true, settings.hash = hash;
        auto const bound = "SCRAM-SHA-256-PLUS tls-server-end-point yes"s;
        CHECK(accepted_twice(settings) == logins{bound, bound});
        settings.elsewhere = true;
        CHECK(refused(settings) == logins{"SCRAM-SHA-256-PLUS tls-server-end-point no"});
    }
}
