// MTA-STS (RFC 8461): records, policies, the fetch over HTTPS, and mail to domains that have one.
#include "mail/sts.hpp"

#include "mail/mail_hosts.hpp"
#include "mail/sts_cache.hpp"
#include "test.hpp"

#include <trawl/offload_pool.hpp>
#include <trawl/smtp_direct.hpp>

#include <fcntl.h>
#include <sys/stat.h>

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

std::string const enforce = "version: STSv1\r\nmode: enforce\r\nmx: mx1.d.example\r\n"
                            "mx: *.mail.d.example\r\nmax_age: 86400\r\n";

std::string http(std::string const& body, std::string const& status = "200 OK",
                 std::string const& type = "text/plain") {
    return "HTTP/1.1 " + status + "\r\nContent-Type: " + type +
           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
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

/// A web server for mta-sts.d.example that gives `reply` to whoever asks.
class web_host {
public:
    web_host(asio::any_io_executor executor, certificates const& of)
        : acceptor_(executor, {asio::ip::make_address("127.0.0.4"), 0}) {
        tls_.use_certificate_chain_file(of.file("server.pem"));
        tls_.use_private_key_file(of.file("server.key"), asio::ssl::context::pem);
    }
    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    void start(task_group& group) { group.spawn_background(serve()); }

    std::string reply, request;
    std::size_t asked = 0;
    bool hangs = false;

private:
    awaitable<> serve() {
        for (;;) {
            auto socket = co_await acceptor_.async_accept(asio::use_awaitable);
            ++asked;
            try {
                asio::ssl::stream<asio::ip::tcp::socket&> wire(socket, tls_);
                co_await wire.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
                request.clear();
                co_await asio::async_read_until(wire, asio::dynamic_buffer(request), "\r\n\r\n",
                                                asio::use_awaitable);
                if (hangs) co_await sleep_for(1h);
                co_await asio::async_write(wire, asio::buffer(reply), asio::use_awaitable);
                co_await wire.async_shutdown(asio::use_awaitable);
            } catch (std::system_error const& e) {
                if (is_cancelled(e)) throw;
            }
        }
    }
    asio::ip::tcp::acceptor acceptor_;
    asio::ssl::context tls_{asio::ssl::context::tls_server};
};

certificates const& of_web() {
    static certificates const made("mta-sts.d.example");
    return made;
}

/// d.example with a policy, two exchangers whose certificates come from the same authority's hand,
/// and an authority's file.
struct world {
    explicit world(asio::any_io_executor executor)
        : names(executor), host(executor, "127.0.0.2", 0), web(executor, of_web()) {
        names.mx("d.example", 10, "mx1.d.example");
        names.address("mx1.d.example", "127.0.0.2");
        names.address("mta-sts.d.example", "127.0.0.4");
        names.text("_mta-sts.d.example", "v=STSv1; id=1;");
        web.reply = http(enforce);
        how.port = host.port();
        how.https_port = web.port();
        how.mta_sts = true;
        how.helo = "client.example";
        how.limits = smtp::timeouts::scaled(0.1);
        how.ca_file = of_web().file("ca.pem");
    }
    void start(task_group& group) {
        names.server.start(group);
        host.start(group);
        web.start(group);
    }
    dns::resolver::options resolver() const {
        dns::resolver::options made;
        made.servers = {names.server.where()};
        made.timeout = 2s;
        made.tries = 1;
        made.cached = 0;
        return made;
    }
    zones names;
    mail_host host;
    web_host web;
    smtp::direct_options how;
};

std::string send(std::function<void(world&)> prepare) {
    std::string came;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        world here(executor);
        prepare(here);
        auto const body = [&](task_group& group) -> awaitable<> {
            here.start(group);
            dns::resolver resolver(executor, here.resolver());
            smtp::direct direct(executor, resolver, here.how);
            smtp::outgoing one;
            one.envelope.sender = "a@b.example";
            one.envelope.recipients = {"x@d.example"};
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

/// A certificate for the exchanger from the authority that of_web() has.
void offer_good_tls(world& here) {
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

/// What one process after the other does with a message for d.example, and what they log: `between`
/// is called before the second one. The folder, when there is one, is theirs.
struct runs {
    std::vector<std::string> came;
    std::string log;
};
runs send_twice(std::function<void(world&)> between, std::filesystem::path folder) {
    struct listener : observer {
        std::string text;
        void log(severity, std::string_view where, std::string_view what) override {
            text += std::string(where) + std::string(what) + '\n';
        }
    } heard;
    runs made;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        offload_pool files(offload_pool::options{.threads = 1});
        world here(executor);
        here.how.sts_folder = folder;
        here.how.files = &files;
        here.how.watch = &heard;
        auto const body = [&](task_group& group) -> awaitable<> {
            here.start(group);
            for (int run = 0; run < 2; ++run) {
                if (run == 1) between(here);
                dns::resolver resolver(executor, here.resolver());
                smtp::direct direct(executor, resolver, here.how);
                smtp::outgoing one;
                one.envelope.sender = "a@b.example";
                one.envelope.recipients = {"x@d.example"};
                one.content = smtp::outgoing::of({}, "Subject: s\r\n\r\nok\r\n").content;
                auto const done = co_await direct.send(std::move(one));
                made.came.push_back(std::string(to_string(done.recipients.at(0).status)));
                co_await direct.quit();
            }
        };
        co_await with_group(body);
    };
    test::run(main);
    made.log = heard.text;
    return made;
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
    CHECK(contains(send([](world&) {}), "does not offer STARTTLS"));
    auto const foreign = [](world& here) {
        here.host.offer_tls(of_web().file("server.pem"), of_web().file("server.key"));
    };
    CHECK(contains(send(foreign), "deferred: "));
    auto const not_asked = [&](world& here) { foreign(here), here.how.mta_sts = false; };
    CHECK(send(not_asked) == "accepted over TLS");
}

TEST_CASE("an exchanger that an enforced policy does not name gets nothing", "[mail]") {
    auto const prepare = [](world& here) {
        offer_good_tls(here);
        here.web.reply = http("version: STSv1\nmode: enforce\nmx: other.example\nmax_age: 60\n");
    };
    CHECK(send(prepare) == "deferred: the MTA-STS policy of d.example does not name mx1.d.example");
}

TEST_CASE("policies that are not to be enforced, or cannot be had, change nothing", "[mail]") {
    for (auto const* kind : {"testing", "none"}) {
        auto const prepare = [&](world& here) {
            here.web.reply =
                http("version: STSv1\nmode: "s + kind + "\nmx: other.example\nmax_age: 60\n");
        };
        CHECK(send(prepare) == "accepted in plain text");
    }
    std::vector<std::function<void(world&)>> const cases{
        [](world& here) { here.web.reply = http(enforce, "302 Found"); },
        [](world& here) { here.web.reply = http(enforce, "200 OK", "text/html"); },
        [](world& here) { here.web.reply = http("no policy"); },
        [](world& here) { here.web.reply = "rubbish\r\n"; },
        [](world& here) { here.web.hangs = true, here.how.limits.tls = 300ms; },
        [](world& here) { here.names.broken = {"mta-sts.d.example"}; },
        [](world& here) { here.names.missing = {"_mta-sts.d.example"}; },
        [](world& here) { here.how.ca_file = ""; }, // whose certificate nobody vouches for
        [](world& here) { here.names.text("_mta-sts.d.example", "v=STSv1; id=2"); }};
    for (auto const& prepare : cases) CHECK(send(prepare) == "accepted in plain text");
}

TEST_CASE("TLSA records win over a policy", "[mail]") {
    auto const prepare = [](world& here) {
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
        world here(executor);
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

// ---- policies between runs ----

namespace {

using verdicts = std::vector<std::string>;

kept_policy const kept{"20160831085700Z", enforce, 2'000'000'000};

/// said() of what is thrown for a file; "good" when nothing is.
std::string verdict(std::string const& file, std::string const& domain = "d.example") {
    try {
        (void)read_kept_policy(file, domain);
    } catch (error const& e) {
        CHECK(e.code() == std::errc::bad_message);
        return e.said();
    }
    return "good";
}

/// What an attacker does who wants no policy to be found.
void hide_policy(world& here) { here.names.missing = {"_mta-sts.d.example", "mta-sts.d.example"}; }

std::string file_in(std::filesystem::path const& folder) {
    return (folder / "d.example.mta-sts").string();
}

} // namespace

TEST_CASE("a policy's file is read as it was written, and in no other form", "[mail]") {
    auto const file = write_kept_policy("d.example", kept);
    auto const again = read_kept_policy(file, "d.example");
    CHECK(again.id == kept.id);
    CHECK(again.text == kept.text);
    CHECK(again.until == kept.until);
    CHECK(verdict(file, "e.example") == "it is another domain's");
    CHECK(verdict("") == "no \"trawl sts \"");
    CHECK(verdict("trawl sts 2\n" + file.substr(12)) == "it was written by another version");
    for (std::size_t size = 0; size < file.size(); ++size)
        CHECK(verdict(file.substr(0, size)) != "good");
    for (std::size_t at = 0; at < file.size(); ++at) {
        auto damaged = file;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        CHECK(verdict(damaged) != "good");
    }
    CHECK(verdict(file + "mx: evil.example\n") == "its checksum is wrong");
}

TEST_CASE("policies are kept in a folder until they are over", "[mail]") {
    temporary_folder folder;
    auto const place = folder.path / "sts";
    sts_folder one(place);
    CHECK_FALSE(one.find("d.example", 1'900'000'000));
    one.keep("d.example", kept, 1'900'000'000);
    auto const found = sts_folder(place).find("d.example", 1'999'999'999);
    REQUIRE(found);
    CHECK(found->text == enforce);
    CHECK_FALSE(one.find("d.example", 2'000'000'000));
    one.keep("d.example", {"2", "other", 2'000'000'001}, 1'900'000'000);
    CHECK(one.find("d.example", 2'000'000'000)->id == "2");
    struct stat about {};
    REQUIRE(::stat(place.c_str(), &about) == 0);
    CHECK((about.st_mode & 0777) == 0700);
    REQUIRE(::stat(file_in(place).c_str(), &about) == 0);
    CHECK((about.st_mode & 0777) == 0600);
    // No name leads out of it.
    for (auto const* name : {"../d.example", "/etc/passwd", ".", "..", "", "a/b", "D.example"}) {
        one.keep(name, kept, 1'900'000'000);
        CHECK_FALSE(one.find(name, 1'900'000'000));
    }
    auto const files = std::filesystem::directory_iterator(place);
    CHECK(std::distance(begin(files), end(files)) == 1);
}

TEST_CASE("what is no file of a policy is an error that names it", "[mail]") {
    temporary_folder folder;
    sts_folder const one(folder.path);
    auto const complaint = [&] {
        try {
            (void)one.find("d.example", 0);
        } catch (error const& e) {
            return std::string(e.what());
        }
        return ""s;
    };
    auto const path = file_in(folder.path);
    write_file(path, "rubbish");
    CHECK(contains(complaint(), path));
    write_file(path, std::string(100'000, 'x'));
    CHECK(contains(complaint(), "too large"));
    std::filesystem::remove(path);
    std::filesystem::create_symlink("/etc/passwd", path);
    CHECK(contains(complaint(), path));
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
    CHECK(contains(complaint(), "not an ordinary file"));
    CHECK_THROWS_AS(sts_folder("/dev/null/sts"), error);
}

TEST_CASE("the folder of policies does not grow for ever, and nothing else in it is touched",
          "[mail]") {
    temporary_folder folder;
    auto const aged = [&](std::string const& name, std::int64_t when) {
        write_file(folder.path / name, "x");
        timespec const times[] = {{when, 0}, {when, 0}};
        REQUIRE(::utimensat(AT_FDCWD, (folder.path / name).c_str(), times, 0) == 0);
    };
    auto const there = [&](std::string const& name) {
        return std::filesystem::exists(folder.path / name);
    };
    aged("letter.txt", 5);
    aged("over.example.mta-sts", 1'900'000'000);
    aged(".trawl-sts-abcdef", 1'800'000'000);
    aged(".trawl-sts-ghijkl", 1'899'999'999); // somebody writes it now
    for (std::size_t i = 0; i < sts_folder::most_kept; ++i)
        aged(std::to_string(i) + ".example.mta-sts", 1'900'000'001 + static_cast<long>(i));
    sts_folder one(folder.path);
    one.keep("d.example", kept, 1'900'000'000);
    CHECK(there("letter.txt"));
    CHECK_FALSE(there("over.example.mta-sts"));
    CHECK_FALSE(there(".trawl-sts-abcdef"));
    CHECK(there(".trawl-sts-ghijkl"));
    CHECK_FALSE(there("999.example.mta-sts"));
    CHECK(there("1000.example.mta-sts"));
    CHECK(there("d.example.mta-sts"));
}

TEST_CASE("a policy that one process has seen protects the next one's mail", "[mail]") {
    temporary_folder folder;
    auto const kept_in = folder.path / "sts";
    // The exchanger has no TLS: with the policy nothing goes there.
    CHECK(send_twice(hide_policy, "").came == verdicts{"deferred", "accepted"});
    auto const both = send_twice(hide_policy, kept_in);
    CHECK(both.came == verdicts{"deferred", "deferred"});
    CHECK(both.log == "");
    CHECK(contains(read_file(file_in(kept_in)), enforce));
}

TEST_CASE("a new id replaces the policy that is kept", "[mail]") {
    temporary_folder folder;
    auto const withdraw = [](world& here) {
        here.names.records.back() = {
            "_mta-sts.d.example",
            name_server::txt,
            {13, 'v', '=', 'S', 'T', 'S', 'v', '1', ';', 'i', 'd', '=', '2', ' '}};
        here.web.reply = http("version: STSv1\nmode: none\nmax_age: 86400\n");
    };
    CHECK(send_twice(withdraw, folder.path).came == verdicts{"deferred", "accepted"});
    CHECK(contains(read_file(file_in(folder.path)), "mode: none"));
}

TEST_CASE("a damaged policy is none, and is named", "[mail]") {
    temporary_folder folder;
    auto const damage = [&](world& here) {
        hide_policy(here);
        auto text = read_file(file_in(folder.path));
        text.back() = '!';
        write_file(file_in(folder.path), text);
    };
    auto const both = send_twice(damage, folder.path);
    CHECK(both.came == verdicts{"deferred", "accepted"});
    CHECK(contains(both.log, file_in(folder.path)));
    CHECK(contains(both.log, "its checksum is wrong"));
}

TEST_CASE("a folder that cannot be written costs no mail", "[mail]") {
    temporary_folder folder;
    auto const spoil = [&](world& here) {
        std::filesystem::remove_all(folder.path / "sts");
        here.names.records.back() = {
            "_mta-sts.d.example",
            name_server::txt,
            {13, 'v', '=', 'S', 'T', 'S', 'v', '1', ';', 'i', 'd', '=', '2', ' '}};
        here.web.reply = http("version: STSv1\nmode: none\nmax_age: 86400\n");
        here.how.sts_folder = "/proc/self/fdinfo";
    };
    auto const both = send_twice(spoil, folder.path / "sts");
    CHECK(both.came == verdicts{"deferred", "accepted"});
    CHECK(contains(both.log, "/proc/self/fdinfo/d.example.mta-sts"));
}

TEST_CASE("a folder for policies needs a pool for its files", "[mail]") {
    asio::io_context io;
    dns::resolver::options none;
    none.servers = {"127.0.0.1:9"};
    dns::resolver names(io.get_executor(), none);
    smtp::direct_options how;
    how.sts_folder = "/tmp/none";
    CHECK_THROWS_AS(smtp::direct(io.get_executor(), names, how), error);
}
