#include "cli/environment.hpp"
#include "cli/output_file.hpp"
#include "cli/scratch_folder.hpp"
#include "test.hpp"

#include <csignal>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace trawl;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;
using test::content;

namespace {

std::string refusal(fs::path const& file, std::uint64_t keep = 0) {
    try {
        cli::output_file opened(file, keep);
    } catch (cli::usage_error const& e) {
        return e.what();
    }
    return "";
}

} // namespace

TEST_CASE("the file of --output appears whole, and replaces what was there", "[cli][output]") {
    test::scratch_folder const here;
    auto const file = here / "out";
    test::put(file, "old");
    cli::output_file opened(file);
    cli::write_all(opened.number(), "new\n", opened.name());
    CHECK(opened.size() == 4);
    CHECK(content(file) == "old");
    CHECK(content(here / "out.partial") == "new\n");
    opened.commit();
    CHECK(content(file) == "new\n");
    CHECK_FALSE(fs::exists(here / "out.partial"));
}

TEST_CASE("a process that is killed leaves nothing under the final name", "[cli][output]") {
    test::scratch_folder const here;
    auto const file = here / "out";
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        cli::output_file opened(file);
        cli::write_all(opened.number(), "half a li", opened.name());
        ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    CHECK_FALSE(fs::exists(file));
    CHECK(content(here / "out.partial") == "half a li");

    cli::output_file again(file);
    CHECK(again.size() == 0); // begun anew
}

TEST_CASE("a run that goes on keeps what was saved and no more", "[cli][output]") {
    test::scratch_folder const here;
    test::put(here / "out.partial", "saved\nlost");
    {
        cli::output_file opened(here / "out", 6);
        cli::write_all(opened.number(), "more\n", opened.name());
        opened.commit();
    }
    CHECK(content(here / "out") == "saved\nmore\n");
    test::put(here / "out.partial", "short");
    CHECK_THAT(refusal(here / "out", 6), Contains("has 5 bytes of the 6"));
    CHECK(content(here / "out.partial") == "short");
}

TEST_CASE("devices, folders and files that somebody writes are refused", "[cli][output]") {
    test::scratch_folder const here;
    CHECK_THAT(refusal("/dev/null"), Contains("no ordinary file; write > /dev/null instead"));
    CHECK_THAT(refusal(here.path()), Contains("no ordinary file"));
    fs::create_symlink(here / "nowhere", here / "dangling");
    CHECK_THAT(refusal(here / "dangling"), Contains("it leads to no file"));
    cli::output_file const first(here / "out");
    CHECK_THAT(refusal(here / "out"), Contains("another process is writing"));
    try {
        cli::output_file missing(here / "no" / "folder");
        FAIL("opened");
    } catch (error const& e) {
        CHECK(e.code() == std::errc::no_such_file_or_directory);
        CHECK_THAT(e.what(), Contains("no/folder.partial"));
    }
}

TEST_CASE("behind a symbolic link its file is replaced, not the link", "[cli][output]") {
    test::scratch_folder const here;
    test::put(here / "real", "old");
    fs::create_symlink(here / "real", here / "link");
    cli::output_file opened(here / "link");
    cli::write_all(opened.number(), "new", opened.name());
    opened.commit();
    CHECK(fs::is_symlink(here / "link"));
    CHECK(content(here / "real") == "new");
}

TEST_CASE("results that were redirected go to the file", "[cli][output]") {
    test::scratch_folder const here;
    cli::environment env({.quiet = true});
    cli::output_file opened(here / "out");
    env.out().redirect(opened.number(), opened.name());
    env.out().line("10.0.0.1: up");
    env.out().raw("\x1b[2J\n"); // a file is no terminal
    CHECK(content(here / "out.partial") == "10.0.0.1: up\n\x1b[2J\n");
    CHECK_FALSE(env.out().terminal());
    env.out().redirect(-1, "closed.partial");
    CHECK_THROWS_WITH(env.out().line("x"), Contains("write to closed.partial"));
}
