#include "mail/decoding.hpp"
#include "mail/encoding.hpp"
#include "mail/header_line.hpp"
#include "test.hpp"

#include <random>

using namespace std::string_literals;
using namespace trawl::mime::detail;

namespace {

std::string subject(std::string_view text) {
    header_line line("Subject");
    line.text(text);
    return line.str();
}
std::string display(std::string_view name) {
    header_line line("To");
    line.phrase(name);
    return line.str();
}

/// Every line within the limit, and no line of blanks alone.
void check_lines(std::string const& field, std::size_t limit = 76) {
    REQUIRE(field.ends_with("\r\n"));
    for (std::size_t begin = 0; begin < field.size();) {
        auto const end = field.find("\r\n", begin);
        auto const line = field.substr(begin, end - begin);
        CHECK(line.size() <= limit);
        CHECK(line.find_first_not_of(" \t") != std::string::npos);
        if (begin > 0) CHECK((line.front() == ' ' || line.front() == '\t'));
        begin = end + 2;
    }
}

} // namespace

TEST_CASE("base64 has the vectors of RFC 4648", "[mail]") {
    CHECK(base64("").empty());
    CHECK(base64("f") == "Zg==");
    CHECK(base64("fo") == "Zm8=");
    CHECK(base64("foo") == "Zm9v");
    CHECK(base64("foobar") == "Zm9vYmFy");
    CHECK(base64("\xff\xfe\xfd"s) == "//79");
    auto const lines = [](std::string_view bytes) {
        std::string out;
        append_base64_lines(out, bytes);
        CHECK(out.size() == base64_size(bytes.size()));
        return out;
    };
    CHECK(lines("").empty());
    CHECK(lines(std::string(57, 'a')).size() == 78);
    CHECK(lines(std::string(58, 'a')) == lines(std::string(57, 'a')) + "YQ==\r\n");
}

TEST_CASE("UTF-8 is told from what is not", "[mail]") {
    for (auto good : {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xed\x9f\xbf", "\xee\x80\x80",
                      "\xf0\x9f\x90\x9f", "\xf4\x8f\xbf\xbf"})
        CHECK(is_utf8(good));
    for (std::size_t at = 0; at < 20; ++at) {
        std::string text(20, 'x');
        CHECK(is_utf8(text.replace(at, 1, "\xc3\xa9")));
        CHECK_FALSE(is_utf8(text.replace(at, 2, "\xc3")));
    }
    for (auto bad :
         {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xe2\x82",
          "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xc3(b"})
        CHECK_FALSE(is_utf8(bad));
}

TEST_CASE("UTF-8 is checked at every place of a long text", "[mail]") {
    for (std::size_t at = 0; at < 20; ++at) {
        auto good = std::string(20, 'x'), bad = good;
        CHECK(is_utf8(good.replace(at, 1, "\xc3\xa9")));
        CHECK_FALSE(is_utf8(bad.replace(at, 1, "\xc3")));
    }
}

TEST_CASE("base64 and quoted-printable read back as what they were, whatever the length",
          "[mail]") {
    std::mt19937 random(5);
    for (std::size_t size = 0; size < 400; ++size) {
        std::string bytes;
        for (std::size_t i = 0; i < size; ++i)
            bytes += static_cast<char>(size % 3 == 0 ? random() : "a =.\r\n\t\xe9"[random() % 8]);
        std::string lines;
        append_base64_lines(lines, bytes);
        CHECK(base64_decoded(lines) == bytes);
        CHECK(base64_decoded(base64(bytes)) == bytes);
        CHECK(quoted_printable_decoded(quoted_printable(bytes)) == bytes);
    }
}

TEST_CASE("broken base64 and quoted-printable give what can be read", "[mail]") {
    CHECK(base64_decoded("Zm9v\r\n  YmFy") == "foobar");
    CHECK(base64_decoded("Zm9vYg") == "foob");
    CHECK(base64_decoded("Zm9v!Y*m\xff"
                         "Fy") == "foobar");
    CHECK(base64_decoded("Zg==Zm9v") == "f");
    CHECK(base64_decoded("=").empty());
    CHECK(quoted_printable_decoded("a=3db=3Dc=ZZ=") == "a=b=c=ZZ");
    CHECK(quoted_printable_decoded("soft=  \nend  \nx=") == "softend\r\nx");
}

TEST_CASE("a survey finds the same at every place of a text", "[mail]") {
    for (std::size_t at = 0; at < 24; ++at)
        for (char c : {'=', '\x7f', '\x1f', '\0', '\r', '\n', '\x80', '\xff', '\t', '~'}) {
            auto text = std::string(24, 'x');
            text[at] = c;
            auto const seen = look_at(text);
            bool const control = c == '\x7f' || (c >= 0 && c < ' ' && c != '\t');
            CHECK(seen.equals == (c == '='));
            CHECK(seen.controls == control);
            CHECK(seen.eight_bit == (static_cast<unsigned char>(c) > 127));
            CHECK(seen.longest_line == 24);
        }
    CHECK(look_at("12345678901234567890\r\n1234\r\n").longest_line == 20);
}

TEST_CASE("all line ends become CRLF, wherever the text is cut", "[mail]") {
    std::string const text = "a\nb\r\nc\rd\n\r\r\n\n";
    for (std::size_t first = 0; first <= text.size(); ++first)
        for (std::size_t second = first; second <= text.size(); ++second) {
            std::string out;
            line_ends ends;
            ends.write(text.substr(0, first), out);
            ends.write(text.substr(first, second - first), out);
            ends.write(text.substr(second), out);
            CHECK(out == with_crlf(text));
        }
    CHECK(with_crlf("a\nb\r\nc\rd\n\r\r\n") == "a\r\nb\r\nc\r\nd\r\n\r\n\r\n");
    CHECK(with_crlf("").empty());
    CHECK(with_crlf("x") == "x");
}

TEST_CASE("quoted-printable keeps lines within 76 bytes and protects what servers change",
          "[mail]") {
    CHECK(quoted_printable("a=b\r\n") == "a=3Db\r\n");
    CHECK(quoted_printable("end \r\nend\t\r\n mid dle") == "end=20\r\nend=09\r\n mid dle");
    CHECK(quoted_printable(".\r\nFrom x\r\nFromage") == "=2E\r\n=46rom x\r\nFromage");
    CHECK(quoted_printable("\xc3\xa9") == "=C3=A9");
    CHECK(quoted_printable(std::string(76, 'x')) == std::string(76, 'x'));
    CHECK(quoted_printable(std::string(77, 'x')) == std::string(75, 'x') + "=\r\nxx");
    for (std::size_t length = 60; length < 240; ++length) {
        auto const out =
            quoted_printable(std::string(length, 'x') + std::string(length % 7, '\xe9') + ' ');
        for (std::size_t begin = 0; begin < out.size();) {
            auto const end = std::min(out.find("\r\n", begin), out.size());
            CHECK(end - begin <= 76);
            begin = end + 2;
        }
    }
}

TEST_CASE("the encoding of a body follows from its content", "[mail]") {
    auto const chosen = [](std::string const& text, bool allow_8bit) {
        return choose(look_at(text), text.size(), allow_8bit);
    };
    CHECK(chosen("plain\r\n", true) == encoding::seven_bit);
    CHECK(chosen(std::string(998, 'x') + "\r\n", true) == encoding::seven_bit);
    CHECK(chosen(std::string(999, 'x') + "\r\n", true) == encoding::quoted_printable);
    CHECK(chosen("mostly plain, one \xc3\xa9\r\n", true) == encoding::eight_bit);
    CHECK(chosen("mostly plain, one \xc3\xa9\r\n", false) == encoding::quoted_printable);
    CHECK(chosen("\xe7\xae\xa1\xe7\x90\x86\xe5\x91\x98", false) == encoding::base64);
    CHECK(chosen("a terminal's \x1b[1m words are escaped", true) == encoding::quoted_printable);
    CHECK(chosen("\0\0\0"s, true) == encoding::base64);
}

TEST_CASE("header text has the forms of RFC 2047", "[mail]") {
    CHECK(subject("plain text") == "Subject: plain text\r\n");
    CHECK(subject("") == "Subject:\r\n");
    CHECK(subject("Zo\xc3\xab") == "Subject: =?utf-8?q?Zo=C3=AB?=\r\n");
    CHECK(subject("Hello Zo\xc3\xab and all") == "Subject: Hello =?utf-8?q?Zo=C3=AB?= and all\r\n");
    CHECK(subject("\xc3\xa9 and \xc3\xa9") == "Subject: =?utf-8?q?=C3=A9_and_=C3=A9?=\r\n");
    CHECK(subject("\xe7\xae\xa1\xe7\x90\x86") == "Subject: =?utf-8?b?566h55CG?=\r\n");
    CHECK(subject("=?utf-8?q?x?=") == "Subject: =?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=\r\n");
    CHECK(subject(" lead") == "Subject: =?utf-8?q?_lead?=\r\n");
    CHECK(subject("two  \xc3\xa9") == "Subject: =?utf-8?q?two__=C3=A9?=\r\n");
    CHECK(subject("\x1b[31m") == "Subject: =?utf-8?q?=1B=5B31m?=\r\n");
}

TEST_CASE("display names are atoms, quoted or encoded", "[mail]") {
    CHECK(display("Bob Builder") == "To: Bob Builder\r\n");
    CHECK(display("Builder, B.") == "To: \"Builder, B.\"\r\n");
    CHECK(display("a \"b\" \\") == "To: \"a \\\"b\\\" \\\\\"\r\n");
    CHECK(display("two  blanks") == "To: \"two  blanks\"\r\n");
    CHECK(display("Zo\xc3\xab, M.") == "To: =?utf-8?q?Zo=C3=AB=2C_M=2E?=\r\n");
}

TEST_CASE("long header text is folded within 76 bytes and cut between characters", "[mail]") {
    std::mt19937 random(7);
    std::string const alphabet[] = {"a",  "bc", " ", "\xc3\xab", "\xe7\xae\xa1", "\xf0\x9f\x90\x9f",
                                    "=?", "_",  "\t"};
    for (int round = 0; round < 2000; ++round) {
        std::string text;
        for (auto n = random() % 200; n > 0; --n) text += alphabet[random() % std::size(alphabet)];
        auto const field = subject(text);
        check_lines(field);
        for (std::size_t at = 0; (at = field.find("=?utf-8?", at)) != std::string::npos;) {
            auto const end = field.find("?=", at + 10);
            REQUIRE(end != std::string::npos);
            CHECK(end + 2 - at <= 75);
            at = end + 2;
        }
    }
}

TEST_CASE("parameters beyond ASCII or a line take the form of RFC 2231", "[mail]") {
    auto const parameter = [](std::string_view value) {
        header_line line("Content-Disposition");
        line.word("attachment");
        line.parameter("filename", value);
        return line.str();
    };
    CHECK(parameter("a \"b\".txt") ==
          "Content-Disposition: attachment; filename=\"a \\\"b\\\".txt\"\r\n");
    CHECK(parameter("\xe2\x82\xac rates.txt") ==
          "Content-Disposition: attachment; filename*=utf-8''%E2%82%AC%20rates.txt\r\n");
    std::string name;
    for (int i = 0; i < 40; ++i) name += "\xe2\x82\xac" + std::to_string(i);
    auto const cut = parameter(name);
    check_lines(cut);
    CHECK(cut.find("filename*0*=utf-8''%E2%82%AC0") != std::string::npos);
    CHECK(cut.find("filename*5*=") != std::string::npos);
    check_lines(parameter(std::string(300, 'x')));
}
