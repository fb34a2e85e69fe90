#include "ssh/fixture.hpp"

#include <signal.h>

using namespace trawl;
using namespace trawl::test;

namespace {

/// How often the server was asked for a sign of life.
std::size_t keepalives(sshd const& at) {
    auto const log = at.log();
    std::size_t count = 0;
    for (auto i = log.find("keepalive@openssh.com"); i != log.npos;
         i = log.find("keepalive@openssh.com", i + 1))
        ++count;
    return count;
}

ssh::options lively(sshd const& at, unsigned unanswered) {
    auto how = good_options(at);
    how.keepalive.interval = 50ms;
    how.keepalive.unanswered = unanswered;
    return how;
}

} // namespace

TEST_CASE("each interval of silence asks the server, which answers", "[ssh][keepalive]") {
    sshd at("LogLevel DEBUG3");
    auto const done = run_once(lively(at, 2), "sleep 2; echo x");
    CHECK(done.out == "x\n");
    // Of 40 intervals every second one asks; it would be every fourth if answers were not collected.
    CHECK(keepalives(at) >= 13);
}

TEST_CASE("a peer that stopped is found and named, by a command and by its riders",
          "[ssh][keepalive]") {
    for (bool const through : {false, true}) {
        INFO(through);
        auto body = [through]() -> awaitable<> {
            auto const executor = co_await asio::this_coro::executor;
            auto const host = std::make_shared<ssh::session>(executor, lively(server(), 2));
            co_await host->connect();
            // The shell's parent is the process that talks to us, as it needs no other user.
            auto const told = co_await host->exec("echo $PPID");
            auto how = good_options();
            how.jump = host;
            ssh::session rider(executor, how);
            if (through) co_await rider.connect();
            auto& by = through ? rider : *host;
            auto running = co_await by.start("sleep 100");
            pid_t const peer = static_cast<pid_t>(std::stol(told.out));
            ::kill(peer, SIGSTOP);
            std::shared_ptr<void> const later(nullptr, [peer](void*) { ::kill(peer, SIGCONT); });
            co_await running.read();
        };
        auto const thrown = failure_of(body);
        std::string const why = "no answer to 2 keepalives, silent for 150 ms";
        if (through) {
            CHECK(thrown.code() == ssh::errc::disconnected);
            CHECK(thrown.said() == "the session with 127.0.0.1:" + std::to_string(server().port()) +
                                       " has ended: " + why);
        } else {
            CHECK(thrown.code() == trawl::errc::timed_out);
            CHECK(thrown.at() == ssh::phase::exec);
            CHECK(thrown.said() == why);
        }
    }
}

TEST_CASE("a peer that takes nothing more is found as well", "[ssh][keepalive]") {
    auto body = []() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, lively(server(), 1));
        co_await host.connect();
        auto const told = co_await host.exec("echo $PPID");
        auto running = co_await host.start("cat >/dev/null");
        pid_t const peer = static_cast<pid_t>(std::stol(told.out));
        ::kill(peer, SIGSTOP);
        std::shared_ptr<void> const later(nullptr, [peer](void*) { ::kill(peer, SIGCONT); });
        for (bool taken = true; taken;) {
            std::string piece(256 * 1024, 'x');
            taken = co_await running.write(std::move(piece));
        }
        co_await running.wait();
    };
    auto const thrown = failure_of(body);
    CHECK(thrown.code() == trawl::errc::timed_out);
    CHECK(thrown.said() == "no answer to 1 keepalives, silent for 100 ms");
}
