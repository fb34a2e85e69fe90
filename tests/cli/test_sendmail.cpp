#include "cli/mail_child.hpp"
#include "cli/sendmail.hpp"
#include "mail/peers.hpp"

#include <cstdlib>
#include <filesystem>

#include <sysexits.h>

using namespace std::string_literals;
using namespace trawl;
using test::in_child;
using test::result;

namespace {

/// Runs `sendmail WORDS...` with `server` as its smart host.
result sendmail(std::string const& server, std::vector<std::string> words,
                std::string const& input) {
    auto const program = [&] {
        ::setenv("TRAWL_SMTP_SERVER", server.c_str(), 1);
        words.insert(words.begin(), "/usr/sbin/sendmail");
        return cli::run_sendmail(words);
    };
    return in_child(program, input);
}

} // namespace

TEST_CASE("sendmail completes a message and hands it to the smart host", "[cli]") {
    test::smtp_sink server({});
    auto const done =
        sendmail(server.at(), {"-F", "Zo\xc3\xab", "-f", "cron@b.example", "-oi", "x@c.example"},
                 "Subject: hello\nBcc: secret@c.example\n\n.\nbody\n");
    CHECK(done.code == EX_OK);
    CHECK(done.out.empty());
    CHECK(done.err.empty());
    auto const stored = server.messages().at(0);
    CHECK(stored.find("X-Mail-Args: <cron@b.example>") != std::string::npos);
    CHECK(stored.find("secret") == std::string::npos);
    CHECK(stored.find("From: =?utf-8?q?Zo=C3=AB?= <cron@b.example>\n") != std::string::npos);
    CHECK(stored.find("\nDate: ") != std::string::npos);
    CHECK(stored.find("\nMessage-ID: <") != std::string::npos);
    CHECK(stored.find("To: undisclosed-recipients:;\n") != std::string::npos);
    CHECK(stored.find("\n\n.\nbody\n") != std::string::npos);
}

TEST_CASE("sendmail -t takes the header's recipients, and a lone dot ends the message", "[cli]") {
    test::smtp_sink server({});
    auto const done =
        sendmail(server.at(), {"-t", "-f<>", "--", "more@d.example"},
                 "From me Mon Jan  1 00:00:00 2024\nFrom: Me <me@b.example>\nTo: a@c.example,\n"
                 "  B <b@c.example>\nCc: team: c@c.example;\nBcc: d@c.example, a@c.example\n\n"
                 "body\n.\nnever sent\n");
    CHECK(done.code == EX_OK);
    auto const stored = server.messages().at(0);
    CHECK(stored.find("X-Mail-Args: <>") != std::string::npos);
    for (auto const* to :
         {"more@d.example", "a@c.example", "b@c.example", "c@c.example", "d@c.example"})
        CHECK(stored.find("X-Rcpt-Args: <" + std::string(to) + ">") != std::string::npos);
    CHECK(stored.find("Bcc") == std::string::npos);
    CHECK(stored.find("From me") == std::string::npos);
    CHECK(stored.find("never sent") == std::string::npos);
    CHECK(stored.find("\n\nbody\n") != std::string::npos);

    sendmail(server.at(), {"root"}, "no header at all\n");
    bool found = false;
    for (auto const& one : server.messages())
        found |= one.find("\n\nno header at all\n") != std::string::npos;
    CHECK(found);
}

TEST_CASE("sendmail tells its failures apart as sysexits.h does", "[cli]") {
    auto const to_nobody = "127.0.0.1:" + std::to_string(test::free_port());
    auto const code = [&](std::vector<std::string> words, std::string const& text = "\nhi\n") {
        auto const done = sendmail(to_nobody, std::move(words), text);
        CHECK_FALSE(done.err.empty());
        CHECK(done.out.empty());
        return done.code;
    };
    CHECK(code({"x@c.example"}) == EX_TEMPFAIL);
    CHECK(code({}) == EX_USAGE);
    CHECK(code({"-t"}) == EX_DATAERR);
    CHECK(code({"-t"}, "To: a b c\n\n") == EX_DATAERR);
    CHECK(code({"a b@c.example"}) == EX_DATAERR);
    CHECK(code({"x@c.example\nBcc: y@c.example"}) == EX_DATAERR);
    CHECK(code({"-Z", "x@c.example"}) == EX_USAGE);
    CHECK(code({"-N", "sometimes", "x@c.example"}) == EX_USAGE);
    CHECK(code({"-R"}) == EX_USAGE);
    CHECK(code({"-bs"}) == EX_USAGE);
    CHECK(code({"-q"}) == EX_USAGE);
    CHECK(code({"-C", "/no/such/file", "x@c.example"}) == EX_CONFIG);

    auto const reply = [](std::string const& command, std::string const& flag) {
        test::smtp_sink server({flag, command});
        return sendmail(server.at(), {"x@c.example"}, "\nhi\n");
    };
    auto const refused = reply("RCPT", "-f");
    CHECK(refused.code == EX_UNAVAILABLE);
    CHECK(refused.err.find("sendmail: x@c.example: refused (500 ") != std::string::npos);
    CHECK(reply("RCPT", "-r").code == EX_TEMPFAIL);
    CHECK(reply(".", "-r").code == EX_TEMPFAIL);
    CHECK(reply(".", "-q").code == EX_TEMPFAIL); // nobody knows whether it arrived
}

TEST_CASE("sendmail's configuration is strict and its -N -R -V reach the server", "[cli]") {
    test::smtp_sink server({});
    test::temporary_folder folder;
    auto const file = folder.path / "sendmail.toml";
    auto const with = [&](std::string const& text, std::vector<std::string> words = {}) {
        test::write_file(file, text);
        words.insert(words.begin(), {"-C", file, "x"});
        return sendmail("127.0.0.1:1", words, "\nhi\n");
    };
    auto const server_line = "server = \"" + server.at() + "\"\n";
    auto const done = with(server_line + "domain = \"d.example\"\nlmtp = false\ntimeout = 30\n",
                           {"-N", "failure,delay", "-R", "hdrs", "-V", "id1"});
    CHECK(done.err.empty());
    CHECK(done.code == EX_OK);
    auto const stored = server.messages().at(0);
    CHECK(stored.find("X-Rcpt-Args: <x@d.example> NOTIFY=FAILURE,DELAY") != std::string::npos);
    CHECK(stored.find("RET=HDRS ENVID=id1") != std::string::npos);

    auto const wrong = with(server_line + "sever = 1\n");
    CHECK(wrong.code == EX_CONFIG);
    CHECK(wrong.err.find("sendmail.toml:2:") != std::string::npos);
    CHECK(wrong.err.find("no key sever is known") != std::string::npos);
    CHECK(with("server = 1\n").code == EX_CONFIG);
    CHECK(with("server = \n").code == EX_CONFIG);
    CHECK(with("tls = \"maybe\"\n").code == EX_CONFIG);
    CHECK(with("user = \"u\"\npassword_file = \"/no/such\"\n").code == EX_CONFIG);
}

TEST_CASE("sendmail is known by its name and as a verb", "[cli]") {
    CHECK(cli::is_sendmail({"/usr/sbin/sendmail", "-t"}));
    CHECK(cli::is_sendmail({"sendmail"}));
    CHECK(cli::is_sendmail({"trawl", "sendmail", "root"}));
    CHECK_FALSE(cli::is_sendmail({"trawl", "mail", "sendmail"}));
    CHECK_FALSE(cli::is_sendmail({"sendmail.sh"}));
    CHECK_FALSE(cli::is_sendmail({}));
}
