#include "mail/dot_stuffer.hpp"
#include "test.hpp"

#include <random>

using namespace std::string_literals;
using namespace trawl::smtp::detail;

namespace {

std::string stuffed(std::vector<std::string> const& chunks) {
    dot_stuffer stuffer;
    std::string out;
    for (auto const& chunk : chunks) stuffer.write(chunk, out);
    stuffer.finish(out);
    return out;
}

} // namespace

TEST_CASE("dots are stuffed and every line end becomes CRLF", "[mail]") {
    CHECK(stuffed({""}) == ".\r\n");
    CHECK(stuffed({"a"}) == "a\r\n.\r\n");
    CHECK(stuffed({"a\r\n"}) == "a\r\n.\r\n");
    CHECK(stuffed({".\n..\n.a\na."}) == "..\r\n...\r\n..a\r\na.\r\n.\r\n");
    // The five ways to smuggle a message past a lenient server.
    for (auto body : {"a\n.\nb", "a\r.\rb", "a\n.\r\nb", "a\r\n.\nb", "a\r\n.\r\nb"})
        CHECK(stuffed({body}) == "a\r\n..\r\nb\r\n.\r\n");
    CHECK(stuffed({"a\r\r\n.b"}) == "a\r\n\r\n..b\r\n.\r\n");
}

TEST_CASE("a message cut at any two places is stuffed the same", "[mail]") {
    auto const body = ".a\r\n.\n\r.\r\r\n..b\n\n.c\r\n.\r\n"s;
    auto const whole = stuffed({body});
    for (std::size_t a = 0; a <= body.size(); ++a)
        for (std::size_t b = a; b <= body.size(); ++b)
            REQUIRE(stuffed({body.substr(0, a), body.substr(a, b - a), body.substr(b)}) == whole);
}

TEST_CASE("no stuffed message holds a bare line end or an early final dot", "[mail]") {
    std::mt19937 random(3);
    for (int round = 0; round < 20000; ++round) {
        std::string body;
        for (auto n = random() % 12; n > 0; --n) body += "\r\n.a"[random() % 4];
        auto const out = stuffed({body});
        REQUIRE(out.ends_with(".\r\n"));
        auto const content = out.substr(0, out.size() - 3);
        REQUIRE((content.empty() || content.ends_with("\r\n")));
        REQUIRE(("\r\n" + content).find("\r\n.\r\n") == std::string::npos);
        for (std::size_t i = 0; i < out.size(); ++i) {
            if (out[i] == '\r') REQUIRE((i + 1 < out.size() && out[i + 1] == '\n'));
            if (out[i] == '\n') REQUIRE((i > 0 && out[i - 1] == '\r'));
        }
    }
}

namespace {

/// The same, a character at a time.
std::string by_the_letter(std::string_view body, bool dots) {
    std::string out;
    bool at_begin = true;
    for (std::size_t i = 0; i < body.size(); ++i) {
        if (body[i] == '\r' || body[i] == '\n') {
            if (body.substr(i, 2) == "\r\n") ++i;
            out += "\r\n";
            at_begin = true;
            continue;
        }
        if (dots && at_begin && body[i] == '.') out += '.';
        out += body[i];
        at_begin = false;
    }
    if (!at_begin) out += "\r\n";
    return dots ? out + ".\r\n" : out;
}

/// Lines of some `length` bytes, with everything that a message may not have at random places.
std::string rough_text(std::mt19937& random, std::size_t length) {
    std::string body;
    for (auto lines = random() % 8; lines > 0; --lines) {
        body += std::string(random() % length, 'x');
        constexpr std::string_view ends[] = {"\r\n", "\r\n", "\r\n", "\r\n.",
                                             "\r",   "\n",   "\n.",  ""};
        body += ends[random() % 8];
    }
    return body;
}

} // namespace

TEST_CASE("long lines are stuffed as they are by the letter, wherever they are cut", "[mail]") {
    std::mt19937 random(5);
    for (int round = 0; round < 5000; ++round) {
        auto const body = rough_text(random, round % 2 ? 20 : 70);
        auto const cut = random() % (body.size() + 1);
        REQUIRE(stuffed({body.substr(0, cut), body.substr(cut)}) == by_the_letter(body, true));
        dot_stuffer lines(false);
        std::string out;
        lines.write(body, out);
        lines.finish(out);
        REQUIRE(out == by_the_letter(body, false));
        REQUIRE(has_wire_lines(body) == (out == body));
        REQUIRE(has_wire_lines(out));
    }
}

TEST_CASE("a byte above 127 is found wherever it is", "[mail]") {
    for (std::size_t size = 0; size < 70; ++size) {
        std::string text(size, '\x7f');
        CHECK_FALSE(has_8bit(text));
        for (auto& c : text) {
            c = '\x80';
            REQUIRE(has_8bit(text));
            c = '\0';
        }
    }
}
