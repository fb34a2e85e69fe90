#include "cli/environment.hpp"
#include "cli/output_file.hpp"
#include "cli/scratch_folder.hpp"
#include "test.hpp"

#include <csignal>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

using trawl::cli::escaped;

TEST_CASE("control characters of remote output are shown, not obeyed", "[cli]") {
    CHECK(escaped("plain\ttext\n") == "plain\ttext\n");
    CHECK(escaped("\x1b[2J\r\x07") == "\\x1b[2J\\x0d\\x07");
    CHECK(escaped("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x9f") ==
          "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x9f");
    CHECK(escaped("\xc2\x9b"
                  "2J") == "\\xc2\\x9b"
                           "2J");
    CHECK(escaped("\xff\xc3") == "\\xff\\xc3");
    CHECK(escaped("") == "");
}

TEST_CASE("gathered results go out when there are many, at a flush, and before a failure",
          "[cli]") {
    trawl::test::scratch_folder const here;
    trawl::cli::environment env({.quiet = true});
    trawl::cli::output_file file(here / "results");
    env.out().redirect(file.number(), file.name());
    std::string expected;
    auto const add = [&](std::string const& line) {
        env.out().gather([&] { env.out().line(line); });
        expected += line + "\n";
    };
    auto const written = [&] { return trawl::test::content(file.name()); };

    add("one");
    add("two");
    CHECK(written().empty());
    env.out().flush();
    CHECK(written() == expected);
    add(std::string(trawl::cli::output::gathered_most, 'x'));
    CHECK(written() == expected);

    add("last");
    auto fail = []() -> trawl::awaitable<int> {
        throw std::runtime_error("the run has failed");
        co_return 0;
    };
    CHECK(env.run(fail()) != trawl::cli::all_well);
    CHECK(written() == expected);
}

TEST_CASE("gathered results go out at a second Ctrl-C, too", "[cli]") {
    using namespace std::chrono_literals;
    trawl::test::scratch_folder const here;
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::alarm(20);
        trawl::cli::environment env({.quiet = true});
        trawl::cli::output_file file(here / "results");
        env.out().redirect(file.number(), file.name());
        auto stay = [&]() -> trawl::awaitable<int> {
            env.out().gather([&] { env.out().line("the last"); });
            ::raise(SIGINT);
            co_await trawl::shielded(trawl::sleep_for(10ms));
            ::raise(SIGINT);
            co_await trawl::shielded(trawl::sleep_for(30s));
            co_return 0;
        };
        ::_exit(env.run(stay()));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == trawl::cli::interrupted);
    CHECK(trawl::test::content(here / "results.partial") == "the last\n");
}
