#include "cli/verb.hpp"
#include "mail/peers.hpp"
#include "test.hpp"

#include <boost/json/parse.hpp>

#include <fcntl.h>

using namespace std::string_literals;
using namespace trawl;

namespace {

struct result {
    int code = -1;
    std::string out, err;
};

/// Runs `trawl mail WORDS...` in a child process.
result mail(std::vector<std::string> words, std::string const& input, bool json = false) {
    test::temporary_folder folder;
    auto const in = folder.path / "in", out = folder.path / "out", err = folder.path / "err";
    test::write_file(in, input);
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        auto const redirect = [](std::filesystem::path const& path, int flags, int to) {
            ::dup2(::open(path.c_str(), flags, 0600), to);
        };
        redirect(in, O_RDONLY, 0);
        redirect(out, O_WRONLY | O_CREAT, 1);
        redirect(err, O_WRONLY | O_CREAT, 2);
        int code = 99;
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
            code = chosen(here);
        } catch (CLI::ParseError const&) {
            code = cli::usage;
        } catch (cli::usage_error const& e) {
            (void)!::write(2, e.what(), std::char_traits<char>::length(e.what()));
            code = cli::usage;
        }
        ::_exit(code);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFEXITED(status));
    return {WEXITSTATUS(status), test::read_file(out), test::read_file(err)};
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
    std::istringstream lines(done.out);
    std::string line;
    std::vector<boost::json::object> records;
    while (std::getline(lines, line)) records.push_back(boost::json::parse(line).as_object());
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
