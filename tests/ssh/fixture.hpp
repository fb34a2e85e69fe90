#pragma once

#include "peers/sshd.hpp"

#include <trawl/ssh.hpp>
#include <trawl/task_group.hpp>
#include <trawl/watchdog.hpp>

#include <asio/read.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace trawl::test {

using namespace std::chrono_literals;

/// One server for all cases of the program: its start takes longer than they do.
inline sshd& server() {
    static sshd instance;
    return instance;
}

/// Options that get into `at` with everything as it should be.
inline ssh::options good_options(sshd const& at = server()) {
    ssh::options how{.host = "127.0.0.1"};
    how.port = at.port();
    how.user = sshd::user();
    how.identities = {ssh::load_private_key(at.file("user"))};
    how.known = std::make_shared<ssh::host_keys>();
    how.known->parse(at.known_hosts_line(), "fixture");
    return how;
}

/// What `body` throws as an ssh::failure; fails the case when it throws none.
inline ssh::failure failure_of(std::function<awaitable<>()> body) {
    try {
        run(body);
    } catch (ssh::failure const& thrown) {
        return thrown;
    }
    FAIL("no ssh::failure was thrown");
    throw std::logic_error("unreachable");
}

/// Connects with `how` and fails; the failure.
inline ssh::failure connect_failure(ssh::options how) {
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
    };
    return failure_of(body);
}

/// Connects with `how` and runs `command`.
inline ssh::completed run_once(ssh::options how, std::string command,
                               ssh::exec_options more = ssh::exec_options()) {
    ssh::completed done;
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        done = co_await host.exec(command, more);
        co_await host.disconnect();
    };
    run(body);
    return done;
}

} // namespace trawl::test
