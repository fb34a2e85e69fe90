#include "cli/scratch_folder.hpp"
#include "cli/verb.hpp"
#include "test.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <functional>
#include <poll.h>
#include <pty.h>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace trawl;

namespace {

using strings = std::vector<std::string>;

struct session {
    int code = -1;
    std::string terminal;

    bool shows(std::string_view text) const { return terminal.find(text) != terminal.npos; }
    /// What came after the first screen was back.
    std::string after() const {
        auto const at = terminal.rfind("\x1b[?1049l");
        return at == terminal.npos ? terminal : terminal.substr(at);
    }
    /// Frames between the two screens.
    std::size_t frames() const {
        std::size_t all = 0;
        for (auto at = terminal.find("\x1b[H"); at != terminal.npos;
             at = terminal.find("\x1b[Htrawl ping", at + 1))
            ++all;
        return all;
    }
};

struct manner {
    bool json = false, stdout_elsewhere = false, stderr_elsewhere = false;
    int interrupts = 0; ///< as soon as the view is there
    char const* term = "xterm-256color";
    char const* no_color = "";
    std::function<void()> before_reading = [] {}; ///< the terminal takes nothing more meanwhile
};

int run_verb(strings words, manner const& how) {
    ::setenv("TERM", how.term, 1);
    ::setenv("NO_COLOR", how.no_color, 1);
    ::setenv("LC_ALL", "C.UTF-8", 1);
    int const null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (how.stdout_elsewhere) ::dup2(null, 1);
    if (how.stderr_elsewhere) ::dup2(null, 2);
    try {
        CLI::App app("test", "trawl");
        cli::action chosen;
        cli::settings settings;
        settings.json = how.json;
        cli::add_ping(app, chosen);
        words.insert(words.begin(), {"ping"});
        std::ranges::reverse(words);
        app.parse(words);
        cli::environment here(settings);
        return chosen(here);
    } catch (std::exception const& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return cli::usage;
    }
}

/// Runs `trawl ping WORDS...` on a terminal of 100 columns and 40 rows.
session on_terminal(strings words, manner how = {}) {
    winsize size{.ws_row = 40, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
    int terminal = -1;
    auto const child = ::forkpty(&terminal, nullptr, nullptr, &size);
    REQUIRE(child >= 0);
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::_exit(run_verb(std::move(words), how));
    }
    session seen;
    how.before_reading();
    std::array<char, 65536> part;
    for (pollfd ready{terminal, POLLIN, 0}; ::poll(&ready, 1, 30000) == 1;) {
        auto const length = ::read(terminal, part.data(), part.size());
        if (length <= 0) break; // EIO: the child has ended
        seen.terminal.append(part.data(), static_cast<std::size_t>(length));
        if (how.interrupts > 0 && seen.frames() > 1) {
            --how.interrupts;
            ::kill(child, SIGINT);
        }
    }
    int status = 0;
    ::kill(child, SIGKILL); // it has ended, unless it hangs
    ::waitpid(child, &status, 0);
    ::close(terminal);
    if (WIFEXITED(status)) seen.code = WEXITSTATUS(status);
    return seen;
}

void need_icmp() {
    if (on_terminal({"127.0.0.1"}).code == cli::nothing_reached)
        test::skip("needs the right to ICMP sockets");
}

} // namespace

TEST_CASE("trawl ping --live draws a network and gives the screen back", "[cli][icmp][live]") {
    need_icmp();
    auto const run = on_terminal({"--live", "127.0.0.0/24", "--rate", "600"});
    CHECK(run.code == 0);
    CHECK(run.terminal.starts_with("\x1b[?1049h\x1b[?25l\x1b[?7l"));
    CHECK(run.frames() >= 2);
    CHECK(run.shows("\x1b[m\x1b[?7h\x1b[?25h\x1b[?1049l"));
    CHECK_FALSE(run.shows("127.0.0.77: up"));
    // The last picture: sixteen rows of sixteen that are up.
    auto const end = run.after();
    std::size_t rows = 0;
    auto const row = "\n\x1b[48;5;46m" + std::string(32, ' ') + "\x1b[";
    for (auto at = end.find(row); at != end.npos; at = end.find(row, at + 1)) ++rows;
    CHECK(rows == 16);
    CHECK(end.find("256/256 hosts") != end.npos);
    CHECK(end.find("256 targets: 256 up, 0 down") != end.npos);
}

TEST_CASE("Ctrl-C gives the screen back before the summary", "[cli][icmp][live]") {
    need_icmp();
    auto const run = on_terminal({"--live", "-l", "-p", "0.05", "127.0.0.0/28"}, {.interrupts = 1});
    CHECK(run.code == cli::interrupted);
    auto const end = run.after();
    CHECK(end.find("\x1b[?25l") == end.npos);
    CHECK(end.find("stopping; once more to leave at once") != end.npos);
    CHECK(end.find("16 targets: ") != end.npos);
}

TEST_CASE("without colour --live still moves the cursor; a dumb terminal gets the last picture",
          "[cli][icmp][live]") {
    need_icmp();
    auto const plain = on_terminal({"--live", "127.0.0.0/28", "--rate", "60"}, {.no_color = "1"});
    CHECK(plain.code == 0);
    CHECK(plain.shows("\x1b[?1049h"));
    CHECK_FALSE(plain.shows("\x1b[38;5;"));
    CHECK(plain.after().find("+ + + + ") != std::string::npos);
    auto const dumb = on_terminal({"--live", "127.0.0.0/28", "--rate", "60"}, {.term = "dumb"});
    CHECK(dumb.code == 0);
    CHECK_FALSE(dumb.shows("\x1b"));
    CHECK(dumb.shows("+ + + + "));
}

TEST_CASE("--live draws on whichever of stdout and stderr is a terminal", "[cli][icmp][live]") {
    need_icmp();
    auto const other = on_terminal({"--live", "127.0.0.0/28", "--rate", "60"},
                                   {.json = true, .stdout_elsewhere = true});
    CHECK(other.code == 0);
    CHECK(other.shows("\x1b[?1049h"));
    auto const neither = on_terminal({"--live", "127.0.0.0/28"},
                                     {.stdout_elsewhere = true, .stderr_elsewhere = true});
    CHECK(neither.code == 0);
    CHECK(neither.terminal.empty());
}

TEST_CASE("a terminal that takes nothing more holds no run up", "[cli][icmp][live]") {
    need_icmp();
    test::scratch_folder const here;
    auto const results = [&] { return test::content(here / "results.partial"); };
    std::ptrdiff_t lines = 0;
    auto const wait = [&] {
        for (auto const until = clock::now() + std::chrono::seconds(20);
             lines < 4096 && clock::now() < until; ::usleep(20000))
            lines = std::ranges::count(results(), '\n');
    };
    // Two seconds of pictures with many changes of colour: more than a terminal keeps.
    auto const run = on_terminal({"--live", "--shuffle", "--output", (here / "results").string(),
                                  "--rate", "2048", "127.0.0.0/20"},
                                 {.before_reading = wait});
    CHECK(lines == 4096);
    CHECK(run.code == 0);
    CHECK(run.after().find("4096/4096 hosts") != std::string::npos);
}

TEST_CASE("what cannot be had with --live is said in a line that names it", "[cli][live]") {
    auto const json = on_terminal({"--live", "127.0.0.1"}, {.json = true});
    CHECK(json.code == cli::usage);
    CHECK(json.shows("--live and --json cannot share the terminal"));
    CHECK_FALSE(json.shows("\x1b"));
    CHECK(on_terminal({"--live", "--csv", "127.0.0.1"}).shows("--live and --csv"));
    auto const report = on_terminal({"--live", "-c", "2", "-Q", "1", "127.0.0.1"});
    CHECK(report.code == cli::usage);
    CHECK(report.shows("ping: --live draws how it stands all the time: leave out -Q (--report)"));
}
