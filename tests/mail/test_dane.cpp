// DANE for SMTP (RFC 7672): what TLSA records mean, and certificates that have to match them.
#include "mail/dane.hpp"

#include "mail/mail_hosts.hpp"
#include "test.hpp"

#include <trawl/smtp_direct.hpp>

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;
using smtp::status;
using smtp::detail::dane_of;
using smtp::detail::is_usable;

namespace {

dns::answer records(std::vector<dns::tlsa> all, bool authenticated = true) {
    dns::answer made;
    made.status = dns::status::answered;
    made.authenticated = authenticated;
    for (auto& one : all) made.values.emplace_back(std::move(one));
    return made;
}

certificates const& of_mx1() {
    static certificates const made("mx1.d.example");
    return made;
}

struct world {
    explicit world(asio::any_io_executor executor)
        : names(executor), host(executor, "127.0.0.2", 0) {
        names.secure = true;
        names.mx("d.example", 10, "mx1.d.example");
        names.address("mx1.d.example", "127.0.0.2");
        host.offer_tls(of_mx1().file("chain.pem"), of_mx1().file("server.key"));
        how.port = host.port();
        how.helo = "client.example";
        how.limits = smtp::timeouts::scaled(0.1);
    }
    void tlsa(dns::tlsa const& one) { names.tlsa(host.port(), "mx1.d.example", one); }
    zones names;
    mail_host host;
    smtp::direct_options how;
};

/// What became of a message to d.example: "accepted over TLS", "accepted in plain text",
/// "deferred: REASON".
std::string send(std::function<void(world&)> prepare, bool require_tls = false) {
    std::string came;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        world here(executor);
        prepare(here);
        auto const body = [&](task_group& group) -> awaitable<> {
            here.names.server.start(group);
            here.host.start(group);
            dns::resolver::options from;
            from.servers = {here.names.server.where()};
            from.timeout = 2s;
            from.tries = 1;
            dns::resolver resolver(executor, from);
            smtp::direct direct(executor, resolver, here.how);
            smtp::outgoing one;
            one.envelope.sender = "a@b.example";
            one.envelope.recipients = {"x@d.example"};
            one.parameters.require_tls = require_tls;
            one.content = smtp::outgoing::of({}, "Subject: s\r\n\r\nok\r\n").content;
            auto const done = co_await direct.send(std::move(one));
            auto const& answer = done.recipients.at(0);
            came = to_string(answer.status);
            if (answer.status == status::accepted)
                came += here.host.messages.at(0).tls ? " over TLS" : " in plain text";
            else
                came += ": " + answer.text;
            CHECK(here.host.messages.size() == done.count(status::accepted));
            co_await direct.quit();
        };
        co_await with_group(body);
    };
    test::run(main);
    return came;
}

bool contains(std::string const& text, std::string const& part) {
    return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE("records of usage 2 and 3 with whole digests are usable", "[mail]") {
    std::string const sha256(32, 'a'), sha512(64, 'b');
    for (std::uint8_t usage : {std::uint8_t{2}, std::uint8_t{3}})
        for (std::uint8_t selector : {std::uint8_t{0}, std::uint8_t{1}}) {
            CHECK(is_usable({usage, selector, 0, "der"}));
            CHECK(is_usable({usage, selector, 1, sha256}));
            CHECK(is_usable({usage, selector, 2, sha512}));
        }
    for (auto const& bad : std::vector<dns::tlsa>{{0, 1, 1, sha256},
                                                  {1, 1, 1, sha256},
                                                  {4, 1, 1, sha256},
                                                  {255, 1, 1, sha256},
                                                  {3, 2, 1, sha256},
                                                  {3, 1, 3, sha256},
                                                  {3, 1, 1, sha512},
                                                  {3, 1, 2, sha256},
                                                  {3, 1, 1, ""},
                                                  {3, 1, 0, ""}})
        CHECK_FALSE(is_usable(bad));
}

TEST_CASE("records count only when DNSSEC proved them", "[mail]") {
    dns::tlsa const good{3, 1, 1, std::string(32, 'a')}, useless{1, 1, 1, std::string(32, 'a')};
    CHECK(dane_of(records({good}), "mx").records.size() == 1);
    CHECK(dane_of(records({good}), "mx").encrypted);
    CHECK_FALSE(dane_of(records({good}, false), "mx").encrypted);
    CHECK(dane_of(records({good}, false), "mx").records.empty());
    CHECK(dane_of(records({useless, good}), "mx").records.size() == 1);
    CHECK(dane_of(records({useless}), "mx").encrypted);
    CHECK(dane_of(records({useless}), "mx").records.empty());
    dns::answer none;
    none.status = dns::status::no_such_name;
    CHECK_FALSE(dane_of(none, "mx").none);
    CHECK_FALSE(dane_of(none, "mx").encrypted);
    none.status = dns::status::server_failure;
    none.why = dns::errc::server_failure;
    CHECK(dane_of(none, "mx").none.status == status::deferred);
}

TEST_CASE("a certificate that a record stands for is believed", "[mail]") {
    for (std::uint8_t selector : {std::uint8_t{0}, std::uint8_t{1}})
        for (std::uint8_t matching : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{2}}) {
            auto const by_itself = [&](world& here) {
                here.tlsa(of_mx1().record("server.pem", 3, selector, matching));
            };
            CHECK(send(by_itself) == "accepted over TLS");
            auto const by_authority = [&](world& here) {
                here.tlsa(of_mx1().record("ca.pem", 2, selector, matching));
            };
            CHECK(send(by_authority) == "accepted over TLS");
        }
}

TEST_CASE("a certificate that no record stands for gets no mail", "[mail]") {
    auto const other = [](world& here) {
        here.tlsa({3, 1, 1, std::string(32, 'a')});
        here.tlsa({2, 0, 2, std::string(64, 'a')});
    };
    auto const came = send(other);
    CHECK(contains(came, "deferred: "));
    CHECK(contains(came, "TLSA"));
    // The authority's record stands for no certificate of the server's own (usage 3).
    CHECK(contains(send([](world& here) { here.tlsa(of_mx1().record("ca.pem", 3, 1, 1)); }),
                   "deferred: "));
    // One of several is enough.
    auto const two = [](world& here) {
        here.tlsa({3, 1, 1, std::string(32, 'a')});
        here.tlsa(of_mx1().record("server.pem", 3, 1, 1));
    };
    CHECK(send(two) == "accepted over TLS");
}

TEST_CASE("records demand TLS, also of a server that does not offer it", "[mail]") {
    auto const plain = [](world& here) {
        here.tlsa(of_mx1().record("server.pem", 3, 1, 1));
        here.host.offer_no_tls();
    };
    CHECK(contains(send(plain), "deferred: "));
    auto const broken = [](world& here) {
        here.tlsa(of_mx1().record("server.pem", 3, 1, 1));
        here.host.broken_tls = true;
    };
    CHECK(contains(send(broken), "deferred: "));
    // Records of which none is usable demand TLS, not a certificate.
    auto const useless = [](world& here) { here.tlsa({1, 1, 1, std::string(32, 'a')}); };
    CHECK(send(useless) == "accepted over TLS");
    auto const useless_and_plain = [&](world& here) {
        useless(here);
        here.host.offer_no_tls();
    };
    CHECK(contains(send(useless_and_plain), "deferred: "));
}

TEST_CASE("a certificate of usage 2 has to name the exchanger or the domain", "[mail]") {
    certificates const foreign("elsewhere.example"), domains("d.example");
    auto const with = [](certificates const& of) {
        return [&of](world& here) {
            here.host.offer_tls(of.file("chain.pem"), of.file("server.key"));
            here.tlsa(of.record("ca.pem", 2, 0, 1));
        };
    };
    CHECK(contains(send(with(foreign)), "deferred: "));
    CHECK(send(with(domains)) == "accepted over TLS");
    // Usage 3 cares for no name.
    auto const own = [&](world& here) {
        here.host.offer_tls(foreign.file("server.pem"), foreign.file("server.key"));
        here.tlsa(foreign.record("server.pem", 3, 1, 1));
    };
    CHECK(send(own) == "accepted over TLS");
}

TEST_CASE("records that are not proved on the whole way there count for nothing", "[mail]") {
    for (auto const* weak : {"d.example", "mx1.d.example", ""}) {
        auto const prepare = [&](world& here) {
            here.tlsa({3, 1, 1, std::string(32, 'a')});
            here.names.insecure.insert(
                *weak ? weak : "_" + std::to_string(here.host.port()) + "._tcp.mx1.d.example");
        };
        CHECK(send(prepare) == "accepted over TLS");
    }
    auto const off = [](world& here) {
        here.tlsa({3, 1, 1, std::string(32, 'a')});
        here.how.dane = false;
    };
    CHECK(send(off) == "accepted over TLS");
}

TEST_CASE("an exchanger whose records cannot be asked for gets nothing", "[mail]") {
    auto const hidden = [](world& here) {
        here.names.broken.insert("_" + std::to_string(here.host.port()) + "._tcp.mx1.d.example");
    };
    auto const came = send(hidden);
    CHECK(contains(came, "deferred: dns mx1.d.example TLSA: "));
}

TEST_CASE("records are looked for behind an exchanger's aliases first", "[mail]") {
    auto const by_alias = [](bool behind) {
        return [behind](world& here) {
            here.names.records.erase(here.names.records.begin());
            here.names.mx("d.example", 10, "alias.d.example");
            here.names.alias("alias.d.example", "mx1.d.example");
            auto const record = behind ? of_mx1().record("ca.pem", 2, 1, 1)
                                       : of_mx1().record("server.pem", 3, 1, 1);
            here.names.tlsa(here.host.port(), behind ? "mx1.d.example" : "alias.d.example", record);
        };
    };
    CHECK(send(by_alias(true)) == "accepted over TLS");
    CHECK(send(by_alias(false)) == "accepted over TLS");
    auto const wrong = [&](world& here) {
        by_alias(false)(here);
        here.names.tlsa(here.host.port(), "mx1.d.example", {3, 1, 1, std::string(32, 'a')});
    };
    CHECK(contains(send(wrong), "deferred: "));
}

TEST_CASE("REQUIRETLS goes where DNSSEC and a record of it lead, if that server keeps it",
          "[mail]") {
    auto const proved = [](world& here) { here.tlsa(of_mx1().record("server.pem", 3, 1, 1)); };
    CHECK(send(proved, true) == "refused: not sent: the server does not offer REQUIRETLS");
    CHECK(contains(send([](world&) {}, true), "deferred: ")); // no authority knows the certificate
}
