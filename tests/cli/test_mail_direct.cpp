// `trawl mail --direct`, `--spool` and `--flush`, in processes of their own, against name servers and
// mail servers on loopback.
#include "cli/verb.hpp"
#include "mail/mail_hosts.hpp"
#include "test.hpp"

#include <trawl/smtp_spool.hpp>

#include <fcntl.h>

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;

namespace {

struct result {
    int code = -1;
    std::string out, err;
};

[[noreturn]] void be_verb(std::vector<std::string> words, bool json) {
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
    } catch (CLI::ParseError const& e) {
        (void)!::write(2, e.what(), std::char_traits<char>::length(e.what()));
        code = cli::usage;
    } catch (cli::usage_error const& e) {
        (void)!::write(2, e.what(), std::char_traits<char>::length(e.what()));
        code = cli::usage;
    }
    ::_exit(code);
}

/// Runs `trawl mail WORDS...` in a child process while this loop goes on.
awaitable<result> mail(std::vector<std::string> words, bool json = false) {
    temporary_folder folder;
    auto const in = folder.path / "in", out = folder.path / "out", err = folder.path / "err";
    write_file(in, "ok\n");
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::dup2(::open(in.c_str(), O_RDONLY), 0);
        ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT, 0600), 1);
        ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT, 0600), 2);
        be_verb(std::move(words), json);
    }
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) == 0) co_await sleep_for(5ms);
    REQUIRE(WIFEXITED(status));
    result ended;
    ended.code = WEXITSTATUS(status);
    ended.out = read_file(out);
    ended.err = read_file(err);
    co_return ended;
}

struct world {
    explicit world(asio::any_io_executor executor, mail_host::script says)
        : names(executor), host(executor, "127.0.0.2", 0, std::move(says)) {
        names.mx("d.example", 10, "mx1.d.example");
        names.address("mx1.d.example", "127.0.0.2");
        names.missing = {"gone.example"};
    }
    std::vector<std::string> words(std::vector<std::string> more) const {
        more.insert(more.end(), {"--dns-server", names.server.where(), "--port",
                                 std::to_string(host.port()), "-t", "5"});
        return more;
    }
    zones names;
    mail_host host;
    temporary_folder folder;
};

void run_mail(std::function<awaitable<>(world&)> tell, mail_host::script says = {}) {
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        world here(executor, says);
        auto const body = [&](task_group& group) -> awaitable<> {
            here.names.server.start(group);
            here.host.start(group);
            co_await tell(here);
        };
        co_await with_group(body);
    };
    test::run(main);
}

std::string later(std::string const& line) {
    return line.starts_with("RCPT TO:<later") ? "450 4.2.1 not now" : "";
}

} // namespace

TEST_CASE("trawl mail --direct sends to the servers of the recipients' domains", "[cli]") {
    run_mail([](world& here) -> awaitable<> {
        auto words = here.words(
            {"--direct", "-f", "a@b.example", "x@d.example", "y@d.example", "x@gone.example"});
        auto const sent = co_await mail(std::move(words));
        CHECK(sent.code == cli::some_failed);
        CHECK(sent.out == "x@d.example: accepted (250 2.0.0 ok)\n"
                          "y@d.example: accepted (250 2.0.0 ok)\n"
                          "x@gone.example: refused (5.1.2 there is no domain gone.example)\n");
        CHECK(sent.err.empty());
        REQUIRE(here.host.messages.size() == 1);
        CHECK(here.host.messages[0].to.size() == 2);
        words = here.words({"--direct", "-f", "a@b.example", "x@d.example", "--trace"});
        auto const traced = co_await mail(std::move(words), true);
        CHECK(traced.code == cli::all_well);
        CHECK(traced.err.find("> RCPT TO:<x@d.example>") != std::string::npos);
        CHECK(traced.out.find(R"("accepted":1,)") != std::string::npos);
    });
}

TEST_CASE("what is deferred waits in the spool until it is due", "[cli]") {
    auto const story = [](world& here) -> awaitable<> {
        auto const spool = (here.folder.path / "spool").string();
        auto words = here.words(
            {"--direct", "--spool", spool, "-f", "a@b.example", "x@d.example", "later@d.example"});
        auto const sent = co_await mail(std::move(words));
        CHECK(sent.code == cli::all_well); // one has it, one will get it
        CHECK(sent.out == "x@d.example: accepted (250 2.0.0 ok)\n"
                          "later@d.example: deferred (450 4.2.1 not now)\n");
        words = here.words({"--flush", spool});
        auto const early = co_await mail(std::move(words), true);
        CHECK(early.code == cli::all_well);
        CHECK(early.out.find(R"("targets":0,)") != std::string::npos);
        CHECK(here.host.connections == 1);

        words = here.words({"--direct", "--spool", spool, "-f", "a@b.example", "x@gone.example"});
        auto const refused = co_await mail(std::move(words));
        CHECK(refused.code == cli::some_failed);
    };
    run_mail(story, later);
}

TEST_CASE("trawl mail --flush sends what is due", "[cli]") {
    run_mail([](world& here) -> awaitable<> {
        smtp::spool_options how;
        how.folder = here.folder.path / "spool";
        offload_pool files(offload_pool::options{.threads = 1});
        smtp::spool spool(files, how);
        for (auto const* to : {"x@d.example", "x@gone.example"}) {
            smtp::outgoing one;
            one.message_id = "<1@b.example>";
            one.envelope.sender = "a@b.example";
            one.envelope.recipients = {to};
            one.content = smtp::outgoing::of({}, "Subject: s\r\n\r\nok\r\n").content;
            auto putting = spool.put(std::move(one));
            co_await std::move(putting);
        }
        auto words = here.words({"--flush", how.folder.string()});
        auto const sent = co_await mail(std::move(words), true);
        CHECK(sent.code == cli::some_failed);
        CHECK(sent.out.find(
                  R"("message":"<1@b.example>","recipient":"x@d.example","status":"accepted")") !=
              std::string::npos);
        CHECK(sent.out.find(R"("recipient":"x@gone.example","status":"refused")") !=
              std::string::npos);
        CHECK(sent.out.find(R"("targets":2,"accepted":1,"refused":1,)") != std::string::npos);
        CHECK(here.host.messages.size() == 1);
        auto const left = co_await spool.size();
        CHECK(left == 0);
    });
}

TEST_CASE("trawl mail --direct --batch sends each line to the servers of its recipients", "[cli]") {
    auto const story = [](world& here) -> awaitable<> {
        auto const file = (here.folder.path / "batch").string();
        write_file(file, R"({"to": ["x@d.example", "later@d.example"], "text": "one"}
{"to": ["x@gone.example"], "text": "two"}
no message
{"to": ["y@d.example"], "text": "four"}
)");
        auto words = here.words({"--direct", "--batch", file, "-f", "a@b.example", "-s", "s"});
        auto const sent = co_await mail(std::move(words), true);
        CHECK(sent.code == cli::some_failed);
        CHECK(sent.out.find(R"("recipient":"y@d.example","status":"accepted")") !=
              std::string::npos);
        CHECK(sent.out.find(R"("recipient":"later@d.example","status":"deferred")") !=
              std::string::npos);
        CHECK(sent.out.find(R"("recipient":"x@gone.example","status":"refused")") !=
              std::string::npos);
        CHECK(sent.out.find(R"("targets":4,"accepted":2,"refused":1,"deferred":1,)") !=
              std::string::npos);
        CHECK(here.host.messages.size() == 2);
    };
    run_mail(story, later);
}

TEST_CASE("what a batch is deferred waits in the spool, and that is well", "[cli]") {
    auto const story = [](world& here) -> awaitable<> {
        auto const file = (here.folder.path / "batch").string();
        auto const spool = here.folder.path / "spool";
        std::string lines;
        for (int i = 0; i < 20; ++i)
            lines += R"({"to": ["x@d.example", "later@d.example"], "text": "one"})"
                     "\n";
        write_file(file, lines);
        auto words = here.words({"--direct", "--spool", spool.string(), "--batch", file, "-j", "3",
                                 "-f", "a@b.example", "-s", "s"});
        auto const sent = co_await mail(std::move(words), true);
        CHECK(sent.code == cli::all_well);
        CHECK(sent.out.find(R"("targets":40,"accepted":20,"refused":0,"deferred":20,)") !=
              std::string::npos);
        CHECK(here.host.messages.size() == 20);
        auto const waiting = std::filesystem::directory_iterator(spool / "queue");
        CHECK(std::distance(begin(waiting), end(waiting)) == 20);
    };
    run_mail(story, later);
}

TEST_CASE("words that do not go with --direct and --flush are mistakes", "[cli]") {
    run_mail([](world&) -> awaitable<> {
        std::vector<std::vector<std::string>> const all{
            {"--spool", "s", "-f", "a@b.example", "x@d.example"},
            {"--direct", "--server", "mx", "-f", "a@b.example", "x@d.example"},
            {"--direct", "--tls", "implicit", "-f", "a@b.example", "x@d.example"},
            {"--direct", "--flush", "s"},
            {"--flush", "s", "--batch", "b"},
            {"--direct", "--sts-cache", "s", "-f", "a@b.example", "x@d.example"},
            {"--direct", "x@d.example"}};
        for (auto words : all) {
            auto const ended = co_await mail(std::move(words));
            CHECK(ended.code == cli::usage);
            CHECK_FALSE(ended.err.empty());
        }
        std::vector<std::string> words{"--flush", "/no/such/spool"};
        auto const ended = co_await mail(std::move(words));
        CHECK(ended.code == cli::some_failed);
        CHECK(ended.err.find("spool /no/such/spool: No such file or directory") !=
              std::string::npos);
    });
}
