#include "mail/talk.hpp"

using namespace std::string_literals;
using namespace trawl::smtp::detail;
using namespace trawl::test;
using trawl::mime::envelope;
using trawl::smtp::errc;
using trawl::smtp::status;

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
