#pragma once

#include "peers/faulty_proxy.hpp"
#include "ssh/fixture.hpp"

namespace trawl::test {

/// Options that reach `at` through a proxy.
inline ssh::options through(std::uint16_t proxy, sshd const& at) {
    auto how = good_options(at);
    auto const line = at.known_hosts_line();
    how.port = proxy;
    how.known->parse("[127.0.0.1]:" + std::to_string(proxy) + line.substr(line.find(' ')), "proxy");
    return how;
}

/// Runs `body(options)` with a server behind a proxy that asks `next` for its faults.
inline void behind_proxy(sshd const& at, std::function<faulty_proxy::fault()> next,
                         std::function<awaitable<>(ssh::options, faulty_proxy&)> body) {
    auto all = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        asio::ip::tcp::endpoint const target(asio::ip::address_v4::loopback(), at.port());
        faulty_proxy proxy(executor, target, next);
        auto scene = [&](task_group& group) -> awaitable<> {
            group.spawn_background(proxy.serve());
            auto how = through(proxy.port(), at);
            co_await body(std::move(how), proxy);
        };
        co_await with_group(scene);
    };
    run(all, 120s);
}

} // namespace trawl::test
