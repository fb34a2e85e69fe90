#include "lab/smtp_receiver.hpp"

#include "test.hpp"

#include <system_error>
#include <utility>
#include <vector>

using trawl::lab::envelope;
using trawl::lab::parse_path;
using trawl::lab::smtp_receiver;

namespace {

struct memory final : trawl::lab::mail_store {
    struct message {
        envelope from_and_to;
        std::string text;
    };
    std::vector<message> messages;
    message open;
    int abandoned = 0;
    bool full = false;

    void begin(envelope const& e) override { open = {e, {}}; }
    void append(std::string_view text) override {
        if (full) throw std::system_error(std::make_error_code(std::errc::no_space_on_device));
        open.text += text;
    }
    std::string commit() override {
        messages.push_back(std::move(open));
        return "m" + std::to_string(messages.size());
    }
    void abandon() noexcept override { ++abandoned; }
};

struct dialogue {
    memory store;
    smtp_receiver receiver;
    explicit dialogue(smtp_receiver::options limits = {}) : receiver(std::move(limits), store) {
        receiver.take_replies();
    }

    std::string say(std::string_view bytes) {
        receiver.receive(bytes);
        return receiver.take_replies();
    }
    // The codes of the replies to `bytes`: "250 354 250".
    std::string codes(std::string_view bytes) {
        auto const replies = say(bytes);
        std::string found;
        for (std::size_t at = 0; at < replies.size(); at = replies.find("\r\n", at) + 2)
            if (replies[at + 3] == ' ') found += (found.empty() ? "" : " ") + replies.substr(at, 3);
        return found;
    }
    std::string greet() { return codes("EHLO tester\r\n"); }
};

constexpr std::string_view letter =
    "EHLO tester\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n"
    "RCPT TO:<c@example.org>\r\nDATA\r\n"
    "Subject: x\r\n\r\nfirst\r\n..dot\r\n.\r\rlone\r\n\n.\nbare\r\n\r\n.\r\nQUIT\r\n";
constexpr std::string_view stored =
    "Subject: x\r\n\r\nfirst\r\n.dot\r\n\r\rlone\r\n\n.\nbare\r\n\r\n";

} // namespace

TEST_CASE("the sink greets, and EHLO lists its extensions", "[lab][smtp]") {
    memory store;
    smtp_receiver receiver({}, store);
    CHECK(receiver.take_replies().starts_with("220 lab.localhost ESMTP"));
    receiver.receive("EHLO me\r\n");
    CHECK(receiver.take_replies() ==
          "250-lab.localhost\r\n250-PIPELINING\r\n250-SIZE 67108864\r\n250-8BITMIME\r\n"
          "250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n");
    receiver.receive("HELO me\r\n");
    CHECK(receiver.take_replies() == "250 lab.localhost\r\n");
}

TEST_CASE("a pipelined message is stored with its dots unstuffed", "[lab][smtp]") {
    dialogue d;
    CHECK(d.codes(letter) == "250 250 250 250 354 250 221");
    CHECK(d.receiver.finished());
    REQUIRE(d.store.messages.size() == 1);
    CHECK(d.store.messages[0].text == stored);
    CHECK(d.store.messages[0].from_and_to.from == "a@example.org");
    CHECK(d.store.messages[0].from_and_to.to ==
          std::vector<std::string>{"b@example.org", "c@example.org"});
    CHECK(d.receiver.stored() == 1);
}

TEST_CASE("a dialogue cut at every byte gives the same replies and message", "[lab][smtp]") {
    dialogue whole;
    auto const replies = whole.say(letter);
    for (std::size_t cut = 0; cut <= letter.size(); ++cut) {
        dialogue d;
        auto heard = d.say(letter.substr(0, cut));
        heard += d.say(letter.substr(cut));
        CHECK(heard == replies);
        REQUIRE(d.store.messages.size() == 1);
        CHECK(d.store.messages[0].text == stored);
    }
    dialogue bytewise;
    std::string heard;
    for (char const& c : letter) heard += bytewise.say({&c, 1});
    CHECK(heard == replies);
    CHECK(bytewise.store.messages.at(0).text == stored);
}

TEST_CASE("only CRLF . CRLF ends a message, whatever else surrounds a dot", "[lab][smtp]") {
    for (std::string_view trick :
         {"\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r\n.\r\r\n", "\n\n.\r\n"}) {
        dialogue d;
        d.greet();
        d.codes("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
        CHECK(d.codes("x" + std::string(trick) + "MAIL FROM:<evil@b>\r\n").empty());
        CHECK(d.codes("\r\n.\r\n") == "250");
        CHECK(d.store.messages.size() == 1);
    }
}

TEST_CASE("commands out of order get 503, and the dialogue goes on", "[lab][smtp]") {
    dialogue d;
    CHECK(d.codes("MAIL FROM:<a@b>\r\n") == "503");
    CHECK(d.codes("RCPT TO:<a@b>\r\n") == "503");
    CHECK(d.codes("DATA\r\n") == "503");
    CHECK(d.greet() == "250");
    CHECK(d.codes("RCPT TO:<a@b>\r\n") == "503");
    CHECK(d.codes("DATA\r\n") == "503");
    CHECK(d.codes("MAIL FROM:<a@b>\r\n") == "250");
    CHECK(d.codes("MAIL FROM:<a@b>\r\n") == "503");
    CHECK(d.codes("DATA\r\n") == "554");
    CHECK(d.codes("RCPT TO:<a@b>\r\n") == "250");
    CHECK(d.codes("RSET\r\n") == "250");
    CHECK(d.codes("RCPT TO:<a@b>\r\n") == "503");
    CHECK(d.codes("MAIL FROM:<>\r\n") == "250");
    CHECK(d.greet() == "250"); // EHLO forgets as RSET does
    CHECK(d.codes("RCPT TO:<a@b>\r\n") == "503");
}

TEST_CASE("syntax errors get 500, 501 or 502", "[lab][smtp]") {
    dialogue d;
    CHECK(d.codes("EHLO\r\n") == "501");
    d.greet();
    for (std::string_view line :
         {"MAIL\r\n", "MAIL FROM\r\n", "MAIL FROM:a@b\r\n", "MAIL FROM:<a@b\r\n",
          "MAIL FROM:<a b@c>\r\n", "MAIL FROM:<a@b>x\r\n", "MAIL FROM:<a@>\r\n",
          "MAIL FROM:<a@b> SIZE=\r\n", "MAIL FROM:<a@b> SIZE=1k\r\n",
          "MAIL FROM:<a@b> BODY=9BIT\r\n", "RSET now\r\n", "QUIT now\r\n", "VRFY\r\n"}) {
        INFO(line);
        CHECK(d.codes(line) == "501");
        d.codes("NOOP\r\n");
    }
    CHECK(d.codes("MAIL FROM:<a@b> COLOUR=red\r\n") == "555");
    CHECK(d.codes("XYZZY\r\n") == "500");
    CHECK(d.codes("\r\n") == "500");
    CHECK(d.codes("NOOP\n") == "500");
    CHECK(d.codes(std::string_view("NO\0OP\r\n", 7)) == "500");
    CHECK(d.codes("EXPN list\r\nSTARTTLS\r\nAUTH PLAIN\r\n") == "502 502 502");
    CHECK(d.codes("MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME SMTPUTF8\r\n") == "250");
    CHECK(d.codes("RCPT TO:<>\r\n") == "501");
    CHECK(d.codes("RCPT TO:<a@b> NOTIFY=NEVER\r\n") == "555");
    CHECK(d.codes("rcpt to: <a@b>\r\n") == "250");
    CHECK(d.codes("DATA now\r\n") == "501");
    CHECK(d.codes("noop\r\nVRFY a\r\nHELP\r\n") == "250 252 214");
}

TEST_CASE("an overlong line is skipped to its end", "[lab][smtp]") {
    dialogue d;
    d.greet();
    CHECK(d.codes("NOOP " + std::string(100'000, 'x')).empty());
    CHECK(d.codes("\r\nNOOP\r\n") == "500 250");
}

TEST_CASE("a client that only makes errors is sent away", "[lab][smtp]") {
    dialogue d;
    std::string noise;
    for (int i = 0; i < 100; ++i) noise += "GET / HTTP/1.1\r\n";
    auto const replies = d.say(noise);
    CHECK(d.receiver.finished());
    CHECK(replies.find("\r\n421 ") != std::string::npos);
    CHECK(replies.size() < 2000);
}

TEST_CASE("recipients are refused and deferred by their names, without counting as errors",
          "[lab][smtp]") {
    dialogue d;
    d.greet();
    d.codes("MAIL FROM:<a@b>\r\n");
    for (int i = 0; i < 50; ++i)
        CHECK(d.codes("RCPT TO:<refused" + std::to_string(i) + "@b>\r\n") == "550");
    CHECK(d.codes("RCPT TO:<deferred@b>\r\n") == "451");
    CHECK(d.codes("DATA\r\n") == "554");
    CHECK(d.codes("RCPT TO:<good@b>\r\nDATA\r\nx\r\n.\r\n") == "250 354 250");
    CHECK(d.store.messages.at(0).from_and_to.to == std::vector<std::string>{"good@b"});

    smtp_receiver::options none;
    none.refused.clear();
    none.max_recipients = 2;
    dialogue open(none);
    open.greet();
    CHECK(open.codes(
              "MAIL FROM:<a@b>\r\nRCPT TO:<refused@b>\r\nRCPT TO:<x@b>\r\nRCPT TO:<y@b>\r\n") ==
          "250 250 250 452");
}

TEST_CASE("a message that is too large or has too long a line is refused whole", "[lab][smtp]") {
    smtp_receiver::options limits;
    limits.max_message = 5000;
    dialogue d(limits);
    d.greet();
    CHECK(d.codes("MAIL FROM:<a@b> SIZE=5001\r\n") == "552");
    CHECK(d.codes("MAIL FROM:<a@b> SIZE=99999999999999999999999\r\n") == "552");
    auto const send = [&](std::string const& text) {
        d.codes("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
        return d.codes(text + "\r\n.\r\n");
    };
    std::string lines;
    for (int i = 0; i < 100; ++i)
        lines += std::string(48, 'x') + "\r\n"; // 5000 with the CRLF that ends the text
    CHECK(send(lines.substr(0, 4998)) == "250");
    CHECK(send(lines.substr(0, 4998) + "y") == "552");
    CHECK(d.store.abandoned == 1);
    CHECK(send(std::string(998, 'x')) == "250");
    CHECK(send(std::string(999, 'x')) == "554");
    CHECK(send("." + std::string(998, 'x') + "\r\n" + std::string(998, 'y')) ==
          "250"); // a stuffing dot does not count
    CHECK(d.store.messages.size() == 3);
}

TEST_CASE("a store that fails gives 451, and an unfinished message is abandoned", "[lab][smtp]") {
    dialogue d;
    d.greet();
    d.store.full = true;
    d.codes("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
    CHECK(d.codes("text\r\n.\r\n") == "451");
    CHECK(d.store.messages.empty());

    memory store;
    {
        smtp_receiver receiver({}, store);
        receiver.receive("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhalf");
    }
    CHECK(store.abandoned == 1);
    CHECK(store.messages.empty());
}

TEST_CASE("paths are read as RFC 5321 writes them", "[lab][smtp]") {
    std::string address;
    std::string_view rest;
    auto const read = [&](std::string_view text) {
        return parse_path(text, address, rest) ? address : "-";
    };
    CHECK(read("<a@b.example>") == "a@b.example");
    CHECK(read("<>") == "");
    CHECK(read("<postmaster>") == "postmaster");
    CHECK(read("<\"a b>\\\"c\"@d>") == "\"a b>\\\"c\"@d");
    CHECK(read("<@one,@two:user@example.org>") == "user@example.org");
    CHECK(read("<user@[127.0.0.1]>") == "user@[127.0.0.1]");
    for (std::string_view bad :
         {"", "a@b", "<a@b", "<a,b@c>", "<a@b>>", "<@a>", "<@one:>", "<\"a@b>", "<a<b@c>", "<a\\"})
        CHECK(read(bad) == "-");
    CHECK(read("<" + std::string(321, 'x') + ">") == "-");
    REQUIRE(read("<a@b> SIZE=1") == "a@b");
    CHECK(rest == " SIZE=1");
}
