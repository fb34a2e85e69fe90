// smtp::direct against name servers and mail servers on loopback.
#include "mail/direct.hpp"

#include "mail/mail_hosts.hpp"
#include "test.hpp"

#include <trawl/smtp_direct.hpp>

#include <set>

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;
using smtp::status;

namespace {

smtp::outgoing message(std::vector<std::string> recipients) {
    smtp::outgoing one;
    one.message_id = "<1@b.example>";
    one.envelope.sender = "a@b.example";
    one.envelope.recipients = std::move(recipients);
    one.content = smtp::outgoing::of({}, "Subject: night run\r\n\r\nok\r\n").content;
    return one;
}

/// d.example with the exchangers mx1 (127.0.0.2) and mx2 (127.0.0.3), in this order.
struct world {
    explicit world(asio::any_io_executor executor, mail_host::script first = {},
                   mail_host::script second = {})
        : names(executor), one(executor, "127.0.0.2", 0, std::move(first)),
          two(executor, "127.0.0.3", one.port(), std::move(second)) {
        names.mx("d.example", 20, "mx2.example");
        names.mx("d.example", 10, "mx1.example");
        names.address("mx1.example", "127.0.0.2");
        names.address("mx2.example", "127.0.0.3");
        how.port = one.port();
        how.helo = "client.example";
        how.limits = smtp::timeouts::scaled(0.1);
    }
    void start(task_group& group) {
        names.server.start(group);
        one.start(group);
        two.start(group);
    }
    dns::resolver::options resolver() const {
        dns::resolver::options made;
        made.servers = {names.server.where()};
        made.timeout = 2s;
        made.tries = 1;
        return made;
    }

    zones names;
    mail_host one, two;
    smtp::direct_options how;
};

/// Sends one message in that world; `prepare` changes it before.
smtp::receipt send(std::function<void(world&)> prepare, smtp::outgoing what,
                   std::function<void(world&)> check = {}, mail_host::script first = {},
                   mail_host::script second = {}) {
    smtp::receipt done;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        world here(executor, first, second);
        if (prepare) prepare(here);
        auto const body = [&](task_group& group) -> awaitable<> {
            here.start(group);
            dns::resolver resolver(executor, here.resolver());
            smtp::direct direct(executor, resolver, here.how);
            auto copy = what;
            done = co_await direct.send(std::move(copy));
            co_await direct.quit();
        };
        co_await with_group(body);
        if (check) check(here);
    };
    test::run(main);
    return done;
}

/// "x@d.example accepted 250 2.0.0; ..."
std::string outcome(smtp::receipt const& done) {
    std::string out;
    for (auto const& r : done.recipients) {
        if (!out.empty()) out += "; ";
        out += r.address + ' ' + std::string(to_string(r.status)) + ' ' + std::to_string(r.code);
        if (!r.enhanced.empty()) out += ' ' + r.enhanced;
    }
    return out;
}

mail_host::script saying(std::string command, std::string reply) {
    return [command, reply](std::string const& line) {
        return line.starts_with(command) ? reply : ""s;
    };
}

} // namespace

TEST_CASE("recipients are grouped by domain, whatever its case and script", "[mail]") {
    auto const groups =
        smtp::detail::by_domain({"a@D.example",
                                 "b@b\xc3\xbc"
                                 "cher.example",
                                 "c@d.example", "local", "d@xn--bcher-kva.example"});
    REQUIRE(groups.size() == 3);
    CHECK(groups[0].domain == "d.example");
    CHECK(groups[0].recipients == std::vector<std::size_t>{0, 2});
    CHECK(groups[1].domain == "xn--bcher-kva.example");
    CHECK(groups[1].recipients == std::vector<std::size_t>{1, 4});
    CHECK(groups[2].none.status == status::refused);
    CHECK(groups[2].none.enhanced == "5.1.3");
}

TEST_CASE("mail goes to the first exchanger, once for all recipients of a domain", "[mail]") {
    auto const done = send({}, message({"x@d.example", "y@D.example"}), [](world& here) {
        REQUIRE(here.one.messages.size() == 1);
        CHECK(here.one.messages[0].to.size() == 2);
        CHECK(here.one.messages[0].from == "a@b.example");
        CHECK(here.one.messages[0].text == "Subject: night run\n\nok\n");
        CHECK(here.two.connections == 0);
    });
    CHECK(outcome(done) == "x@d.example accepted 250 2.0.0; y@D.example accepted 250 2.0.0");
    CHECK(done.message_id == "<1@b.example>");
}

TEST_CASE("the next exchanger is tried when one cannot be reached", "[mail]") {
    auto const prepare = [](world& here) {
        here.names.records[2] = name_server::address("mx1.example", "127.0.0.99");
    };
    auto const done = send(prepare, message({"x@d.example"}),
                           [](world& here) { CHECK(here.two.messages.size() == 1); });
    CHECK(outcome(done) == "x@d.example accepted 250 2.0.0");
}

TEST_CASE("the next exchanger gets the recipients that the first deferred, and no other",
          "[mail]") {
    auto const done = send(
        {}, message({"x@d.example", "y@d.example", "z@d.example"}),
        [](world& here) {
            REQUIRE(here.one.messages.size() == 1);
            CHECK(here.one.messages[0].to == std::vector<std::string>{"x@d.example"});
            REQUIRE(here.two.messages.size() == 1);
            CHECK(here.two.messages[0].to == std::vector<std::string>{"y@d.example"});
        },
        [](std::string const& line) {
            if (line.starts_with("RCPT TO:<y")) return "450 4.2.1 later"s;
            return line.starts_with("RCPT TO:<z") ? "550 5.1.1 nobody"s : ""s;
        });
    CHECK(outcome(done) == "x@d.example accepted 250 2.0.0; y@d.example accepted 250 2.0.0; "
                           "z@d.example refused 550 5.1.1");
}

TEST_CASE("a refusal is final and an unknown outcome is tried nowhere else", "[mail]") {
    auto const untouched = [](world& here) { CHECK(here.two.connections == 0); };
    auto done = send({}, message({"x@d.example"}), untouched, saying("MAIL", "550 5.7.1 no"));
    CHECK(outcome(done) == "x@d.example refused 550 5.7.1");
    done = send({}, message({"x@d.example"}), untouched, saying(".", "close"));
    CHECK(outcome(done) == "x@d.example unknown 0");
}

TEST_CASE("when all exchangers fail the recipients are deferred with the last reason", "[mail]") {
    auto const done = send({}, message({"x@d.example"}), {}, saying("EHLO", "421 4.3.2 closing"),
                           saying("MAIL", "451 4.3.0 disk full"));
    CHECK(outcome(done) == "x@d.example deferred 451 4.3.0");
    CHECK(done.recipients[0].text == "disk full");
}

TEST_CASE("what DNS says about a domain is its recipients' answer", "[mail]") {
    auto const prepare = [](world& here) {
        here.names.missing = {"gone.example"};
        here.names.broken = {"broken.example"};
        here.names.silent = {"silent.example"};
        here.names.mx("null.example", 0, "");
        here.names.mx("self.example", 0, "client.example");
        here.names.mx("dead.example", 0, "nohost.example");
        here.names.address("plain.example", "127.0.0.3");
    };
    auto const done =
        send(prepare, message({"x@gone.example", "x@broken.example", "x@silent.example",
                               "x@null.example", "x@self.example", "x@dead.example",
                               "x@plain.example", "x@[127.0.0.2]", "x"}));
    CHECK(
        outcome(done) ==
        "x@gone.example refused 0 5.1.2; x@broken.example deferred 0 4.4.3; "
        "x@silent.example deferred 0 4.4.3; x@null.example refused 0 5.1.10; "
        "x@self.example refused 0 5.4.6; x@dead.example refused 0 5.4.4; "
        "x@plain.example accepted 250 2.0.0; x@[127.0.0.2] accepted 250 2.0.0; x refused 0 5.1.3");
}

TEST_CASE("an exchanger without address is passed over", "[mail]") {
    auto const prepare = [](world& here) { here.names.mx("d.example", 5, "nohost.example"); };
    CHECK(outcome(send(prepare, message({"x@d.example"}))) == "x@d.example accepted 250 2.0.0");
    auto const dead = [](world& here) {
        here.names.broken = {"mx1.example", "mx2.example"};
        here.names.mx("d.example", 5, "nohost.example");
    };
    CHECK(outcome(send(dead, message({"x@d.example"}))) == "x@d.example deferred 0 4.4.3");
}

TEST_CASE("TLS is used when it is offered, and done without when it does not work", "[mail]") {
    certificates const of("elsewhere.example");
    auto const offer = [&](world& here) {
        here.one.offer_tls(of.file("server.pem"), of.file("server.key"));
    };
    auto done = send(offer, message({"x@d.example"}), [](world& here) {
        REQUIRE(here.one.messages.size() == 1);
        CHECK(here.one.messages[0].tls);
        CHECK(here.one.server_name == "mx1.example");
    });
    CHECK(done.all_accepted());
    auto const broken = [&](world& here) { offer(here), here.one.broken_tls = true; };
    // A server that still offers what it cannot do; the second connection does not ask for it.
    done = send(broken, message({"x@d.example"}), [](world& here) {
        CHECK(here.one.messages.size() == 1);
        CHECK(here.one.connections == 2);
        CHECK(here.two.connections == 0);
    });
    CHECK(done.all_accepted());
    auto const required = [&](world& here) { offer(here), here.how.tls = smtp::tls::required; };
    done = send(required, message({"x@d.example"}), [](world& here) {
        CHECK(here.one.messages.empty());
        CHECK(here.two.messages.empty());
    });
    CHECK(outcome(done) == "x@d.example deferred 0");
    auto const encrypted = [&](world& here) { here.how.tls = smtp::tls::encrypted; };
    CHECK(outcome(send(encrypted, message({"x@d.example"}))) == "x@d.example deferred 0");
}

TEST_CASE("REQUIRETLS needs exchangers that DNSSEC names", "[mail]") {
    auto mail = message({"x@d.example"});
    mail.parameters.require_tls = true;
    auto const untouched = [](world& here) { CHECK(here.one.connections == 0); };
    CHECK(outcome(send({}, mail, untouched)) == "x@d.example refused 0 5.7.30");
}

TEST_CASE("connections are kept, and never more than allowed at a time", "[mail]") {
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        world here(executor);
        here.how.each_exchanger.connections = 2;
        auto const body = [&](task_group& group) -> awaitable<> {
            here.start(group);
            dns::resolver resolver(executor, here.resolver());
            smtp::direct direct(executor, resolver, here.how);
            auto const one = [&]() -> awaitable<> {
                auto mail = message({"x@d.example"});
                auto const done = co_await direct.send(std::move(mail));
                CHECK(done.all_accepted());
            };
            auto const many = [&](task_group& senders) -> awaitable<> {
                for (int i = 0; i < 20; ++i) senders.spawn(one());
                co_return;
            };
            co_await with_group(many);
            CHECK(here.one.messages.size() == 20);
            CHECK(here.one.connections == 2);
            co_await direct.quit();
        };
        co_await with_group(body);
    };
    test::run(main);
}

TEST_CASE("a journal hears of a message before it is sent and of each answer", "[mail]") {
    struct notebook : smtp::journal {
        std::string text;
        mail_host* at = nullptr;
        awaitable<> sending(std::vector<std::size_t> recipients) override {
            text += "sending";
            for (auto const i : recipients) text += ' ' + std::to_string(i);
            text += '\n';
            CHECK(at->messages.empty());
            co_return;
        }
        awaitable<> answered(std::vector<std::size_t> recipients,
                             std::vector<smtp::recipient> answers) override {
            for (std::size_t i = 0; i < recipients.size(); ++i)
                text += std::to_string(recipients[i]) + ' ' +
                        std::string(to_string(answers[i].status)) + '\n';
            co_return;
        }
    } notes;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        world here(executor, saying("RCPT TO:<y", "450 later"));
        notes.at = &here.one;
        auto const body = [&](task_group& group) -> awaitable<> {
            here.start(group);
            dns::resolver resolver(executor, here.resolver());
            smtp::direct direct(executor, resolver, here.how);
            auto mail = message({"z@gone.example", "x@d.example", "y@d.example"});
            here.names.missing = {"gone.example"};
            notes.at = &here.two;
            auto const done = co_await direct.send(std::move(mail), notes);
            CHECK(done.count(status::accepted) == 2);
        };
        co_await with_group(body);
    };
    test::run(main);
    CHECK(notes.text == "sending 1 2\n1 accepted\n2 deferred\nsending 2\n2 accepted\n");
}

TEST_CASE("exchangers are not asked to speak TLS from the first byte", "[mail]") {
    asio::io_context io;
    dns::resolver::options none;
    none.servers = {"127.0.0.1:9"};
    dns::resolver names(io.get_executor(), none);
    smtp::direct_options how;
    how.tls = smtp::tls::implicit;
    CHECK_THROWS_AS(smtp::direct(io.get_executor(), names, how), error);
}
