#include "cli/mail_child.hpp"
#include "cli/mail_letter.hpp"
#include "cli/verb.hpp"
#include "mail/memory.hpp"
#include "mail/peers.hpp"
#include "test.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <sstream>

using namespace std::string_literals;
using namespace trawl;
using test::in_child;
using test::result;

namespace {

/// Runs `trawl mail WORDS...`.
result mail(std::vector<std::string> words, std::string const& input, bool json = false) {
    auto const program = [&] {
        try {
            CLI::App app("test", "trawl");
            cli::action chosen;
            cli::settings settings;
            settings.json = json;
            cli::add_mail(app, chosen);
            words.insert(words.begin(), "mail");
            std::reverse(words.begin(), words.end());
            app.parse(words);
            cli::environment here(settings);
            return chosen(here);
        } catch (CLI::ParseError const&) {
            return int(cli::usage);
        } catch (cli::usage_error const& e) {
            (void)!::write(2, e.what(), std::char_traits<char>::length(e.what()));
            return int(cli::usage);
        } catch (std::exception const& e) {
            (void)!::write(2, e.what(), std::char_traits<char>::length(e.what()));
            return 99;
        }
    };
    return in_child(program, input);
}

std::vector<boost::json::object> records_of(std::string const& out) {
    std::istringstream lines(out);
    std::vector<boost::json::object> records;
    for (std::string line; std::getline(lines, line);)
        records.push_back(boost::json::parse(line).as_object());
    return records;
}

} // namespace

TEST_CASE("trawl mail says a line for each recipient", "[cli]") {
    test::smtp_sink server({});
    test::temporary_folder folder;
    test::write_file(folder.path / "report.txt", "attached\n");
    test::write_file(folder.path / "page.html", "<p>page</p>\n");
    auto const done =
        mail({"--server", server.at(), "-f", "Ops <ops@b.example>", "-s", "Z\xc3\xbcrich", "--cc",
              "c@c.example", "--bcc", "h@c.example", "-a", folder.path / "report.txt", "-a",
              folder.path / "page.html", "--html", folder.path / "page.html", "root",
              "Zo\xc3\xab <z@c.example>, y@c.example"},
             "hello\n.\n");
    CHECK(done.code == 0);
    CHECK(done.err.empty());
    CHECK(done.out == "root: accepted (250 2.0.0 Ok)\n"
                      "z@c.example: accepted (250 2.0.0 Ok)\n"
                      "y@c.example: accepted (250 2.0.0 Ok)\n"
                      "c@c.example: accepted (250 2.0.0 Ok)\n"
                      "h@c.example: accepted (250 2.0.0 Ok)\n");
    auto const stored = server.messages().at(0);
    CHECK(stored.find("Subject: =?utf-8?q?Z=C3=BCrich?=\n") != std::string::npos);
    CHECK(stored.find("To: root, =?utf-8?q?Zo=C3=AB?= <z@c.example>, y@c.example\n") !=
          std::string::npos);
    CHECK(stored.find("Cc: c@c.example\n") != std::string::npos);
    CHECK(stored.find("\n\nhello\n.\n") != std::string::npos);
    CHECK(stored.find("multipart/alternative") != std::string::npos);
    CHECK(stored.find("filename=\"report.txt\"") != std::string::npos);
    CHECK(stored.find("filename=\"page.html\"") != std::string::npos);
}

TEST_CASE("trawl mail --json has a record for each recipient and a summary whose counts add up",
          "[cli]") {
    test::smtp_sink server({"-f", "RCPT"});
    auto const done = mail(
        {"--server", server.at(), "-f", "a@b.example", "-s", "x", "x@c.example", "y@c.example"},
        "hi\n", true);
    CHECK(done.code == 1);
    auto const records = records_of(done.out);
    REQUIRE(records.size() == 3);
    CHECK(records[0].at("type") == "recipient");
    CHECK(records[0].at("recipient") == "x@c.example");
    CHECK(records[0].at("status") == "refused");
    CHECK(records[0].at("code") == 500);
    CHECK(records[0].at("enhanced") == "5.3.0");
    CHECK(records[0].at("message") == records[1].at("message"));
    auto const& summary = records[2];
    CHECK(summary.at("type") == "summary");
    CHECK(summary.at("verb") == "mail");
    CHECK(summary.at("targets") == 2);
    CHECK(summary.at("accepted") == 0);
    CHECK(summary.at("refused") == 2);
    CHECK(summary.at("deferred") == 0);
    CHECK(summary.at("unknown") == 0);
    CHECK(summary.at("exit") == 1);
}

TEST_CASE("trawl mail tells its failures apart by exit code", "[cli]") {
    auto const nobody = "127.0.0.1:" + std::to_string(test::free_port());
    auto const send = [](std::vector<std::string> words) {
        words.insert(words.end(), {"-f", "a@b.example", "-s", "x"});
        return mail(words, "hi\n");
    };
    auto const away = send({"--server", nobody, "x@c.example"});
    CHECK(away.code == 4);
    CHECK(away.out.starts_with("x@c.example: deferred (connect " + nobody));
    CHECK(away.err.find("Connection refused") != std::string::npos);

    for (auto const& words :
         std::vector<std::vector<std::string>>{{},
                                               {"a b"},
                                               {"x@c.example\nBcc: y@c.example"},
                                               {"--server", "a:b", "x@c.example"},
                                               {"--server", "[::1", "x@c.example"},
                                               {"--server", "a:0", "x@c.example"},
                                               {"--tls", "maybe", "x@c.example"},
                                               {"-a", "/no/such/file", "x@c.example"},
                                               {"--user", "u", "x@c.example"}}) {
        auto const wrong = send(words);
        CHECK(wrong.code == 2);
        CHECK(wrong.out.empty());
    }
    CHECK(send({"--user", "u", "--password-file", "/no/such/file", "x@c.example"}).code == 12);

    test::smtp_sink server({});
    auto const strict = send({"--server", server.at(), "--tls", "required", "x@c.example"});
    CHECK(strict.code == 1);
    CHECK(strict.err.find("does not offer STARTTLS") != std::string::npos);
    CHECK(server.messages().empty());

    test::smtp_sink denying({"-f", "AUTH"});
    test::temporary_folder folder;
    test::write_file(folder.path / "password", "s3cret\n");
    auto const denied = send({"--server", denying.at(), "--user", "u", "--password-file",
                              folder.path / "password", "x@c.example"});
    CHECK(denied.err.find("s3cret") == std::string::npos);
    CHECK(denied.code == 12);
}

TEST_CASE("trawl mail --dry-run prints the message and sends nothing", "[cli]") {
    auto const done = mail({"-n", "-f", "root", "-s", "x", "--bcc", "hidden", "bob"}, "text");
    CHECK(done.code == 0);
    CHECK(done.out.find("To: bob") != std::string::npos);
    CHECK(done.out.find("hidden") == std::string::npos);
    CHECK(done.out.ends_with("\n\ntext\n"));
}

TEST_CASE("a dry run costs no memory, however large the message is", "[cli]") {
    test::temporary_folder folder;
    auto const file = (folder.path / "big.zip").string();
    test::write_file(file, "begin");
    std::filesystem::resize_file(file, 64'000'000); // sparse
    smtp::outgoing one;
    one.content = [&](mime::transport way) {
        mime::message letter;
        letter.from("a@b.example").to("c@d.example").text("x").attach(std::filesystem::path(file));
        return letter.open(way);
    };
    test::forget_peak();
    auto const before = test::memory("VmRSS");
    std::size_t size = 0, longest = 0;
    bool whole_lines = true;
    cli::show_text(one, [&](std::string_view piece) {
        size += piece.size();
        longest = std::max(longest, piece.size());
        whole_lines &= piece.ends_with('\n') && piece.find('\r') == piece.npos;
    });
    CHECK(size > 64'000'000 * 4 / 3);
    CHECK(longest < 200'000);
    CHECK(whole_lines);
    CHECK((!test::memory_is_ours || test::memory("VmHWM") - before < 4000));
}

TEST_CASE("a message without an end of line is shown with one", "[cli]") {
    auto const shown = [](std::string text) {
        return cli::shown_text(smtp::outgoing::of({}, std::move(text)));
    };
    CHECK(shown("") == "\n");
    CHECK(shown("a") == "a\n");
    CHECK(shown("a\r\n") == "a\n");
    CHECK(shown("a\r\n\r\nb") == "a\n\nb\n");
    std::string const line(70'000, 'x'); // longer than what is read at a time
    CHECK(shown(line + "\r\n" + line) == line + '\n' + line + '\n');
    std::string const long_line(3'000'000, 'x'); // longer than is waited for
    CHECK(shown(long_line) == long_line + '\n');
    CHECK(shown(long_line + "\r\n\r\n") == long_line + "\n\n");
}

TEST_CASE("trawl mail --trace shows the dialogue on stderr and not the message", "[cli]") {
    test::smtp_sink server({});
    auto const done =
        mail({"--server", server.at(), "-f", "a@b.example", "-s", "x", "--trace", "x@c.example"},
             "private words\n");
    CHECK(done.code == 0);
    CHECK(done.err.find("> MAIL FROM:<a@b.example>") != std::string::npos);
    CHECK(done.err.find("> RCPT TO:<x@c.example>\n") != std::string::npos);
    CHECK(done.err.find("< 354 ") != std::string::npos);
    CHECK(done.err.find(" bytes of the message]\n") != std::string::npos);
    CHECK(done.err.find("private") == std::string::npos);
}

TEST_CASE("trawl mail has pictures, further fields, answers elsewhere, and a signature", "[cli]") {
    test::temporary_folder folder;
    test::write_file(folder.path / "page.html", "<img src='cid:logo@mail'>\n");
    test::write_file(folder.path / "logo.png", "\x89PNG\r\n\x1a\n");
    auto const key = folder.path / "key.pem";
    if (test::child_process({"openssl", "genpkey", "-algorithm", "ed25519", "-out", key}).wait() !=
        0)
        test::skip("needs openssl");
    auto const done = mail({"-n", "-f", "a@b.example", "-s", "x", "--reply-to", "r@b.example",
                            "--header", "X-Job: night run", "--html", folder.path / "page.html",
                            "--inline", "logo@mail=" + (folder.path / "logo.png").string(),
                            "--dkim-key", key, "--dkim-selector", "s1", "x@c.example"},
                           "text\n");
    CHECK(done.code == 0);
    CHECK(done.out.starts_with("DKIM-Signature: "));
    CHECK(done.out.find("d=b.example; s=s1;") != std::string::npos);
    CHECK(done.out.find("\nReply-To: r@b.example\n") != std::string::npos);
    CHECK(done.out.find("\nX-Job: night run\n") != std::string::npos);
    CHECK(done.out.find("\nContent-ID: <logo@mail>\n") != std::string::npos);
    CHECK(done.out.find("multipart/related") != std::string::npos);
}

TEST_CASE("trawl mail refuses words that do not fit together", "[cli]") {
    for (auto const& words : std::vector<std::vector<std::string>>{
             {"x@c.example"}, // no -f
             {"-f", "a@b.example", "--inline", "logo.png", "x@c.example"},
             {"-f", "a@b.example", "--header", "X-Job", "x@c.example"},
             {"-f", "a@b.example", "--header", "To: y@c.example", "x@c.example"},
             {"-f", "a@b.example", "--dkim-key", "/k", "x@c.example"},
             {"-f", "a@b.example", "--dkim-key", "/no/such", "--dkim-selector", "s", "x@c.example"},
             {"-f", "a@b.example", "--certificate", "/c", "x@c.example"},
             {"-f", "a@b.example", "--auth", "PLAIN", "x@c.example"},
             {"-f", "a@b.example", "--auth", "NTLM", "x@c.example"},
             {"-f", "a@b.example", "--password-file", "/p", "x@c.example"},
             {"--batch", "-", "x@c.example"},
             {"--batch", "-", "-a", "/f"},
             {"--eml", "-", "-s", "x"}}) {
        auto const wrong = mail(words, "hi\n");
        CHECK(wrong.code == 2);
        CHECK(wrong.out.empty());
    }
}

TEST_CASE("trawl mail --eml sends a message as it is, to those it names, without its Bcc",
          "[cli]") {
    test::smtp_sink server({});
    std::string const header = "X-Odd:   spacing  kept\r\n"
                               "From: =?utf-8?q?Zo=C3=AB?= <z@b.example>\r\n"
                               "To: a@c.example,\r\n b@c.example\r\n";
    std::string const body = "Subject: x\r\n\r\n.line\r\nlast line";
    auto const done =
        mail({"--server", server.at(), "--eml", "-"}, header + "Bcc: h@c.example\r\n" + body);
    CHECK(done.err.empty());
    CHECK(done.code == 0);
    CHECK(done.out == "a@c.example: accepted (250 2.0.0 Ok)\n"
                      "b@c.example: accepted (250 2.0.0 Ok)\n"
                      "h@c.example: accepted (250 2.0.0 Ok)\n");
    auto stored = server.messages().at(0);
    auto expected = header + body + "\r\n";
    std::erase(expected, '\r');
    CHECK(stored.find(expected) != std::string::npos);
    CHECK(stored.find("X-Mail-Args: <z@b.example>") != std::string::npos);

    auto const named =
        mail({"--server", server.at(), "--eml", "-", "-f", "<>", "q@c.example"}, header + body);
    CHECK(named.out == "q@c.example: accepted (250 2.0.0 Ok)\n");
    CHECK(mail({"--server", server.at(), "--eml", "-"}, "no header\n").code == 2);
}

TEST_CASE("trawl mail --batch sends a message a line and says what became of each", "[cli]") {
    test::smtp_sink server({});
    std::string const lines =
        R"({"from":"a@b.example","to":["x@c.example","y@c.example"],"subject":"1","text":"one"})"
        "\n"
        R"({"from":"a@b.example","to":"x@c.example","sujet":"2"})"
        "\n"
        "\n"
        R"({"to":"Z\u00fc <z@c.example>","bcc":"h@c.example","html":"<p>","headers":{"X-A":"b"}})"
        "\n"
        R"({"from":"a@b.example","to":"x@c.example\r\nRCPT TO:<y@c.example>"})"
        "\n"
        R"({"from":"a@b.example","to":"x@c.example","attachments":["/no/such"]})"
        "\n[]\n"
        R"({"from":"a@b.example","to":"last@c.example"})";
    auto const done = mail(
        {"--batch", "-", "--server", server.at(), "-f", "d@b.example", "-s", "default", "-j", "3"},
        lines, true);
    CHECK(done.code == 1);
    auto const records = records_of(done.out);
    REQUIRE(records.size() == 8);
    std::map<std::int64_t, boost::json::object> by_line;
    for (auto const& one : records)
        if (one.at("type") == "message") by_line[one.at("line").as_int64()] = one;
    REQUIRE(by_line.size() == 7);
    auto const answers = [&](int line) { return by_line[line].at("recipients").as_array(); };
    auto const fault = [&](int line) {
        auto const& text = by_line[line].at("error");
        return text.is_null() ? std::string() : std::string(text.as_string());
    };
    REQUIRE(answers(1).size() == 2);
    CHECK(answers(1)[1].at("recipient") == "y@c.example");
    CHECK(answers(1)[1].at("status") == "accepted");
    CHECK(answers(1)[1].at("code") == 250);
    CHECK(fault(1).empty());
    CHECK(fault(2).find("no key \"sujet\"") != std::string::npos);
    CHECK(answers(4).size() == 2);
    CHECK(fault(5).find("x@c.example") != std::string::npos);
    CHECK(fault(6).find("/no/such") != std::string::npos);
    CHECK(fault(7) == "it is no JSON object");
    CHECK(answers(8).size() == 1);
    auto const& summary = records.back();
    CHECK(summary.at("type") == "summary");
    CHECK(summary.at("messages") == 3);
    CHECK(summary.at("invalid") == 4);
    CHECK(summary.at("targets") == 5);
    CHECK(summary.at("accepted") == 5);
    CHECK(summary.at("exit") == 1);
    CHECK(done.err.find("line 7: it is no JSON object") != std::string::npos);
    CHECK(server.messages().size() == 3);
    for (auto const& one : server.messages())
        if (one.find("z@c.example>") != std::string::npos) {
            CHECK(one.find("From: d@b.example") != std::string::npos);
            CHECK(one.find("Subject: default") != std::string::npos);
        }
}

TEST_CASE("a batch of nobody's server has an outcome for each line too", "[cli]") {
    auto const nobody = "127.0.0.1:" + std::to_string(test::free_port());
    std::string lines;
    for (int i = 0; i < 50; ++i)
        lines += R"({"from":"a@b.example","to":"x@c.example","text":"x"})"
                 "\n";
    auto const done = mail({"--batch", "-", "--server", nobody}, lines);
    CHECK(done.code == 4);
    CHECK(std::count(done.out.begin(), done.out.end(), '\n') == 50);
    CHECK(done.out.find("50 x@c.example: deferred (connect " + nobody) != std::string::npos);
}

TEST_CASE("a line that is too long is refused and the next one is sent", "[cli]") {
    test::smtp_sink server({});
    auto const done = mail({"--batch", "-", "--server", server.at()},
                           std::string(17u << 20, 'x') + "\n" + std::string(2u << 20, '\n') +
                               R"({"from":"a@b.example","to":"x@c.example"})");
    CHECK(done.code == 1);
    CHECK(done.err == "trawl: line 1: it is longer than 16777216 bytes\n");
    CHECK(done.out == "2097154 x@c.example: accepted (250 2.0.0 Ok)\n");
}

TEST_CASE("trawl mail --batch --dry-run prints an mbox and connects to nobody", "[cli]") {
    auto const done = mail({"--batch", "-", "-n"},
                           R"({"from":"a@b.example","to":"x@c.example","text":"From me\n"})"
                           "\n{}\n");
    CHECK(done.code == 1);
    CHECK(done.out.starts_with("From trawl Thu Jan  1 00:00:00 1970\nDate: "));
    CHECK(done.out.find("To: x@c.example\n") != std::string::npos);
    CHECK(done.out.find("\nFrom me") == std::string::npos);
    CHECK(done.err == "trawl: line 2: it has no \"from\"\n");
}
