// Several messages on one connection.
#include "mail/talk.hpp"

#include <algorithm>

using namespace std::string_literals;
using namespace trawl::smtp::detail;
using namespace trawl::test;
using trawl::mime::envelope;
using trawl::smtp::errc;
using trawl::smtp::status;

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

TEST_CASE("a text is sent ahead when the server has spoken this very moment", "[mail]") {
    auto talk = ready(chunking);
    begin(*talk, to({"x@c"}), "one");
    (void)all_output(*talk);
    talk->receive("250 ok\r\n250 ok\r\n250 taken\r\n");
    CHECK(summary(*talk) == "x@c: accepted 250 taken");
    begin(*talk, to({"y@c"}), "two", {}, true);
    CHECK(all_output(*talk) ==
          "MAIL FROM:<a@b.example>\r\nRCPT TO:<y@c>\r\nBDAT 5 LAST\r\ntwo\r\n");
    SECTION("a connection that is lost then leaves it unknown") {
        talk->lost(errc::closed);
        CHECK(summary(*talk).starts_with("y@c: unknown 0 no reply to the message"));
        CHECK_FALSE(talk->take_unsent());
    }
    SECTION("421 is for what was before, and nothing behind it was looked at") {
        talk->receive("421 that was the last one\r\n");
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

namespace {

/// A text of `size` bytes that is read in blocks; `fails_at`: reading throws behind that byte.
class long_text : public trawl::mime::source {
public:
    explicit long_text(std::size_t size, std::size_t fails_at = std::string::npos)
        : size_(size), fails_at_(fails_at) {}
    static std::string all(std::size_t size) {
        std::string text;
        for (std::size_t i = 0; i < size; ++i) text += at(i);
        return text;
    }
    std::size_t read(std::span<char> block) override {
        std::size_t filled = 0;
        for (; filled < block.size() && at_ < size_; ++filled) {
            if (at_ >= fails_at_)
                throw trawl::error(std::make_error_code(std::errc::io_error), "the disk");
            block[filled] = at(at_++);
        }
        return filled;
    }

private:
    /// Lines of 50 bytes that begin with a dot.
    static char at(std::size_t i) { return i % 50 == 0 ? '.' : i % 50 == 49 ? '\n' : 'x'; }
    std::size_t size_, fails_at_, at_ = 0;
};

void begin_long(dialogue& talk, std::vector<std::string> recipients, std::size_t size,
                std::size_t fails_at = std::string::npos, int* opened = nullptr) {
    auto one = std::make_shared<job>();
    one->what.envelope = to(std::move(recipients));
    one->what.content = [=](trawl::mime::transport) {
        if (opened) ++*opened;
        return std::make_unique<long_text>(size, fails_at);
    };
    one->open(talk.can());
    talk.begin(std::move(one));
}

std::string stuffed(std::string const& text) {
    std::string wire;
    dot_stuffer all;
    all.write(text, wire);
    all.finish(wire);
    return wire;
}

} // namespace

TEST_CASE("a long message is read while it is sent, and arrives as it is", "[mail]") {
    for (std::size_t const size : {65535, 65536, 65537, 131072, 400'000})
        for (auto const ehlo : {pipelining, chunking}) {
            auto const talk = ready(ehlo);
            int opened = 0;
            begin_long(*talk, {"x@c"}, size, std::string::npos, &opened);
            auto said = all_output(*talk);
            bool const chunk = ehlo == chunking && size <= 65536;
            if (chunk) {
                CHECK(said.find("BDAT ") != said.npos);
                continue;
            }
            CHECK(said.ends_with("DATA\r\n"));
            CHECK((said.find(" SIZE=") != said.npos) == (ehlo == pipelining && size <= 65536));
            talk->receive("250 ok\r\n250 ok\r\n354 go\r\n");
            CHECK(all_output(*talk) == stuffed(long_text::all(size)));
            talk->receive("250 2.0.0 taken\r\n");
            CHECK(summary(*talk) == "x@c: accepted 250 2.0.0 taken");
            CHECK(talk->at() == phase::ready);
            CHECK(opened == 1);
        }
}

TEST_CASE("a long message in two transactions is opened again for the second", "[mail]") {
    for (std::string const limits : {"250 LIMITS RCPTMAX=1\r\n", "250 8BITMIME\r\n"}) {
        auto const talk = ready("250-mx.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n" + limits);
        int opened = 0;
        begin_long(*talk, {"x@c", "y@c"}, 200'000, std::string::npos, &opened);
        std::string const text = stuffed(long_text::all(200'000));
        all_output(*talk);
        bool const split = limits.find("RCPTMAX") != limits.npos;
        talk->receive(split ? "250 ok\r\n250 ok\r\n354 go\r\n"
                            : "250 ok\r\n250 ok\r\n452 4.5.3 too many\r\n354 go\r\n");
        CHECK(all_output(*talk).starts_with(text));
        talk->receive("250 first\r\n");
        all_output(*talk);
        talk->receive("250 ok\r\n250 ok\r\n354 go\r\n");
        CHECK(all_output(*talk) == text);
        talk->receive("250 second\r\n");
        CHECK(summary(*talk) == "x@c: accepted 250 first; y@c: accepted 250 second");
        CHECK(opened == 2);
    }
}

TEST_CASE("a message that cannot be read to its end never ends on the wire", "[mail]") {
    for (std::size_t const fails_at : {70'000, 131'072, 299'999}) {
        auto const talk = ready();
        begin_long(*talk, {"x@c", "y@c"}, 300'000, fails_at);
        all_output(*talk);
        talk->receive("250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n");
        CHECK(all_output(*talk).find("\r\n.\r\n") == std::string::npos);
        CHECK(talk->at() == phase::closed);
        auto const said = summary(*talk);
        CHECK(said.starts_with("x@c: deferred 0 not sent: the disk: "));
        CHECK(said.find("; y@c: refused 550 no") != said.npos);
        CHECK_FALSE(talk->take_unsent());
    }
}

TEST_CASE("domains travel as A-labels, and other addresses by SMTPUTF8 only", "[mail]") {
    constexpr std::string_view utf8 = "250-mx.example\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n";
    for (auto const ehlo : {simple, utf8}) {
        auto const talk = ready(ehlo);
        begin(*talk,
              {"a@b\xc3\xbc"
               "cher.example",
               {"x@\xe4\xbe\x8b.example"}},
              "A: b\r\n\r\nc\r\n");
        CHECK(all_output(*talk) == std::string("MAIL FROM:<a@xn--bcher-kva.example>\r\n"));
        talk->receive("250 ok\r\n");
        CHECK(all_output(*talk) == "RCPT TO:<x@xn--fsq.example>\r\n");
    }
    auto const talk = ready(utf8);
    begin(*talk, {"\xc3\xbc@b.example", {"x@c.example"}}, "A: b\r\n\r\nc\r\n");
    CHECK(all_output(*talk) == "MAIL FROM:<\xc3\xbc@b.example> SMTPUTF8\r\n");
    auto const plain = ready(simple);
    begin(*plain, {"a@b.example", {"\xc3\xbc@c.example"}}, "A: b\r\n\r\nc\r\n");
    CHECK(summary(*plain).starts_with("\xc3\xbc@c.example: refused 0 5.6.7 not sent: "));
}
