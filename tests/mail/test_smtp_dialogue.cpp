#include "mail/talk.hpp"

#include <algorithm>

using namespace std::string_literals;
using namespace trawl::smtp::detail;
using namespace trawl::test;
using trawl::mime::envelope;
using trawl::smtp::errc;
using trawl::smtp::status;

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
