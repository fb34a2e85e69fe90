// MTA-STS (RFC 8461): records, policies, the fetch over HTTPS, and mail to domains that have one.
#include "mail/sts.hpp"

#include "mail/sts_cache.hpp"
#include "mail/sts_world.hpp"

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;
using namespace trawl::smtp::detail;
using smtp::status;
using mode = smtp::detail::sts_mode;

namespace {

dns::answer texts(std::vector<std::vector<std::string>> records) {
    dns::answer made;
    made.status = dns::status::answered;
    for (auto& strings : records) made.values.emplace_back(dns::txt{std::move(strings)});
    return made;
}

/// The text of a reply that comes `step` bytes at a time; "fault: WHY" if it is refused, "more" if
/// it does not end.
std::string body_of(std::string const& bytes, std::size_t step, std::size_t most = 100,
                    bool closed = true) {
    http_reply reply(most);
    for (std::size_t at = 0; at < bytes.size(); at += step) reply.receive(bytes.substr(at, step));
    if (closed) reply.end();
    if (!reply.fault().empty()) return "fault: " + reply.fault();
    return reply.complete() ? reply.body() : "more";
}

std::string send(std::function<void(sts_world&)> prepare) {
    std::string came;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        sts_world here(executor);
        prepare(here);
        auto const body = [&](task_group& group) -> awaitable<> {
            here.start(group);
            dns::resolver resolver(executor, here.resolver());
            smtp::direct direct(executor, resolver, here.how);
            auto one = letter_to_d();
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

/// A certificate for the exchanger from the authority that of_web() has.
void offer_good_tls(sts_world& here) {
    auto const folder = of_web().folder.path;
    if (!std::filesystem::exists(folder / "mx.pem")) {
        write_file(folder / "mxnames", "subjectAltName=DNS:mx1.d.example\n");
        write_file(folder / "makemx", "set -e; cd " + folder.string() + R"(
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout mx.key -out mx.csr -subj '/CN=mx'
openssl x509 -req -in mx.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out mx.pem -extfile mxnames
)");
        REQUIRE(child_process({"sh", folder / "makemx"}, folder / "makemx.log").wait() == 0);
    }
    here.host.offer_tls(folder / "mx.pem", folder / "mx.key");
}

bool contains(std::string const& text, std::string const& part) {
    return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE("the id of a policy is read strictly", "[mail]") {
    CHECK(sts_id_of("v=STSv1; id=20160831085700Z;") == "20160831085700Z");
    CHECK(sts_id_of("v=STSv1;id=1") == "1");
    CHECK(sts_id_of("v=STSv1 ; id=a1 ; x-new=any thing;") == "a1");
    CHECK(sts_id_of("v=STSv1; " + std::string("id=") + std::string(32, 'a')) ==
          std::string(32, 'a'));
    for (auto const& bad : {"", "v=STSv1", "v=STSv1;", "v=STSv2; id=1", "id=1; v=STSv1",
                            "v=STSv1; id=", "v=STSv1; id=1-2", "v=STSv1; id=a b", "v=STSv1; id",
                            "v=STSv1; =1; id=1", "V=STSv1; id=1", " v=STSv1x; id=1"})
        CHECK_FALSE(sts_id_of(std::string_view(bad)));
    CHECK_FALSE(sts_id_of("v=STSv1; id=" + std::string(33, 'a')));
}

TEST_CASE("a domain has a policy when exactly one record says so", "[mail]") {
    CHECK(sts_id_of(texts({{"v=STSv1; id=1"}})) == "1");
    CHECK(sts_id_of(texts({{"v=ST", "Sv1; id", "=12"}, {"something else"}})) == "12");
    CHECK_FALSE(sts_id_of(texts({{"v=STSv1; id=1"}, {"v=STSv1; id=1"}})));
    CHECK_FALSE(sts_id_of(texts({{"v=STSv1; id=1"}, {"v=STSv1"}})));
    CHECK_FALSE(sts_id_of(texts({})));
    CHECK_FALSE(sts_id_of(dns::answer()));
}

TEST_CASE("a policy is read as RFC 8461 writes it", "[mail]") {
    auto const policy = read_sts_policy(enforce);
    REQUIRE(policy);
    CHECK(policy->mode == mode::enforce);
    CHECK(policy->mx == std::vector<std::string>{"mx1.d.example", "*.mail.d.example"});
    CHECK(policy->max_age == 86400s);
    auto const other =
        read_sts_policy("version:STSv1\nmode:testing \nmx:  A.Example\nmax_age:9999999999\n"
                        "x-new: any: thing\nmode: enforce\n\n");
    REQUIRE(other);
    CHECK(other->mode == mode::testing);
    CHECK(other->mx == std::vector<std::string>{"a.example"});
    CHECK(other->max_age == 31'557'600s);
    CHECK(read_sts_policy("version: STSv1\nmode: none\nmax_age: 0")->mode == mode::none);
}

TEST_CASE("what is no policy is none", "[mail]") {
    std::string const good = "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 5\n";
    REQUIRE(read_sts_policy(good));
    auto const with = [&](std::string const& part, std::string const& instead) {
        auto text = good;
        text.replace(text.find(part), part.size(), instead);
        return text;
    };
    for (auto const& bad : {""s,
                            with("version: STSv1\n", ""),
                            with("STSv1", "STSv2"),
                            with("mode: enforce\n", ""),
                            with("enforce", "maybe"),
                            with("mx: a.example\n", ""),
                            with("max_age: 5\n", ""),
                            with("5", "-5"),
                            with("5", "5s"),
                            with("5", ""),
                            with("5", "12345678901"),
                            with("a.example", "*"),
                            with("a.example", "*.*.example"),
                            with("a.example", "a.*.example"),
                            with("a.example", "[192.0.2.1]"),
                            with("a.example", ""),
                            with("a.example", "a b.example"),
                            with("mode", "mo de"),
                            good + "no colon\n",
                            good + "\n\nmx: b.example\n",
                            "<html>" + good,
                            good + std::string(65536, ' ')})
        CHECK_FALSE(read_sts_policy(bad));
}

TEST_CASE("a pattern's asterisk is one label, the first", "[mail]") {
    sts_policy policy;
    policy.mx = {"mx.a.example", "*.b.example"};
    for (auto const* good : {"mx.a.example", "MX.A.example", "mx1.b.example", "x.B.example"})
        CHECK(policy.has(good));
    for (auto const* bad : {"a.example", "x.mx.a.example", "b.example", ".b.example",
                            "x.y.b.example", "xb.example", "*.c.example", ""})
        CHECK_FALSE(policy.has(bad));
}

TEST_CASE("replies of HTTP are read however they are cut", "[mail]") {
    std::string const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "3\r\nabc\r\n00A;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nmore";
    std::string const continued = "HTTP/1.1 100 Continue\r\n\r\n" + http("hello");
    std::string const bare = "HTTP/1.0 200\nContent-type: text/plain\n\nto the end";
    for (std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{1000}}) {
        CHECK(body_of(http("hello"), step, 100, false) == "hello");
        CHECK(body_of(chunked, step, 100, false) == "abc0123456789");
        CHECK(body_of(continued, step, 100, false) == "hello");
        CHECK(body_of(bare, step) == "to the end");
        CHECK(body_of(bare, step, 100, false) == "more");
        CHECK(body_of(http(""), step, 100, false) == "");
    }
    for (std::size_t size = 0; size < chunked.size() - 4; ++size)
        CHECK(body_of(chunked.substr(0, size), 5) == "fault: the connection ended before the text");
    for (std::size_t size = 0; size < http("hello").size(); ++size)
        CHECK(body_of(http("hello").substr(0, size), 5) ==
              "fault: the connection ended before the text");
}

TEST_CASE("replies of HTTP that lie or do not end are refused", "[mail]") {
    auto const head = "HTTP/1.1 200 OK\r\n"s;
    CHECK(body_of(http(std::string(101, 'x')), 9) == "fault: a text that is too long");
    CHECK(body_of(head + "\r\n" + std::string(101, 'x'), 9) == "fault: a text that is too long");
    CHECK(body_of(head + "Transfer-Encoding: chunked\r\n\r\n65\r\n", 9) ==
          "fault: a text that is too long");
    CHECK(body_of(head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 9) ==
          "fault: a chunk without size");
    CHECK(body_of(head + "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 9) ==
          "fault: a chunk longer than its size");
    CHECK(body_of(head + "Transfer-Encoding: gzip\r\n\r\n", 9) ==
          "fault: an unknown transfer encoding");
    CHECK(body_of(head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 9) ==
          "fault: two lengths");
    CHECK(body_of(head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 9) ==
          "fault: a length that is none");
    CHECK(body_of(head + "Content-Length: -5\r\n\r\n", 9) == "fault: a length that is none");
    CHECK(body_of(head + "Content-Length: 99999999999999999999\r\n\r\n", 9) ==
          "fault: a length that is none");
    CHECK(body_of(head + "no header\r\n\r\n", 9) == "fault: a header that is none");
    CHECK(body_of(head + "A: b\r\n folded\r\n\r\n", 9) == "fault: a header that is none");
    CHECK(body_of("SSH-2.0-x\r\n", 9) == "fault: not HTTP/1.1");
    CHECK(body_of("HTTP/1.1 999999 x\r\n", 9) == "fault: not HTTP/1.1");
    CHECK(body_of(head + std::string(20'000, 'x'), 999) == "fault: a head that does not end");
    std::string many = head;
    while (many.size() < 20'000) many += "A: b\r\n";
    CHECK(body_of(many, 999) == "fault: a head that does not end");
}

TEST_CASE("an enforced policy demands a certificate of the exchanger's name", "[mail]") {
    CHECK(send(offer_good_tls) == "accepted over TLS");
    CHECK(contains(send([](sts_world&) {}), "does not offer STARTTLS"));
    auto const foreign = [](sts_world& here) {
        here.host.offer_tls(of_web().file("server.pem"), of_web().file("server.key"));
    };
    CHECK(contains(send(foreign), "deferred: "));
    auto const not_asked = [&](sts_world& here) { foreign(here), here.how.mta_sts = false; };
    CHECK(send(not_asked) == "accepted over TLS");
}

TEST_CASE("an exchanger that an enforced policy does not name gets nothing", "[mail]") {
    auto const prepare = [](sts_world& here) {
        offer_good_tls(here);
        here.web.reply = http("version: STSv1\nmode: enforce\nmx: other.example\nmax_age: 60\n");
    };
    CHECK(send(prepare) == "deferred: the MTA-STS policy of d.example does not name mx1.d.example");
}

TEST_CASE("policies that are not to be enforced, or cannot be had, change nothing", "[mail]") {
    for (auto const* kind : {"testing", "none"}) {
        auto const prepare = [&](sts_world& here) {
            here.web.reply =
                http("version: STSv1\nmode: "s + kind + "\nmx: other.example\nmax_age: 60\n");
        };
        CHECK(send(prepare) == "accepted in plain text");
    }
    std::vector<std::function<void(sts_world&)>> const cases{
        [](sts_world& here) { here.web.reply = http(enforce, "302 Found"); },
        [](sts_world& here) { here.web.reply = http(enforce, "200 OK", "text/html"); },
        [](sts_world& here) { here.web.reply = http("no policy"); },
        [](sts_world& here) { here.web.reply = "rubbish\r\n"; },
        [](sts_world& here) { here.web.hangs = true, here.how.limits.tls = 300ms; },
        [](sts_world& here) { here.names.broken = {"mta-sts.d.example"}; },
        [](sts_world& here) { here.names.missing = {"_mta-sts.d.example"}; },
        [](sts_world& here) { here.how.ca_file = ""; }, // whose certificate nobody vouches for
        [](sts_world& here) { here.names.text("_mta-sts.d.example", "v=STSv1; id=2"); }};
    for (auto const& prepare : cases) CHECK(send(prepare) == "accepted in plain text");
}

TEST_CASE("TLSA records win over a policy", "[mail]") {
    auto const prepare = [](sts_world& here) {
        here.names.secure = true;
        offer_good_tls(here);
        here.names.tlsa(here.host.port(), "mx1.d.example", of_web().record("mx.pem", 3, 1, 1));
        here.web.reply = http("version: STSv1\nmode: enforce\nmx: other.example\nmax_age: 60\n");
    };
    CHECK(send(prepare) == "accepted over TLS");
}

TEST_CASE("a policy is fetched once while its id stays, and kept when DNS falls silent", "[mail]") {
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        sts_world here(executor);
        auto const body = [&](task_group& group) -> awaitable<> {
            here.start(group);
            dns::resolver resolver(executor, here.resolver());
            https_options how;
            how.ca_file = here.how.ca_file;
            how.port = here.web.port();
            how.timeout = 5s;
            sts_cache cache(resolver, how, sts_place());
            for (int i = 0; i < 3; ++i) {
                auto const found = co_await cache.policy_of("d.example");
                REQUIRE(found);
                CHECK(found->mode == mode::enforce);
            }
            CHECK(here.web.asked == 1);
            CHECK(here.web.request.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"
                                               "Host: mta-sts.d.example\r\n"));
            here.names.broken.insert("_mta-sts.d.example");
            auto found = co_await cache.policy_of("d.example");
            CHECK(found);
            here.names.broken.clear();
            here.names.records.back() = {
                "_mta-sts.d.example",
                name_server::txt,
                {13, 'v', '=', 'S', 'T', 'S', 'v', '1', ';', 'i', 'd', '=', '2', ' '}};
            here.web.reply = http("broken");
            found = co_await cache.policy_of("d.example"); // the old one is better than none
            CHECK(found);
            CHECK(here.web.asked == 2);
            found =
                co_await cache.policy_of("d.example"); // and the new one is left alone for a while
            CHECK(found);
            CHECK(here.web.asked == 2);
        };
        co_await with_group(body);
    };
    test::run(main);
}
