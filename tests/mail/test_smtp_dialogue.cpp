#include "mail/smtp_dialogue.hpp"
#include "test.hpp"

#include <algorithm>

using namespace std::string_literals;
using namespace std::string_view_literals;
using namespace trawl::smtp::detail;
using trawl::mime::envelope;
using trawl::smtp::errc;
using trawl::smtp::recipient;
using trawl::smtp::status;

namespace {

settings plain_settings() {
    settings how;
    how.helo = "client.example";
    how.tls = trawl::smtp::tls::none;
    return how;
}

std::string all_output(dialogue& talk) {
    std::string said;
    while (true) {
        auto const chunk = talk.take(1000);
        if (chunk.empty()) return said;
        said += chunk;
    }
}

constexpr auto pipelining =
    "250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000000\r\n"sv;
constexpr auto simple = "250 mx.example\r\n"sv;

/// A dialogue in phase ready.
std::unique_ptr<dialogue> ready(std::string_view ehlo = pipelining,
                                settings how = plain_settings()) {
    auto talk = std::make_unique<dialogue>(std::move(how));
    CHECK(all_output(*talk).empty());
    talk->receive("220 mx.example ESMTP\r\n");
    CHECK(all_output(*talk) == "EHLO client.example\r\n");
    talk->receive(ehlo);
    CHECK(talk->at() == phase::ready);
    return talk;
}

/// Begins a message; its recipients' answers are found by summary().
void begin(dialogue& talk, envelope to, std::string content, trawl::smtp::parameters wants = {}) {
    auto one = std::make_shared<job>();
    one->what.envelope = std::move(to);
    one->what.parameters = std::move(wants);
    one->what.content = [content](bool) { return content; };
    one->bytes = std::move(content);
    talk.begin(std::move(one));
}

envelope to(std::vector<std::string> recipients) { return {"a@b.example", std::move(recipients)}; }

/// "x@c: refused 550 5.1.1 no such user; ..."
std::string summary(dialogue& talk) {
    auto const done = talk.take_finished();
    if (!done) return "none";
    std::string out;
    for (auto const& r : done->answers) {
        if (!out.empty()) out += "; ";
        out += r.address + ": " + std::string(to_string(r.status)) + ' ' + std::to_string(r.code);
        if (!r.enhanced.empty()) out += ' ' + r.enhanced;
        if (!r.text.empty()) out += ' ' + r.text;
    }
    return out;
}

} // namespace

TEST_CASE("with PIPELINING the envelope is one group and the message another", "[mail]") {
    auto talk = ready();
    begin(*talk, to({"x@c", "y@c"}), "gr\xc3\xbc\xc3\x9f\n.\n");
    CHECK(all_output(*talk) == "MAIL FROM:<a@b.example> SIZE=9 BODY=8BITMIME\r\nRCPT "
                               "TO:<x@c>\r\nRCPT TO:<y@c>\r\nDATA\r\n");
    talk->receive("250 2.1.0 ok\r\n250 2.1.5 ok\r\n550 5.1.1 no such user\r\n");
    CHECK(all_output(*talk).empty());
    CHECK(talk->at() == phase::data);
    talk->receive("354 go\r\n");
    CHECK(talk->at() == phase::content);
    CHECK(all_output(*talk) == "gr\xc3\xbc\xc3\x9f\r\n..\r\n.\r\n");
    CHECK(talk->at() == phase::dot);
    talk->receive("250 2.0.0 queued as 1\r\n");
    CHECK(talk->at() == phase::ready);
    CHECK(summary(*talk) ==
          "x@c: accepted 250 2.0.0 queued as 1; y@c: refused 550 5.1.1 no such user");
    CHECK(summary(*talk) == "none");
    begin(*talk, to({"z@c"}), "next");
    CHECK(all_output(*talk) == "MAIL FROM:<a@b.example> SIZE=4\r\nRCPT TO:<z@c>\r\nDATA\r\n");
    CHECK(talk->steps() == 7);
}

TEST_CASE("without PIPELINING each command waits for its reply", "[mail]") {
    auto talk = ready(simple);
    begin(*talk, to({"x@c", "y@c"}), "m");
    CHECK(all_output(*talk) == "MAIL FROM:<a@b.example>\r\n");
    talk->receive("250 ok\r\n");
    CHECK(all_output(*talk) == "RCPT TO:<x@c>\r\n");
    talk->receive("450 later\r\n");
    CHECK(all_output(*talk) == "RCPT TO:<y@c>\r\n");
    talk->receive("251 forwarded\r\n");
    CHECK(all_output(*talk) == "DATA\r\n");
    talk->receive("354 go\r\n");
    CHECK(all_output(*talk) == "m\r\n.\r\n");
    talk->receive("250 ok\r\n");
    CHECK(summary(*talk) == "x@c: deferred 450 later; y@c: accepted 250 ok");
}

TEST_CASE("without PIPELINING no DATA follows when nobody would receive it", "[mail]") {
    auto talk = ready(simple);
    begin(*talk, to({"x@c"}), "m");
    CHECK(all_output(*talk) == "MAIL FROM:<a@b.example>\r\n");
    talk->receive("250 ok\r\n");
    CHECK(all_output(*talk) == "RCPT TO:<x@c>\r\n");
    talk->receive("550 no\r\n");
    CHECK(all_output(*talk).empty());
    CHECK(talk->at() == phase::ready);
    CHECK(summary(*talk) == "x@c: refused 550 no");
    begin(*talk, to({"y@c"}), "m");
    CHECK(all_output(*talk) == "RSET\r\n");
    talk->receive("250 ok\r\n");
    CHECK(all_output(*talk) == "MAIL FROM:<a@b.example>\r\n");
}

TEST_CASE("354 with every recipient refused is answered by a lone dot", "[mail]") {
    auto talk = ready();
    begin(*talk, to({"x@c", "y@c"}), "never to be sent");
    (void)all_output(*talk);
    talk->receive("250 ok\r\n550 no\r\n451 later\r\n354 go\r\n");
    CHECK(all_output(*talk) == ".\r\n");
    CHECK_FALSE(talk->settled());
    talk->receive("554 no valid recipients\r\n");
    CHECK(talk->at() == phase::ready);
    CHECK(summary(*talk) == "x@c: refused 550 no; y@c: deferred 451 later");
    begin(*talk, to({"z@c"}), "m");
    CHECK(all_output(*talk).starts_with("RSET\r\nMAIL FROM:"));
}

TEST_CASE("a refused MAIL is the answer for everybody", "[mail]") {
    auto talk = ready();
    begin(*talk, to({"x@c", "y@c"}), "m");
    (void)all_output(*talk);
    talk->receive("552 5.3.4 too big\r\n503 need MAIL\r\n503 need MAIL\r\n503 need RCPT\r\n");
    CHECK(summary(*talk) == "x@c: refused 552 5.3.4 too big; y@c: refused 552 5.3.4 too big");
    CHECK(talk->at() == phase::ready);
    auto slow = ready(simple);
    begin(*slow, to({"x@c"}), "m");
    (void)all_output(*slow);
    slow->receive("451 not now\r\n");
    CHECK(all_output(*slow).empty());
    CHECK(summary(*slow) == "x@c: deferred 451 not now");
}

TEST_CASE("a refused DATA or message is the answer for those who were accepted", "[mail]") {
    for (auto [replies, wanted] :
         {std::pair{"250 ok\r\n250 ok\r\n550 no\r\n451 4.3.0 disk\r\n",
                    "x@c: deferred 451 4.3.0 disk; y@c: refused 550 no"},
          std::pair{"250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n554 5.7.1 spam\r\n",
                    "x@c: refused 554 5.7.1 spam; y@c: refused 550 no"},
          std::pair{"250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n452 full\r\n",
                    "x@c: deferred 452 full; y@c: refused 550 no"},
          std::pair{"250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n354 go\r\n",
                    "x@c: unknown 354 go; y@c: refused 550 no"}}) {
        auto talk = ready();
        begin(*talk, to({"x@c", "y@c"}), "m");
        (void)all_output(*talk);
        std::string_view rest = replies;
        auto const last = rest.rfind('\n', rest.size() - 2) + 1;
        talk->receive(rest.substr(0, last));
        (void)all_output(*talk);
        talk->receive(rest.substr(last));
        CHECK(summary(*talk) == wanted);
    }
}

TEST_CASE("421 in a group ends it, and who has no answer is deferred", "[mail]") {
    auto const group =
        std::vector<std::string>{"250 ok\r\n", "550 no\r\n", "250 ok\r\n", "354 go\r\n"};
    for (std::size_t at = 0; at <= group.size(); ++at) {
        auto talk = ready();
        begin(*talk, to({"x@c", "y@c"}), "m");
        (void)all_output(*talk);
        for (std::size_t i = 0; i < at; ++i) talk->receive(group[i]);
        if (at == group.size()) (void)all_output(*talk);
        talk->receive("421 4.3.2 going down\r\n250 ok\r\n");
        CHECK(talk->at() == phase::closed);
        CHECK(summary(*talk) ==
              (at < 2 ? "x@c: deferred 421 4.3.2 going down; y@c: deferred 421 4.3.2 going down"
                      : "x@c: refused 550 no; y@c: deferred 421 4.3.2 going down"));
    }
}

TEST_CASE("a connection lost behind the final dot leaves the outcome unknown", "[mail]") {
    auto talk = ready();
    begin(*talk, to({"x@c", "y@c"}), "m");
    (void)all_output(*talk);
    talk->receive("250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n");
    (void)all_output(*talk);
    CHECK(talk->at() == phase::dot);
    talk->lost(errc::closed);
    CHECK(talk->at() == phase::closed);
    CHECK(summary(*talk) == "x@c: unknown 0 no reply to the message: the server closed the "
                            "connection; y@c: refused 550 no");
    CHECK(talk->failure().code == errc::closed);
    CHECK(talk->failure().where == phase::dot);
    CHECK_FALSE(talk->take_unsent());
}

TEST_CASE("nonsense behind the final dot leaves the outcome unknown too", "[mail]") {
    auto talk = ready();
    begin(*talk, to({"x@c"}), "m");
    (void)all_output(*talk);
    talk->receive("250 ok\r\n250 ok\r\n354 go\r\n");
    (void)all_output(*talk);
    talk->receive("250-ok\r\n550 ok\r\n");
    CHECK(summary(*talk).starts_with(
        "x@c: unknown 0 no reply to the message: not an SMTP reply (code 550"));
}

TEST_CASE("a connection lost before the last of the message is an error", "[mail]") {
    auto talk = ready();
    begin(*talk, to({"x@c"}), std::string(5000, 'x'));
    (void)talk->take(1000);
    talk->receive("250 ok\r\n250 ok\r\n354 go\r\n");
    CHECK(talk->take(1000).size() == 1000);
    talk->lost(std::make_error_code(std::errc::connection_reset));
    CHECK(talk->failure().code == std::errc::connection_reset);
    CHECK(talk->failure().where == phase::content);
    CHECK_FALSE(talk->take_finished());
    CHECK(talk->take_unsent());
}

TEST_CASE("an answer before the message has ended stops it", "[mail]") {
    auto talk = ready();
    begin(*talk, to({"x@c"}), std::string(5000, 'x'));
    (void)talk->take(1000);
    talk->receive("250 ok\r\n250 ok\r\n354 go\r\n");
    CHECK(talk->take(1000).size() == 1000);
    talk->receive("552 5.2.3 too big\r\n");
    CHECK(talk->at() == phase::closed);
    CHECK(talk->take(1000).empty());
    CHECK(summary(*talk) == "x@c: refused 552 5.2.3 too big");

    auto liar = ready();
    begin(*liar, to({"x@c"}), "m");
    (void)liar->take(1000);
    liar->receive("250 ok\r\n250 ok\r\n354 go\r\n250 already\r\n");
    CHECK(liar->failure().code == errc::out_of_step);
}

TEST_CASE("replies that no command asked for break the dialogue", "[mail]") {
    auto talk = ready();
    begin(*talk, to({"x@c"}), "m");
    (void)all_output(*talk);
    talk->receive("250 ok\r\n250 extra\r\n250 ok\r\n354 go\r\n");
    CHECK(talk->failure().code == errc::out_of_step);
    CHECK(talk->failure().said == "250 ok");
    CHECK_FALSE(talk->take_finished());
    CHECK(talk->take_unsent());
    auto idle = ready();
    idle->receive("250 hello?\r\n");
    CHECK(idle->at() == phase::closed);
    CHECK(idle->failure().code == errc::out_of_step);
}

TEST_CASE("more recipients than the window go out in several groups", "[mail]") {
    auto talk = ready();
    std::vector<std::string> many;
    for (int i = 0; i < 250; ++i) many.push_back("r" + std::to_string(i) + "@c");
    begin(*talk, to(many), "m");
    std::vector<std::size_t> groups;
    while (talk->at() == phase::envelope || talk->at() == phase::data) {
        auto const group = all_output(*talk);
        auto const size = static_cast<std::size_t>(std::count(group.begin(), group.end(), '\n'));
        groups.push_back(size);
        for (std::size_t i = 0; i < size; ++i)
            talk->receive(group.ends_with("DATA\r\n") && i + 1 == size ? "354 go\r\n"
                                                                       : "250 ok\r\n");
    }
    CHECK(groups == std::vector<std::size_t>{100, 100, 52});
    (void)all_output(*talk);
    talk->receive("250 ok\r\n");
    CHECK(talk->take_finished()->answers.size() == 250);
}

TEST_CASE("a message above the server's SIZE is not sent", "[mail]") {
    auto talk = ready("250-x\r\n250 SIZE 10\r\n");
    begin(*talk, to({"x@c"}), "eleven byte");
    CHECK(talk->at() == phase::ready);
    CHECK(all_output(*talk).empty());
    CHECK(summary(*talk) ==
          "x@c: refused 0 5.3.4 not sent: the message has 11 bytes and the server takes 10");
    begin(*talk, to({"x@c"}), "ten bytes!");
    CHECK(all_output(*talk) == "MAIL FROM:<a@b.example> SIZE=10\r\n");
}

TEST_CASE("a server without EHLO is spoken to with HELO", "[mail]") {
    dialogue talk(plain_settings());
    talk.receive("220 old\r\n");
    CHECK(all_output(talk) == "EHLO client.example\r\n");
    talk.receive("502 what?\r\n");
    CHECK(all_output(talk) == "HELO client.example\r\n");
    talk.receive("250-old\r\n250 PIPELINING\r\n");
    CHECK(talk.at() == phase::ready);
    CHECK_FALSE(talk.can().pipelining);
}

TEST_CASE("a greeting or hello that is refused is an error with the server's words", "[mail]") {
    for (auto [greeting, may_quit] :
         {std::pair{"554 5.7.1 go away\r\n", true}, std::pair{"421 busy\r\n", false},
          std::pair{"354 x\r\n", true}}) {
        dialogue talk(plain_settings());
        talk.receive(greeting);
        CHECK(talk.failure().code == errc::service_refused);
        CHECK(talk.failure().where == phase::banner);
        CHECK(talk.failure().said + "\r\n" == greeting);
        CHECK(talk.failure().may_quit == may_quit);
    }
    dialogue talk(plain_settings());
    talk.receive("220 x\r\n550 no\r\n550 no\r\n");
    CHECK(talk.failure().where == phase::hello);
    dialogue garbage(plain_settings());
    garbage.receive("SSH-2.0-OpenSSH_9.2\r\n");
    CHECK(garbage.failure().code == errc::bad_reply);
}

TEST_CASE("STARTTLS forgets what was said before", "[mail]") {
    auto how = plain_settings();
    how.tls = trawl::smtp::tls::required;
    dialogue talk(how);
    talk.receive("220 x\r\n250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n");
    CHECK(all_output(talk) == "EHLO client.example\r\nSTARTTLS\r\n");
    talk.receive("220 go\r\n");
    CHECK(talk.at() == phase::handshake);
    talk.secured(true);
    CHECK_FALSE(talk.can().pipelining);
    CHECK(all_output(talk) == "EHLO client.example\r\n");
    talk.receive("250 x\r\n");
    CHECK(talk.at() == phase::ready);
    CHECK_FALSE(talk.can().pipelining);
}

TEST_CASE("bytes behind the reply to STARTTLS are an attack", "[mail]") {
    auto how = plain_settings();
    how.tls = trawl::smtp::tls::required;
    for (auto behind : {"2", "250 x\r\n", "250-x\r\n250 AUTH PLAIN\r\n", "\r\n"}) {
        dialogue talk(how);
        talk.receive("220 x\r\n250-x\r\n250 STARTTLS\r\n");
        talk.receive("220 go\r\n"s + behind);
        CHECK(talk.at() == phase::closed);
        CHECK(talk.failure().code == errc::injected_reply);
    }
}

TEST_CASE("required TLS is never given up", "[mail]") {
    auto how = plain_settings();
    how.tls = trawl::smtp::tls::required;
    how.login.user = "u", how.login.secret = "p", how.loopback = true;
    for (auto replies :
         {"220 x\r\n250 x\r\n", "220 x\r\n250-x\r\n250 AUTH PLAIN\r\n",
          "220 x\r\n502 x\r\n250 x\r\n", "220 x\r\n250-x\r\n250 STARTTLS\r\n454 4.7.0 not now\r\n",
          "220 x\r\n250-x\r\n250 STARTTLS\r\n501 x\r\n",
          "220 x\r\n250-x\r\n250 STARTTLS\r\n354 x\r\n"}) {
        dialogue talk(how);
        talk.receive(replies);
        CHECK(talk.at() == phase::closed);
        CHECK(talk.failure().code == errc::tls_unavailable);
        CHECK(all_output(talk).find("AUTH") == std::string::npos);
    }
    how.tls = trawl::smtp::tls::opportunistic;
    how.login.user.clear();
    dialogue talk(how);
    talk.receive("220 x\r\n250-x\r\n250 STARTTLS\r\n454 4.7.0 not now\r\n");
    CHECK(talk.at() == phase::ready);
}

TEST_CASE("implicit TLS comes before the greeting", "[mail]") {
    auto how = plain_settings();
    how.tls = trawl::smtp::tls::implicit;
    dialogue talk(how);
    CHECK(talk.at() == phase::handshake);
    talk.secured(true);
    CHECK(talk.at() == phase::banner);
    CHECK(all_output(talk).empty());
    talk.receive("220 x\r\n");
    CHECK(all_output(talk) == "EHLO client.example\r\n");
    talk.receive("250-x\r\n250 STARTTLS\r\n");
    CHECK(talk.at() == phase::ready);
}

TEST_CASE("AUTH PLAIN comes with the command and LOGIN in two answers", "[mail]") {
    auto how = plain_settings();
    how.login.user = "bob", how.login.secret = "s3cret", how.loopback = true;
    auto const begin = [&](std::string_view mechanisms) {
        auto talk = std::make_unique<dialogue>(how);
        talk->receive("220 x\r\n");
        (void)all_output(*talk);
        talk->receive("250-x\r\n250 AUTH " + std::string(mechanisms) + "\r\n");
        return talk;
    };
    auto plain = begin("LOGIN PLAIN");
    CHECK(all_output(*plain) == "AUTH PLAIN AGJvYgBzM2NyZXQ=\r\n");
    plain->receive("235 2.7.0 welcome\r\n");
    CHECK(plain->at() == phase::ready);

    auto asking = begin("PLAIN");
    CHECK(all_output(*asking) == "AUTH PLAIN AGJvYgBzM2NyZXQ=\r\n");
    asking->receive("334 \r\n");
    CHECK(all_output(*asking) == "AGJvYgBzM2NyZXQ=\r\n");
    asking->receive("334 \r\n");
    CHECK(all_output(*asking) == "*\r\n");
    asking->receive("501 5.7.0 cancelled\r\n");
    CHECK(asking->failure().code == errc::auth_unproved);

    auto login = begin("LOGIN");
    CHECK(all_output(*login) == "AUTH LOGIN\r\n");
    login->receive("334 VXNlcm5hbWU6\r\n");
    CHECK(all_output(*login) == "Ym9i\r\n");
    login->receive("334 UGFzc3dvcmQ6\r\n");
    CHECK(all_output(*login) == "czNjcmV0\r\n");
    login->receive("535 5.7.8 wrong\r\n");
    CHECK(login->failure().code == errc::auth_denied);
    CHECK(login->failure().said == "535 5.7.8 wrong");
    CHECK(login->failure().may_quit);

    CHECK(begin("GSSAPI NTLM")->failure().code == errc::auth_unavailable);
    CHECK(begin("GSSAPI NTLM")->failure().said == "the server offers GSSAPI NTLM");
}

TEST_CASE("a password goes over verified TLS or stays on this machine", "[mail]") {
    auto how = plain_settings();
    how.login.user = "bob", how.login.secret = "s3cret";
    dialogue plain(how);
    plain.receive("220 x\r\n250-x\r\n250 AUTH PLAIN\r\n");
    CHECK(plain.failure().code == errc::auth_needs_tls);
    CHECK(all_output(plain).find("AUTH") == std::string::npos);

    for (bool verified : {false, true}) {
        how.tls = trawl::smtp::tls::opportunistic;
        dialogue talk(how);
        talk.receive("220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n");
        (void)all_output(talk);
        talk.secured(verified);
        talk.receive("250-x\r\n250 AUTH PLAIN\r\n");
        CHECK((talk.at() == phase::auth) == verified);
        CHECK((talk.failure().code == errc::auth_needs_tls) == !verified);
    }
}

TEST_CASE("a dialogue cut at every byte ends in what the server had said", "[mail]") {
    auto const group = "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n"s,
               last = "250 2.0.0 queued\r\n"s;
    auto const all = group + last;
    for (std::size_t cut = 0; cut <= all.size(); ++cut) {
        auto talk = ready();
        begin(*talk, to({"x@c", "y@c"}), "m");
        (void)all_output(*talk);
        for (std::size_t i = 0; i < cut; ++i) {
            talk->receive(all.substr(i, 1));
            (void)all_output(*talk);
        }
        talk->lost(errc::closed);
        CHECK(talk->at() == phase::closed);
        auto const done = talk->take_finished();
        if (cut < group.size()) {
            CHECK_FALSE(done);
            CHECK(talk->failure().code == errc::closed);
            CHECK(talk->take_unsent());
        } else {
            REQUIRE(done);
            CHECK(done->answers[0].status ==
                  (cut < all.size() ? status::unknown : status::accepted));
            CHECK(done->answers[1].status == status::refused);
        }
    }
}

TEST_CASE("every byte of a server's side flipped never makes an accepted message of a refused one",
          "[mail]") {
    auto const all = "250 ok\r\n550 5.1.1 no\r\n554 5.5.1 no valid recipients\r\n"s;
    for (std::size_t at = 0; at < all.size(); ++at)
        for (int bits = 1; bits < 256; ++bits) {
            auto bytes = all;
            bytes[at] = static_cast<char>(bytes[at] ^ bits);
            auto talk = ready();
            begin(*talk, to({"x@c"}), "m");
            (void)all_output(*talk);
            talk->receive(bytes);
            (void)all_output(*talk);
            talk->lost(errc::closed);
            CHECK(talk->settled());
            if (auto const done = talk->take_finished())
                CHECK(done->answers[0].status != status::accepted);
        }
}

// ---- several messages on one connection ----

constexpr auto chunking = "250-mx.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n"sv;

TEST_CASE("the next envelope goes with the final dot", "[mail]") {
    auto talk = ready();
    begin(*talk, to({"x@c"}), "one");
    CHECK(talk->wants_more());
    begin(*talk, to({"y@c"}), "two");
    CHECK(all_output(*talk) == "MAIL FROM:<a@b.example> SIZE=3\r\nRCPT TO:<x@c>\r\nDATA\r\n");
    CHECK_FALSE(talk->wants_more());
    talk->receive("250 ok\r\n250 ok\r\n354 go\r\n");
    CHECK(all_output(*talk) == "one\r\n.\r\nMAIL FROM:<a@b.example> SIZE=3\r\nRCPT "
                               "TO:<y@c>\r\nDATA\r\n");
    CHECK(talk->at() == phase::dot);
    talk->receive("250 taken\r\n550 5.1.8 not from you\r\n503 x\r\n503 x\r\n");
    CHECK(summary(*talk) == "x@c: accepted 250 taken");
    CHECK(summary(*talk) == "y@c: refused 550 5.1.8 not from you");
    CHECK(talk->at() == phase::ready);
}

TEST_CASE("with CHUNKING whole messages follow each other, with RSET between them", "[mail]") {
    auto talk = ready(chunking);
    begin(*talk, to({"x@c"}), "one\n.\n");
    begin(*talk, to({"y@c"}), "two");
    CHECK(all_output(*talk) ==
          "MAIL FROM:<a@b.example>\r\nRCPT TO:<x@c>\r\nBDAT 8 LAST\r\none\r\n.\r\n"
          "RSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<y@c>\r\nBDAT 5 LAST\r\ntwo\r\n");
    talk->receive("250 ok\r\n550 no\r\n503 5.5.1 nobody\r\n250 reset\r\n250 ok\r\n250 ok\r\n");
    CHECK(summary(*talk) == "x@c: refused 550 no");
    talk->receive("250 taken\r\n");
    CHECK(summary(*talk) == "y@c: accepted 250 taken");
}

TEST_CASE("a text is not sent ahead on a connection that was idle and may be dead", "[mail]") {
    auto talk = ready(chunking);
    begin(*talk, to({"x@c"}), "one");
    (void)all_output(*talk);
    talk->receive("250 ok\r\n250 ok\r\n250 taken\r\n");
    CHECK(summary(*talk) == "x@c: accepted 250 taken");
    begin(*talk, to({"y@c"}), "two");
    CHECK(all_output(*talk) == "MAIL FROM:<a@b.example>\r\nRCPT TO:<y@c>\r\n");
    SECTION("alive") {
        talk->receive("250 ok\r\n250 ok\r\n");
        CHECK(all_output(*talk) == "BDAT 5 LAST\r\ntwo\r\n");
        talk->receive("452 full\r\n");
        CHECK(summary(*talk) == "y@c: deferred 452 full");
        begin(*talk, to({"z@c"}), "three");
        CHECK(all_output(*talk).starts_with("RSET\r\nMAIL"));
    }
    SECTION("dead") {
        talk->lost(errc::closed);
        CHECK_FALSE(talk->take_finished());
        CHECK(talk->take_unsent());
    }
    SECTION("421 is for what was before") {
        talk->receive("421 idle too long\r\n");
        CHECK_FALSE(talk->take_finished());
        CHECK(talk->take_unsent());
    }
}

TEST_CASE("a dialogue of several messages cut at every byte claims nothing the server did not say",
          "[mail]") {
    struct plan {
        std::string_view hello;
        std::vector<std::string> replies; ///< the last of each message's ends it
        std::size_t ends[3];
    };
    plan const by_dot{pipelining,
                      {"250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 1\r\n", "250 ok\r\n",
                       "250 ok\r\n", "354 go\r\n", "250 2\r\n", "250 ok\r\n", "250 ok\r\n",
                       "354 go\r\n", "250 3\r\n"},
                      {4, 8, 12}};
    plan const by_chunk{chunking,
                        {"250 ok\r\n", "250 ok\r\n", "250 1\r\n", "250 reset\r\n", "250 ok\r\n",
                         "250 ok\r\n", "250 2\r\n", "250 reset\r\n", "250 ok\r\n", "250 ok\r\n",
                         "250 3\r\n"},
                        {3, 7, 11}};
    for (auto const& [hello, replies, ends] : {by_dot, by_chunk}) {
        std::string all;
        std::vector<std::size_t> behind{0}; // bytes that end with reply i
        for (auto const& one : replies) all += one, behind.push_back(all.size());
        for (std::size_t cut = 0; cut <= all.size(); ++cut) {
            auto talk = ready(hello);
            std::string wire;
            std::size_t begun = 0;
            auto const feed = [&] {
                while (begun < 3 && talk->wants_more())
                    begin(*talk, to({"r" + std::to_string(begun) + "@c"}), "m"), ++begun;
                wire += all_output(*talk);
            };
            feed();
            for (std::size_t i = 0; i < cut; ++i) talk->receive(all.substr(i, 1)), feed();
            talk->lost(errc::closed);
            std::size_t known = 0;
            while (auto const done = talk->take_finished()) {
                auto const& answer = done->answers.at(0);
                auto const which = static_cast<std::size_t>(answer.address.at(1) - '0');
                bool const said = cut >= behind[ends[which]];
                CHECK((answer.status == status::accepted) == said);
                if (!said) CHECK(answer.status == status::unknown);
                ++known;
            }
            while (auto const back = talk->take_unsent()) {
                auto const which = back->answers.at(0).address.at(1) - '0';
                CHECK(cut < behind[ends[which]]);
                // Nothing of it can have been delivered: its text never left.
                auto const name = "TO:<" + back->answers.at(0).address + ">\r\n";
                auto const at = wire.find(name);
                CHECK((at == std::string::npos || wire.find("\r\nm\r\n", at) == std::string::npos));
                ++known;
            }
            CHECK(known == begun);
        }
    }
}

TEST_CASE("421 between messages gives back those behind it, for nothing of them was read",
          "[mail]") {
    auto talk = ready(chunking);
    for (auto one : {"x@c", "y@c", "z@c"}) begin(*talk, to({one}), "m");
    (void)all_output(*talk);
    talk->receive("250 ok\r\n250 ok\r\n250 taken\r\n250 reset\r\n421 shutting down\r\n");
    CHECK(summary(*talk) == "x@c: accepted 250 taken");
    CHECK(summary(*talk) == "y@c: deferred 421 shutting down");
    auto const back = talk->take_unsent();
    REQUIRE(back);
    CHECK(back->answers.at(0).address == "z@c");
}

TEST_CASE("recipients above the server's limits go in other transactions of the message",
          "[mail]") {
    auto talk = ready("250-x\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2 RCPTDOMAINMAX=1\r\n");
    begin(*talk, to({"a@c", "b@c", "d@c", "e@f"}), "m");
    CHECK(all_output(*talk) ==
          "MAIL FROM:<a@b.example>\r\nRCPT TO:<a@c>\r\nRCPT TO:<b@c>\r\nDATA\r\n");
    talk->receive("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    CHECK(all_output(*talk) == "m\r\n.\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<d@c>\r\nDATA\r\n");
    talk->receive("250 1\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    CHECK(all_output(*talk) == "m\r\n.\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<e@f>\r\nDATA\r\n");
    talk->receive("250 2\r\n250 ok\r\n550 no\r\n554 nobody\r\n");
    CHECK(summary(*talk) ==
          "a@c: accepted 250 1; b@c: accepted 250 1; d@c: accepted 250 2; e@f: refused 550 no");

    auto full = ready();
    begin(*full, to({"a@c", "b@c"}), "m");
    (void)all_output(*full);
    full->receive("250 ok\r\n250 ok\r\n452 4.5.3 too many recipients\r\n354 go\r\n");
    (void)all_output(*full);
    full->receive("250 1\r\n");
    CHECK(all_output(*full) == "MAIL FROM:<a@b.example> SIZE=1\r\nRCPT TO:<b@c>\r\nDATA\r\n");
    full->receive("250 ok\r\n250 ok\r\n354 go\r\n");
    CHECK(all_output(*full) == "m\r\n.\r\n");
    full->receive("250 2\r\n");
    CHECK(summary(*full) == "a@c: accepted 250 1; b@c: accepted 250 2");
}

TEST_CASE("LMTP greets with LHLO and answers for each recipient that was taken", "[mail]") {
    auto how = plain_settings();
    how.protocol = trawl::smtp::protocol::lmtp;
    dialogue talk(how);
    talk.receive("220 x\r\n");
    CHECK(all_output(talk) == "LHLO client.example\r\n");
    talk.receive("250-x\r\n250 PIPELINING\r\n");
    begin(talk, to({"x@c", "y@c", "z@c"}), "m");
    (void)all_output(talk);
    talk.receive("250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n");
    CHECK(all_output(talk) == "m\r\n.\r\n");
    talk.receive("250 in x\r\n");
    CHECK(talk.at() == phase::dot);
    auto const cut = [&](bool whole) {
        if (whole)
            talk.receive("452 4.2.2 z is full\r\n");
        else
            talk.lost(errc::closed);
    };
    SECTION("whole") {
        cut(true);
        CHECK(summary(talk) ==
              "x@c: accepted 250 in x; y@c: refused 550 no; z@c: deferred 452 4.2.2 z is full");
    }
    SECTION("cut") {
        cut(false);
        CHECK(summary(talk).find("x@c: accepted 250 in x; y@c: refused 550 no; z@c: unknown 0") ==
              0);
    }
}

TEST_CASE("DSN, SMTPUTF8 and REQUIRETLS are said to servers that know them", "[mail]") {
    trawl::smtp::parameters wants;
    wants.notify.success = wants.notify.delay = true;
    wants.returned = trawl::smtp::returned::headers;
    wants.envelope_id = "a+b=c";
    auto talk = ready("250-x\r\n250-DSN\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n");
    begin(*talk, to({"x@c", "z\xc3\xab@c"}), "m", wants);
    CHECK(all_output(*talk) == "MAIL FROM:<a@b.example> SMTPUTF8 RET=HDRS ENVID=a+2Bb+3Dc\r\n"
                               "RCPT TO:<x@c> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@c\r\n"
                               "RCPT TO:<z\xc3\xab@c> NOTIFY=SUCCESS,DELAY\r\nDATA\r\n");
    auto old = ready();
    begin(*old, to({"x@c", "z\xc3\xab@c"}), "m", wants);
    CHECK(all_output(*old) == "MAIL FROM:<a@b.example> SIZE=1\r\nRCPT TO:<x@c>\r\nDATA\r\n");
    old->receive("250 ok\r\n250 ok\r\n354 go\r\n");
    (void)all_output(*old);
    old->receive("250 ok\r\n");
    CHECK(summary(*old) == "x@c: accepted 250 ok; z\xc3\xab@c: refused 0 5.6.7 not sent: the "
                           "address needs SMTPUTF8, which the server does not offer");
    wants.require_tls = true;
    auto plain = ready("250-x\r\n250 REQUIRETLS\r\n");
    begin(*plain, to({"x@c"}), "m", wants);
    CHECK(all_output(*plain).empty());
    CHECK(summary(*plain) == "x@c: refused 0 5.7.30 not sent: REQUIRETLS needs a verified TLS "
                             "connection");
}

TEST_CASE("a trace has every line, and neither secret nor text", "[mail]") {
    for (auto mechanism : {"PLAIN", "LOGIN"}) {
        std::string seen;
        auto how = plain_settings();
        how.login.user = "bob", how.login.secret = "s3cret", how.loopback = true;
        how.trace = [&](char direction, std::string_view line) {
            seen += direction + std::string(line) + '\n';
        };
        dialogue talk(how);
        talk.receive("220 x\r\n");
        (void)all_output(talk);
        talk.receive("250-x\r\n250 AUTH " + std::string(mechanism) + "\r\n");
        (void)all_output(talk);
        if (mechanism == "LOGIN"s) {
            talk.receive("334 VXNlcm5hbWU6\r\n");
            (void)all_output(talk);
            talk.receive("334 UGFzc3dvcmQ6\r\n");
            (void)all_output(talk);
        }
        talk.receive("235 welcome\r\n");
        begin(talk, to({"x@c"}), "private");
        for (auto r : {"250 ok\r\n", "250 ok\r\n", "354 go\r\n"})
            (void)all_output(talk), talk.receive(r);
        (void)all_output(talk);
        CHECK(seen.find(">AUTH "s + mechanism) != std::string::npos);
        CHECK(seen.find("<250-x\n<250 AUTH ") != std::string::npos);
        CHECK(seen.find(">[12 bytes of the message]\n") != std::string::npos);
        for (auto secret : {"AGJvYgBzM2NyZXQ", "czNjcmV0", "private", "s3cret"})
            CHECK(seen.find(secret) == std::string::npos);
    }
}
