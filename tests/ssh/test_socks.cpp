#include "ssh/socks.hpp"
#include "test.hpp"

#include <algorithm>
#include <string>

using trawl::ssh::detail::socks_request;
using stage = socks_request::stage;
using outcome = socks_request::outcome;
using namespace std::string_literals;

namespace {

struct heard {
    socks_request request;
    std::string replies;
    std::size_t used = 0; // bytes of the input
};

/// Gives `input` in pieces of at most `step` bytes, and never more than is wanted.
heard talk(std::string_view input, std::size_t step = 1000) {
    heard here;
    while (here.request.at() == stage::reading && here.used < input.size()) {
        auto const piece = input.substr(here.used, std::min(step, here.request.wanted()));
        here.replies += here.request.take(piece);
        here.used += piece.size();
    }
    return here;
}

std::string const hello = "\x05\x01\x00"s, welcome = "\x05\x00"s;

std::string refusal(char code) { return "\x05"s + code + "\x00\x01\0\0\0\0\0\0"s; }

} // namespace

TEST_CASE("SOCKS 5 asks for an IPv4 address, an IPv6 address or a name", "[ssh][socks]") {
    auto const v4 = talk(hello + "\x05\x01\x00\x01\x7f\x00\x00\x02\x1f\x90"s);
    CHECK(v4.request.at() == stage::complete);
    CHECK(v4.request.host() == "127.0.0.2");
    CHECK(v4.request.port() == 8080);
    CHECK(v4.replies == welcome);
    auto const v6 = talk(hello + "\x05\x01\x00\x04"s + std::string(15, '\0') + "\x01\x00\x50"s);
    CHECK(v6.request.host() == "::1");
    CHECK(v6.request.port() == 80);
    auto const name = talk(hello + "\x05\x01\x00\x03\x0b"s + "example.org"s + "\x01\xbb"s);
    CHECK(name.request.host() == "example.org");
    CHECK(name.request.port() == 443);
}

TEST_CASE("SOCKS 4 asks for an address and 4a for a name", "[ssh][socks]") {
    auto const plain = talk("\x04\x01\x00\x50\x0a\x00\x00\x07"s + "bob\0"s);
    CHECK(plain.request.at() == stage::complete);
    CHECK(plain.request.host() == "10.0.0.7");
    CHECK(plain.request.port() == 80);
    CHECK(plain.replies.empty());
    auto const named = talk("\x04\x01\x00\x51\x00\x00\x00\x01"s + "\0host.example\0"s);
    CHECK(named.request.at() == stage::complete);
    CHECK(named.request.host() == "host.example");
    CHECK(named.request.port() == 81);
    CHECK(named.request.answer(outcome::granted) == "\x00\x5a\0\0\0\0\0\0"s);
    CHECK(named.request.answer(outcome::refused) == "\x00\x5b\0\0\0\0\0\0"s);
}

TEST_CASE("a SOCKS request ends at its last byte, however the stream is cut", "[ssh][socks]") {
    std::string const requests[] = {
        hello + "\x05\x01\x00\x01\x7f\x00\x00\x02\x1f\x90"s,
        "\x05\x03\x02\x01\x00"s + "\x05\x01\x00\x03\x01x\x00\x16"s,
        "\x04\x01\x00\x50\x0a\x00\x00\x07"s + "bob\0"s,
        "\x04\x01\x00\x51\x00\x00\x00\x01"s + "me\0host\0"s,
    };
    for (auto const& request : requests)
        for (std::size_t step = 1; step <= request.size(); ++step) {
            auto const heard = talk(request + "the connection's own", step);
            CHECK(heard.request.at() == stage::complete);
            CHECK(heard.used == request.size());
        }
}

TEST_CASE("a SOCKS request that is cut short waits for more", "[ssh][socks]") {
    std::string const whole = hello + "\x05\x01\x00\x03\x03"s + "abc"s + "\x00\x16"s;
    for (std::size_t size = 0; size < whole.size(); ++size) {
        auto const heard = talk(std::string_view(whole).substr(0, size));
        CHECK(heard.request.at() == stage::reading);
        CHECK(heard.request.wanted() > 0);
        CHECK(heard.request.wanted() <= whole.size() - size);
    }
}

TEST_CASE("what SOCKS asks for beyond CONNECT is refused with its reason", "[ssh][socks]") {
    auto const refused = [](std::string const& input) {
        auto const heard = talk(input);
        CHECK(heard.request.at() == stage::refused);
        return heard.replies;
    };
    CHECK(refused("\x05\x01\x02"s) == "\x05\xff"s); // user name and password only
    CHECK(refused("\x05\x00"s).empty());            // no method at all
    CHECK(refused(hello + "\x05\x02\x00\x01\x7f"s) == welcome + refusal(7)); // BIND
    CHECK(refused(hello + "\x05\x03\x00\x01\x7f"s) == welcome + refusal(7)); // UDP ASSOCIATE
    CHECK(refused(hello + "\x05\x01\x00\x02\x7f"s) == welcome + refusal(8)); // no such type
    CHECK(refused(hello + "\x04\x01\x00\x01\x7f"s) == welcome + refusal(1)); // another version
    CHECK(refused(hello + "\x05\x01\x00\x03\x00\x00\x16"s) == welcome + refusal(1));
    CHECK(refused(hello + "\x05\x01\x00\x03\x03"s + "a\0b"s + "\x00\x16"s) == welcome + refusal(1));
    CHECK(refused(hello + "\x05\x01\x00\x03\x03"s + "a\nb"s + "\x00\x16"s) == welcome + refusal(1));
    CHECK(refused("\x04\x02"s) == "\x00\x5b\0\0\0\0\0\0"s);
    CHECK(refused("GET / HTTP/1.1\r\n").empty());
    auto const head = "\x04\x01\x00\x50\x00\x00\x00\x01"s;
    CHECK(refused(head + std::string(256, 'u')) == "\x00\x5b\0\0\0\0\0\0"s);
    CHECK(refused(head + "\0"s + std::string(256, 'h')) == "\x00\x5b\0\0\0\0\0\0"s);
    CHECK(refused(head + "\0\0"s) == "\x00\x5b\0\0\0\0\0\0"s);
}

TEST_CASE("any first two bytes of a SOCKS client lead to one of three ends", "[ssh][socks]") {
    for (int first = 0; first < 256; ++first)
        for (int second = 0; second < 256; ++second) {
            auto const heard =
                talk(std::string{static_cast<char>(first), static_cast<char>(second)});
            bool const goes_on = (first == 5 && second > 0) || (first == 4 && second == 1);
            CHECK((heard.request.at() == stage::reading) == goes_on);
        }
}

TEST_CASE("SOCKS 5 is told how its connection went", "[ssh][socks]") {
    auto const asked = talk(hello + "\x05\x01\x00\x01\x7f\x00\x00\x02\x1f\x90"s);
    CHECK(asked.request.answer(outcome::granted) == refusal(0));
    CHECK(asked.request.answer(outcome::failed) == refusal(1));
    CHECK(asked.request.answer(outcome::prohibited) == refusal(2));
    CHECK(asked.request.answer(outcome::refused) == refusal(5));
}
