#include "ssh/fixture.hpp"

#include <algorithm>
#include <fcntl.h>
#include <fstream>
#include <stdexcept>
#include <unistd.h>

using namespace trawl;
using namespace trawl::test;

namespace {

std::size_t resident_bytes() {
    std::ifstream in("/proc/self/statm");
    std::size_t total = 0, resident = 0;
    in >> total >> resident;
    return resident * 4096;
}

} // namespace

TEST_CASE("a file is a command's input, as large as it may be", "[ssh][input]") {
    scratch folder;
    std::string text(50'000'000, '\0');
    for (std::size_t i = 0; i < text.size(); ++i)
        text[i] = static_cast<char>(i * 2654435761u >> 13);
    write_text(folder / "input", text);
    write_text(folder / "rest", text.substr(1000));
    text = std::string();
    int const file = ::open((folder / "input").c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, good_options());
        co_await host.connect();
        offload_pool blocking;
        std::size_t const before = resident_bytes();
        std::size_t most = before;
        auto compare = [&](std::string name, std::uint64_t from) -> awaitable<> {
            auto next = ssh::file_input(file, blocking, from);
            ssh::exec_options how;
            how.source = [&most, next]() {
                most = std::max(most, resident_bytes());
                return next();
            };
            auto const done = co_await host.exec("cmp - " + (folder / name).string(), how);
            CHECK(done.exit_status == 0);
            CHECK(done.out.empty());
        };
        auto all = [&](task_group& group) -> awaitable<> { // one descriptor, three places
            group.spawn(compare("input", 0));
            group.spawn(compare("input", 0));
            group.spawn(compare("rest", 1000));
            co_return;
        };
        co_await with_group(all);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // which keep what is freed
        CHECK(most - before < 24u << 20); // three windows of 2 MB, and libssh's copies of them
#endif
    };
    run(body, 60s);
    ::close(file);
}

TEST_CASE("a source is asked for more only as the command takes it", "[ssh][input]") {
    std::size_t given = 0;
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, good_options());
        co_await host.connect();
        ssh::exec_options how;
        how.input = "first ";
        how.source = [&]() -> awaitable<std::string> {
            given += 64 * 1024;
            co_return std::string(64 * 1024, 'x');
        };
        auto const done = co_await host.exec("sleep 0.5; head -c 10", how);
        CHECK(done.exit_status == 0);
        CHECK(done.out == "first xxxx");
    };
    run(body);
    CHECK(given < 8u << 20); // the window of 2 MB, sshd's own and the sockets' buffers
}

TEST_CASE("what a source throws ends the command and leaves exec", "[ssh][input]") {
    auto body = []() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, good_options());
        co_await host.connect();
        ssh::exec_options how;
        how.source = []() -> awaitable<std::string> {
            throw std::runtime_error("no more");
            co_return std::string();
        };
        bool thrown = false;
        try {
            co_await host.exec("cat", how);
        } catch (std::runtime_error const& why) {
            thrown = why.what() == std::string("no more");
        }
        CHECK(thrown);
        auto const done = co_await host.exec("echo still");
        CHECK(done.out == "still\n");
    };
    run(body);
}

TEST_CASE("a source that waits for ever is left when the command's time is up, or it has ended",
          "[ssh][input]") {
    bool const ends = GENERATE(false, true);
    std::size_t waits = 0;
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, good_options());
        co_await host.connect();
        ssh::exec_options how;
        how.timeout = ends ? 30s : 300ms;
        how.source = [&]() -> awaitable<std::string> {
            ++waits;
            co_await sleep_for(600s);
            co_return "never";
        };
        std::error_code why;
        try {
            auto const done = co_await host.exec(ends ? "exec <&-; exit 3" : "cat", how);
            CHECK(done.exit_status == 3);
        } catch (ssh::failure const& late) {
            why = late.code();
            CHECK(late.at() == ssh::phase::exec);
        }
        if (!ends) CHECK(why == trawl::errc::timed_out);
        if (ends) CHECK_FALSE(why);
        auto const done = co_await host.exec("echo still");
        CHECK(done.out == "still\n");
    };
    run(body);
    CHECK(waits == 1);
}
