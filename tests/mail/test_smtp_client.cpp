#include "mail/peers.hpp"
#include "test.hpp"

#include <trawl/smtp.hpp>

#include <asio/redirect_error.hpp>

#include <regex>

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace trawl;
using test::scripted_server;
using step = scripted_server::step;
using smtp::status;

namespace {

mime::message letter(std::string const& recipients = "x@c.example", std::string text = "ok\n") {
    mime::message made;
    made.from("a@b.example").to(recipients).subject("night run").text(std::move(text));
    return made;
}

smtp::options plain_to(std::uint16_t port) {
    smtp::options how;
    how.addresses = {asio::ip::address_v4::loopback()};
    how.port = port;
    how.tls = smtp::tls::none;
    how.helo = "client.example";
    how.limits = smtp::timeouts::scaled(0.2);
    return how;
}

std::string summary(smtp::receipt const& receipt) {
    std::string out;
    for (auto const& r : receipt.recipients) {
        if (!out.empty()) out += "; ";
        out += r.address + ' ' + std::string(to_string(r.status)) + ' ' + std::to_string(r.code);
    }
    return out;
}

/// What a send came to, error or not.
struct outcome {
    std::optional<smtp::receipt> receipt;
    std::optional<error> failure;
};
awaitable<outcome> attempt(smtp::client& client, mime::message message) {
    outcome seen;
    try {
        seen.receipt = co_await client.send(std::move(message));
    } catch (error const& e) {
        seen.failure = e;
    }
    co_return seen;
}

/// Sends a letter to a scripted server and returns what it came to.
outcome against(std::vector<scripted_server::script> scripts,
                std::function<void(smtp::options&)> change = {},
                std::string const& recipients = "x@c.example", std::string* heard = nullptr,
                std::string text = "ok\n") {
    outcome seen;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        scripted_server server(executor, scripts);
        auto how = plain_to(server.port());
        if (change) change(how);
        smtp::client client(executor, std::move(how));
        std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(server.serve());
            auto message = letter(recipients, text);
            seen = co_await attempt(client, std::move(message));
        };
        co_await with_group(body);
        if (seen.failure) CHECK_FALSE(client.connected());
        if (heard) *heard = server.heard();
    };
    test::run(main);
    return seen;
}

/// About `size` bytes of text.
std::string lines(std::size_t size) {
    std::string text;
    while (text.size() < size) text += std::string(900, 'x') + '\n';
    return text;
}

scripted_server::script until_data() {
    return {{step::say, "220 mx\r\n"},
            {step::hear, "\r\n"},
            {step::say, "250-mx\r\n250 PIPELINING\r\n"},
            {step::hear, "DATA\r\n"}};
}
scripted_server::script then(scripted_server::script first, scripted_server::script second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

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
    auto const found = server.messages();
    if (stored) *stored = found.empty() ? "" : found.front();
    return receipt;
}

/// aiosmtpd with a certificate for mx.test.example and 127.0.0.1, and one user: bob, s3cret.
class aiosmtpd {
public:
    explicit aiosmtpd(std::string const& mode) : process(command(mode), folder.path / "log") {
        for (auto end = clock::now() + 15s; clock::now() < end && process.running();
             ::usleep(5000)) {
            if (!std::filesystem::exists(folder.path / "port")) continue;
            port = static_cast<std::uint16_t>(std::stoi(test::read_file(folder.path / "port")));
            return;
        }
        FAIL("aiosmtpd did not start: " << test::read_file(folder.path / "log"));
    }
    std::string message() const { return test::read_file(folder.path / "message"); }
    std::string session() const { return test::read_file(folder.path / "session"); }
    std::string ca() const { return folder.path / "ca.pem"; }

    test::temporary_folder folder;
    test::child_process process;
    std::uint16_t port = 0;

private:
    static constexpr char script[] = R"PY(
import asyncio, os, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
folder, mode = sys.argv[1:]
def store(name, content):
    with open(folder + '/' + name + '.new', 'wb') as f: f.write(content)
    os.rename(folder + '/' + name + '.new', folder + '/' + name)
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith('no'): return '550 5.1.1 no such user'
        if address.startswith('later'): return '451 4.2.0 greylisted'
        envelope.rcpt_tos.append(address)
        return '250 2.1.5 ok'
    async def handle_DATA(self, server, session, envelope):
        store('message', envelope.original_content)
        store('session', repr((session.ssl is not None, session.auth_data and session.auth_data.login, envelope.mail_from, envelope.rcpt_tos)).encode())
        return '250 2.0.0 taken'
def check(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == b'bob' and data.password == b's3cret', handled=False, auth_data=data)
async def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder + '/server.pem', folder + '/server.key')
    def made():
        return SMTP(Handler(), hostname='mx', tls_context=None if mode in ('plain', 'implicit') else tls,
                    authenticator=check, auth_require_tls=False, auth_exclude_mechanism=['PLAIN'] if mode == 'login' else [])
    server = await asyncio.get_running_loop().create_server(made, '127.0.0.1', 0, ssl=tls if mode == 'implicit' else None)
    store('port', str(server.sockets[0].getsockname()[1]).encode())
    await server.serve_forever()
asyncio.run(main())
)PY";

    std::vector<std::string> command(std::string const& mode) const {
        std::string const python = "/usr/bin/python3"; // whose packages are the system's
        if (!test::have(python) ||
            test::child_process({python, "-c", "import aiosmtpd.smtp"}).wait() != 0)
            test::skip("needs python3-aiosmtpd");
        make_certificates(folder.path);
        test::write_file(folder.path / "server.py", script);
        return {python, folder.path / "server.py", folder.path, mode};
    }

    static void make_certificates(std::filesystem::path const& at) {
        test::write_file(at / "names", "subjectAltName=DNS:mx.test.example,IP:127.0.0.1\n");
        test::write_file(at / "make", "set -e; cd " + at.string() + R"(
new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
openssl req -x509 $new -keyout ca.key -out ca.pem -days 2 -subj '/CN=trawl test CA'
openssl req -x509 $new -keyout other.key -out other.pem -days 2 -subj '/CN=some other CA'
openssl req $new -keyout server.key -out server.csr -subj '/CN=mx.test.example'
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile names
)");
        if (test::child_process({"sh", at / "make"}, at / "make.log").wait() != 0)
            test::skip("needs openssl: " + test::read_file(at / "make.log"));
    }
};

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
