#include "ssh/fixture.hpp"

using namespace trawl;
using namespace trawl::test;

TEST_CASE("a key logs in and a command's output and status come back", "[ssh]") {
    auto const done = run_once(good_options(), "echo hello");
    CHECK(done.out == "hello\n");
    CHECK(done.err.empty());
    CHECK(done.exit_status == 0);
    CHECK(done.exit_signal.empty());
    CHECK_FALSE(done.out_truncated);
    CHECK(done.elapsed > 0ns);
}

TEST_CASE("stdout and stderr stay apart and a status other than 0 is an answer", "[ssh]") {
    auto const done = run_once(good_options(), "echo out; echo err >&2; exit 7");
    CHECK(done.out == "out\n");
    CHECK(done.err == "err\n");
    CHECK(done.exit_status == 7);
}

TEST_CASE("a command that a signal ends has a signal and no status", "[ssh]") {
    auto const done = run_once(good_options(), "kill -TERM $$");
    CHECK_FALSE(done.exit_status);
    CHECK(done.exit_signal == "TERM");
}

TEST_CASE("every byte value comes back as it was sent", "[ssh]") {
    std::string all;
    for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
    ssh::exec_options how;
    how.input = all + all;
    CHECK(run_once(good_options(), "cat", how).out == all + all);
}

TEST_CASE("stdin ends, so that a command that reads it does too", "[ssh]") {
    CHECK(run_once(good_options(), "cat; echo end").out == "end\n");
}

TEST_CASE("4 MB go through cat and come back whole", "[ssh]") {
    ssh::exec_options how;
    how.input.resize(4 * 1024 * 1024);
    for (std::size_t i = 0; i < how.input.size(); ++i)
        how.input[i] = static_cast<char>(i * 2654435761u >> 13);
    how.max_output = how.input.size();
    auto const done = run_once(good_options(), "cat", how);
    CHECK(done.out == how.input);
    CHECK_FALSE(done.out_truncated);
    CHECK(done.exit_status == 0);
}

TEST_CASE("input for a command that does not read it does not hold it up", "[ssh]") {
    ssh::exec_options how;
    how.input.resize(8 * 1024 * 1024);
    CHECK(run_once(good_options(), "exit 3", how).exit_status == 3);
}

TEST_CASE("of 10 MB on both streams the budget is kept and the rest is read and dropped", "[ssh]") {
    ssh::exec_options how;
    how.max_output = 1'000'000;
    auto const done = run_once(
        good_options(),
        "head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2; echo done >&2; exit 5", how);
    CHECK(done.out.size() == 1'000'000);
    CHECK(done.err.size() == 1'000'000);
    CHECK(done.out_truncated);
    CHECK(done.err_truncated);
    CHECK(done.exit_status == 5);
}

TEST_CASE("output of exactly the budget is not called truncated", "[ssh]") {
    ssh::exec_options how;
    how.max_output = 1000;
    auto const done = run_once(good_options(), "head -c 1000 /dev/zero", how);
    CHECK(done.out.size() == 1000);
    CHECK_FALSE(done.out_truncated);
}

TEST_CASE("40 commands run on one session, 10 at a time, each with its own answer", "[ssh]") {
    auto const how = good_options();
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        int right = 0;
        auto one = [&](int i) -> awaitable<> {
            auto const number = std::to_string(i);
            auto const done =
                co_await host.exec("echo " + number + "; echo e" + number + " >&2; exit " + number);
            right += done.out == number + "\n" && done.err == "e" + number + "\n" &&
                     done.exit_status == i;
        };
        auto all = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 40; ++i) group.spawn(one(i));
            co_return;
        };
        co_await with_group(all);
        CHECK(right == 40);
        co_await host.disconnect();
        CHECK_FALSE(host.connected());
    };
    run(body);
}

TEST_CASE("100 sessions at once all answer", "[ssh]") {
    auto const how = good_options();
    int right = 0;
    auto body = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        auto one = [&](int i) -> awaitable<> {
            ssh::session host(executor, how);
            co_await host.connect();
            auto const done = co_await host.exec("echo " + std::to_string(i));
            right += done.out == std::to_string(i) + "\n";
        };
        auto all = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 100; ++i) group.spawn(one(i));
            co_return;
        };
        co_await with_group(all);
    };
    run(body, 120s);
    CHECK(right == 100);
}

TEST_CASE("a session knows its peer, its banner and its key", "[ssh]") {
    auto const how = good_options();
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        CHECK(host.connected());
        CHECK(host.peer() == "127.0.0.1:" + std::to_string(how.port));
        CHECK(host.banner().starts_with("SSH-2.0-OpenSSH"));
        CHECK(host.key().type == "ssh-ed25519");
        CHECK(host.key().fingerprint().starts_with("SHA256:"));
    };
    run(body);
}

TEST_CASE("the address may be given apart from the name that known_hosts has", "[ssh]") {
    auto how = good_options();
    how.host = "web.example";
    how.addresses = {asio::ip::make_address("127.0.0.1")};
    how.known = std::make_shared<ssh::host_keys>();
    auto line = server().known_hosts_line();
    how.known->parse("[web.example]" + line.substr(line.find(':')), "fixture");
    CHECK(run_once(how, "echo x").out == "x\n");
}

TEST_CASE("a session runs over a connection that is there already", "[ssh]") {
    auto const how = good_options();
    auto body = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        asio::ip::tcp::socket socket(executor);
        asio::ip::tcp::endpoint const to(asio::ip::make_address("127.0.0.1"), how.port);
        co_await socket.async_connect(to, asio::use_awaitable);
        ssh::session host(executor, how);
        co_await host.connect(std::move(socket));
        auto const done = co_await host.exec("echo over");
        CHECK(done.out == "over\n");
    };
    run(body);
}

TEST_CASE("after a failed connect the same session connects again", "[ssh]") {
    auto how = good_options();
    how.known = std::make_shared<ssh::host_keys>();
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        bool refused = false;
        try {
            co_await host.connect();
        } catch (ssh::failure const& thrown) {
            refused = thrown.code() == ssh::errc::host_key_unknown;
        }
        CHECK(refused);
        CHECK_FALSE(host.connected());
        how.known->parse(server().known_hosts_line(), "fixture");
        co_await host.connect();
        auto const done = co_await host.exec("echo again");
        CHECK(done.out == "again\n");
    };
    run(body);
}

TEST_CASE("exec without connect names the phase and the host", "[ssh]") {
    auto how = good_options();
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.exec("true");
    };
    auto const thrown = failure_of(body);
    CHECK(thrown.code() == ssh::errc::not_connected);
    CHECK(thrown.where() == "ssh 127.0.0.1:" + std::to_string(how.port) + " channel");
}

TEST_CASE("a session that ends with commands under way makes them fail, and nothing leaks",
          "[ssh]") {
    auto const how = good_options();
    auto body = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        auto host = std::make_unique<ssh::session>(executor, how);
        co_await host->connect();
        ssh::errc seen{};
        auto sleeper = [&]() -> awaitable<> {
            try {
                co_await host->exec("sleep 9");
            } catch (ssh::failure const& thrown) {
                seen = static_cast<ssh::errc>(thrown.code().value());
            }
        };
        auto all = [&](task_group& group) -> awaitable<> {
            group.spawn(sleeper());
            co_await host->exec("true");
            host.reset();
        };
        co_await with_group(all);
        CHECK(seen == ssh::errc::disconnected);
    };
    run(body);
}
