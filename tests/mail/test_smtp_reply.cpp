#include "mail/smtp_reply.hpp"
#include "test.hpp"

#include <string>

using namespace std::string_literals;
using namespace std::string_view_literals;
using namespace trawl::smtp::detail;

namespace {

std::string fault_of(std::string_view bytes) {
    reply_parser parser;
    parser.feed(bytes);
    while (parser.next()) {
    }
    return std::string(parser.fault());
}

} // namespace

TEST_CASE("replies are read with code, enhanced code and text", "[mail]") {
    reply_parser parser;
    parser.feed("250-2.1.0 first\r\n250-2.1.0 second\r\n250 2.1.0 third\r\n220\r\n354 go on\n550 "
                "5.1.1\r\n250 4.1.1 odd\r\n");
    auto r = parser.next();
    REQUIRE(r);
    CHECK(r->code == 250);
    CHECK(r->enhanced == "2.1.0");
    CHECK(r->text == "first second third");
    CHECK(r->lines == "2.1.0 first\n2.1.0 second\n2.1.0 third");
    CHECK(r->words() == "250 2.1.0 first second third");
    CHECK(parser.next()->text.empty());
    CHECK(parser.next()->text == "go on");
    r = parser.next();
    CHECK(r->enhanced == "5.1.1");
    CHECK(r->text.empty());
    CHECK(parser.next()->enhanced.empty());
    CHECK_FALSE(parser.next());
    CHECK(parser.empty());
    CHECK(parser.fault().empty());
}

TEST_CASE("replies cut at any two places are the same replies", "[mail]") {
    auto const stream =
        "220 mx\r\n250-mx.example\r\n250-SIZE\r\n250 2.0.0 ok \xc3\xa9\r\n354\r\n550-5.1.1 a\r\n550 5.1.1 b\r\n"s;
    for (std::size_t a = 0; a <= stream.size(); ++a)
        for (std::size_t b = a; b <= stream.size(); ++b) {
            reply_parser parser;
            std::string seen;
            for (auto piece : {stream.substr(0, a), stream.substr(a, b - a), stream.substr(b)}) {
                parser.feed(piece);
                while (auto r = parser.next()) seen += r->words() + '|';
            }
            REQUIRE(seen == "220 mx|250 2.0.0 mx.example SIZE ok \xc3\xa9|354|550 5.1.1 a b|");
            REQUIRE(parser.empty());
        }
}

TEST_CASE("every code from 200 to 599 is one, no other is", "[mail]") {
    for (int code = 0; code < 1000; ++code) {
        auto const digits = std::to_string(1000 + code).substr(1);
        CHECK(fault_of(digits + " x\r\n").empty() == (code >= 200 && code < 600));
    }
}

TEST_CASE("what no server may send is refused", "[mail]") {
    CHECK(fault_of("250-a\r\n550 b\r\n") == "code 550 in a reply that began with 250");
    CHECK(fault_of("250 a\0b\r\n"s) == "a NUL");
    CHECK(fault_of("250 a\0"s) == "a NUL");
    CHECK(fault_of("hello\r\n") == "no reply code in \"hello\"");
    CHECK_FALSE(fault_of("\r\n").empty());
    CHECK_FALSE(fault_of("25\r\n").empty());
    CHECK_FALSE(fault_of("2500 x\r\n").empty());
    CHECK_FALSE(fault_of("250+x\r\n").empty());
    CHECK_FALSE(fault_of(" 250 x\r\n").empty());
    CHECK_FALSE(fault_of("HTTP/1.1 400 Bad Request\r\n").empty());
    CHECK(fault_of("250 " + std::string(2040, 'x') + "\r\n").empty());
    CHECK(fault_of("250 " + std::string(2048, 'x')) == "a line longer than 2048 bytes");
    std::string many, big;
    for (int i = 0; i < 129; ++i) many += "250-x\r\n";
    CHECK(fault_of(many) == "a reply of more than 128 lines");
    for (int i = 0; i < 64; ++i) big += "250-" + std::string(1200, 'x') + "\r\n";
    CHECK(fault_of(big) == "a reply longer than 65536 bytes");
}

TEST_CASE("an endless reply costs no more memory than its limits", "[mail]") {
    reply_parser line, lines;
    std::string const block(4096, '2');
    for (int i = 0; i < 100; ++i) {
        line.feed(block);
        CHECK_FALSE(line.next());
        CHECK_FALSE(line.fault().empty());
    }
    for (int i = 0; i < 1000 && lines.fault().empty(); ++i) {
        lines.feed("250-x\r\n");
        CHECK_FALSE(lines.next());
    }
    CHECK_FALSE(lines.fault().empty());
}

TEST_CASE("every byte of a reply flipped gives a reply or a clean fault", "[mail]") {
    auto const good = "250-2.1.0 first\r\n250 2.1.0 second\r\n"s;
    for (std::size_t at = 0; at < good.size(); ++at)
        for (int bits = 1; bits < 256; ++bits) {
            auto bytes = good;
            bytes[at] = static_cast<char>(bytes[at] ^ bits);
            reply_parser parser;
            parser.feed(bytes);
            while (auto const r = parser.next()) {
                CHECK((r->code >= 200 && r->code < 600));
                CHECK(r->text.find('\0') == std::string::npos);
            }
        }
}

TEST_CASE("the extensions of EHLO are read in any case", "[mail]") {
    reply_parser parser;
    parser.feed("250-x\r\n250-pipelining\r\n250-Size "
                "35882577\r\n250-8bitmime\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN CRAM-MD5\r\n"
                "250 AUTH=LOGIN\r\n250-x\r\n250-SIZE\r\n250-SIZE x\r\n250-SIZE "
                "99999999999999999999\r\n250-PIPELININGS\r\n250 AUTHX PLAIN\r\n");
    auto const can = capabilities::of(*parser.next());
    CHECK((can.pipelining && can.eight_bit && can.starttls && can.sizes));
    CHECK(can.auth == "PLAIN LOGIN CRAM-MD5");
    CHECK((can.has_auth("LOGIN") && !can.has_auth("LOG") && !can.has_auth("")));
    CHECK(can.size == 35882577);
    auto const nothing = capabilities::of(*parser.next());
    CHECK_FALSE((nothing.pipelining || !nothing.auth.empty() || nothing.size));
    CHECK(nothing.sizes);

    parser.feed("250-x\r\n250-CHUNKING\r\n250-SMTPUTF8\r\n250-DSN\r\n250-REQUIRETLS\r\n"
                "250 LIMITS MAILMAX=7 rcptmax=50 RCPTDOMAINMAX=1 RCPTMAX=x OTHER\r\n");
    auto const more = capabilities::of(*parser.next());
    CHECK((more.chunking && more.utf8 && more.dsn && more.require_tls));
    CHECK(more.mail_max == 7);
    CHECK(more.rcpt_max == 0);
    CHECK(more.rcpt_domain_max == 1);
}
