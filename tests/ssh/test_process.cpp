#include "lab/ssh_hosts.hpp"
#include "ssh/fixture.hpp"

using namespace trawl;
using namespace trawl::test;

namespace {

/// Logs in to `at`, calls `body(session)` and says goodbye.
void with_session(std::function<awaitable<>(ssh::session&)> body,
                  ssh::options const& how = good_options()) {
    auto all = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        co_await body(host);
        co_await host.disconnect();
    };
    run(all);
}

/// The same on a server of ours, which passes signals on; sshd does not when it runs as root.
void with_lab_session(std::function<awaitable<>(ssh::session&)> body) {
    auto all = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        lab::ssh_hosts::options what{.hosts = {asio::ip::make_address("127.0.0.1")}, .user = "ops"};
        lab::ssh_hosts hosts(executor, what);
        ssh::options how{.host = "127.0.0.1"};
        how.port = hosts.port();
        how.user = "ops";
        how.password = std::make_shared<net::secret>(std::string(hosts.password()));
        how.known = std::make_shared<ssh::host_keys>();
        how.known->parse(hosts.known_hosts(), "lab");
        how.max_channels = 1;
        auto both = [&](task_group& group) -> awaitable<> {
            group.spawn_background(hosts.serve());
            ssh::session host(executor, how);
            co_await host.connect();
            co_await body(host);
            co_await host.disconnect();
        };
        co_await with_group(both);
    };
    run(all);
}

/// All that comes until the end, the streams apart.
awaitable<> read_all(ssh::process& from, std::string& out, std::string& err) {
    while (auto piece = co_await from.read())
        (piece->from == ssh::output_stream::out ? out : err) += piece->bytes;
}

/// Writes all of `text`. Not inside CHECK: g++ 12 awaits what its macro only names.
awaitable<> write(ssh::process& to, std::string text) {
    bool const taken = co_await to.write(std::move(text));
    CHECK(taken);
}

/// Reads until `text` has come on stdout; fails the case when the command ends before.
awaitable<> read_until(ssh::process& from, std::string text) {
    std::string seen;
    while (seen.find(text) == seen.npos) {
        auto const piece = co_await from.read();
        REQUIRE(piece);
        if (piece->from == ssh::output_stream::out) seen += piece->bytes;
    }
}

std::size_t resident_bytes() {
    std::ifstream in("/proc/self/statm");
    std::size_t total = 0, resident = 0;
    in >> total >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

struct kept_lines : observer {
    void log(severity, std::string_view, std::string_view text) override {
        lines.emplace_back(text);
    }
    std::vector<std::string> lines;
};

} // namespace

TEST_CASE("a process is talked with while it runs", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        auto shell = co_await host.start("while read -r x; do echo got $x; done; echo end; exit 3");
        co_await write(shell, "one\n");
        co_await read_until(shell, "got one\n");
        co_await write(shell, "two\n");
        co_await read_until(shell, "got two\n");
        shell.close_input();
        co_await read_until(shell, "end\n");
        auto const more = co_await shell.read();
        CHECK_FALSE(more);
        auto const end = co_await shell.wait();
        CHECK(end.exit_status == 3);
        CHECK(end.out.empty());
        CHECK(end.elapsed > 0ns);
    };
    with_session(body);
}

TEST_CASE("pieces tell their stream and come in the order of arrival", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        auto both = co_await host.start("echo 1; read x; echo 2 >&2; read x; echo 3");
        std::string order;
        while (auto piece = co_await both.read()) {
            order += (piece->from == ssh::output_stream::out ? "out " : "err ") + piece->bytes;
            co_await both.write("\n");
        }
        CHECK(order == "out 1\nerr 2\nout 3\n");
    };
    with_session(body);
}

TEST_CASE("4 MB are written and read at the same time through small buffers", "[ssh]") {
    std::string sent(4 * 1024 * 1024, '\0');
    for (std::size_t i = 0; i < sent.size(); ++i)
        sent[i] = static_cast<char>(i * 2654435761u >> 13);
    auto body = [&](ssh::session& host) -> awaitable<> {
        ssh::process_options how;
        how.buffer = 5000;
        auto cat = co_await host.start("cat", how);
        std::string got;
        std::size_t largest = 0;
        auto feed = [&]() -> awaitable<> {
            for (std::size_t at = 0; at < sent.size(); at += 100'000)
                co_await write(cat, sent.substr(at, 100'000));
            cat.close_input();
        };
        auto both = [&](task_group& group) -> awaitable<> {
            group.spawn(feed());
            while (auto piece = co_await cat.read()) {
                largest = std::max(largest, piece->bytes.size());
                got += piece->bytes;
            }
        };
        co_await with_group(both);
        CHECK((got == sent)); // not expanded: 4 MB
        CHECK(largest <= 5000);
        auto const end = co_await cat.wait();
        CHECK(end.exit_status == 0);
    };
    with_session(body);
}

TEST_CASE("a command whose output nobody reads is stopped by its window", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        auto const marker =
            std::filesystem::temp_directory_path() / ("trawl-window-" + std::to_string(::getpid()));
        auto const command = "head -c 60000000 /dev/zero && : > " + marker.string();
        auto zeros = co_await host.start(command);
        auto const before = resident_bytes();
        co_await sleep_for(500ms);
        CHECK(!std::filesystem::exists(marker)); // the command waits
#ifdef __SANITIZE_ADDRESS__ // which keeps what was freed, libssh's smaller buffers
        CHECK(resident_bytes() < before + 20'000'000);
#else
        CHECK(resident_bytes() < before + 8'000'000);
#endif
        std::size_t size = 0;
        while (auto piece = co_await zeros.read()) size += piece->bytes.size();
        CHECK(size == 60'000'000);
        auto const end = co_await zeros.wait();
        CHECK(std::filesystem::remove(marker));
        CHECK(end.exit_status == 0);
    };
    with_session(body);
}

TEST_CASE("a command whose output is read slowly is never far ahead", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        auto const file =
            std::filesystem::temp_directory_path() / ("trawl-ahead-" + std::to_string(::getpid()));
        auto const command = "for i in $(seq 60); do head -c 1000000 /dev/zero; echo $i > " +
                             file.string() + "; done";
        auto zeros = co_await host.start(command);
        std::size_t size = 0, ahead = 0;
        while (auto piece = co_await zeros.read()) {
            size += piece->bytes.size();
            std::size_t written = 0;
            std::ifstream(file) >> written;
            written *= 1'000'000;
            ahead = std::max(ahead, written - std::min(written, size));
            if (size < 10'000'000) co_await sleep_for(5ms); // the rest in a hurry
        }
        std::filesystem::remove(file);
        CHECK(size == 60'000'000);
        CHECK(ahead < 12'000'000); // two windows, and what sshd and the kernel hold
    };
    with_session(body);
}

TEST_CASE("another command answers on the session while one is stopped", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        auto zeros = co_await host.start("head -c 10000000 /dev/zero");
        auto const other = co_await host.exec("echo there");
        CHECK(other.out == "there\n");
        auto const end = co_await zeros.wait(); // drops what is unread
        CHECK(end.exit_status == 0);
    };
    with_session(body);
}

TEST_CASE("a signal reaches the command", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        auto sleeper = co_await host.start("echo ready; exec sleep 60");
        co_await read_until(sleeper, "ready\n");
        sleeper.signal("TERM");
        auto const end = co_await sleeper.wait();
        CHECK(end.exit_signal == "TERM");
        CHECK_FALSE(end.exit_status);
    };
    with_lab_session(body);
}

TEST_CASE("a process that is given up ends on the host and leaves the session usable", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        pid_t number = 0;
        {
            auto sleeper = co_await host.start("echo $$; exec sleep 60");
            auto const piece = co_await sleeper.read();
            REQUIRE(piece);
            number = std::stoi(piece->bytes);
        }
        auto const next = co_await host.exec("echo next"); // the one channel is free again
        CHECK(next.out == "next\n");
        while (::kill(number, 0) == 0) co_await sleep_for(10ms);
    };
    with_lab_session(body);
}

TEST_CASE("a command gets variables the server takes; one it refuses is told", "[ssh]") {
    sshd taking("AcceptEnv TRAWL_*");
    kept_lines log;
    auto how = good_options(taking);
    how.log = &log;
    ssh::exec_options more;
    more.variables = {{"TRAWL_A", "a b"}, {"OTHER", "x"}, {"TRAWL_B", "2"}};
    auto const done = run_once(how, "echo \"$TRAWL_A/$OTHER/$TRAWL_B\"", more);
    CHECK(done.out == "a b//2\n");
    REQUIRE(log.lines.size() == 1);
    CHECK(log.lines[0] == "the server refuses the variable OTHER");
}

TEST_CASE("a command gets a terminal, and its size changes", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        ssh::process_options how;
        how.terminal = ssh::terminal{"vt100", 132, 40};
        auto tty = co_await host.start(
            "trap 'stty size' WINCH; echo $TERM; stty size; while :; do sleep 0.05; done", how);
        co_await read_until(tty, "vt100\r\n40 132\r\n");
        tty.resize(90, 30);
        co_await read_until(tty, "30 90\r\n");
    };
    with_session(body);
}

TEST_CASE("what is typed at a command's terminal interrupts it", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        ssh::process_options how;
        how.terminal.emplace();
        auto sleeper = co_await host.start("echo ready; exec sleep 60", how);
        co_await read_until(sleeper, "ready\r\n");
        co_await write(sleeper, "\x03"); // Ctrl-C
        auto const end = co_await sleeper.wait();
        CHECK(end.exit_signal == "INT");
    };
    with_session(body);
}

TEST_CASE("a process has a deadline of its own", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        ssh::process_options how;
        how.timeout = 3s;
        auto sleeper = co_await host.start("exec sleep 60", how);
        auto read = [&]() -> awaitable<> { co_await sleeper.read(); };
        try {
            co_await read();
            FAIL("nothing was thrown");
        } catch (ssh::failure const& late) {
            CHECK(late.code() == errc::timed_out);
            CHECK(late.at() == ssh::phase::exec);
        }
    };
    with_session(body);
}

TEST_CASE("a cancelled read loses nothing", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        auto shell = co_await host.start("read x; echo $x");
        auto early = co_await within(50ms, shell.read());
        CHECK_FALSE(early);
        co_await shell.write("late\n");
        std::string out, err;
        co_await read_all(shell, out, err);
        CHECK(out == "late\n");
    };
    with_session(body);
}

TEST_CASE("writing to a command that has ended says so", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        auto shell = co_await host.start("exit 0");
        std::string out, err;
        co_await read_all(shell, out, err);
        auto const end = co_await shell.wait();
        CHECK(end.exit_status == 0);
        bool const taken = co_await shell.write("too late\n");
        CHECK_FALSE(taken);
    };
    with_session(body);
}

TEST_CASE("the end of the connection in the middle of a process is a failure", "[ssh]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        auto shell = co_await host.start("echo $PPID; kill -KILL $PPID; sleep 60");
        try {
            while (co_await shell.read()) {
            }
            FAIL("nothing was thrown");
        } catch (ssh::failure const& lost) {
            CHECK(lost.code() == ssh::errc::disconnected);
        }
    };
    with_session(body);
}

TEST_CASE("writing to a command whose connection is lost throws", "[ssh][process]") {
    auto body = []() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, good_options());
        co_await host.connect();
        auto cat = co_await host.start("cat");
        co_await write(cat, "x");
        co_await host.disconnect();
        co_await cat.write("y");
    };
    auto const thrown = failure_of(body);
    CHECK(thrown.code() == ssh::errc::disconnected);
    CHECK(thrown.at() == ssh::phase::exec);
}

TEST_CASE("a secret is written as any bytes are", "[ssh][process]") {
    auto body = [](ssh::session& host) -> awaitable<> {
        auto cat = co_await host.start("cat");
        net::secret const words(std::string("open sesame"));
        bool const taken = co_await cat.write(words);
        CHECK(taken);
        cat.close_input();
        std::string out, err;
        co_await read_all(cat, out, err);
        CHECK(out == "open sesame");
    };
    with_session(body);
}
