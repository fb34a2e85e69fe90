#pragma once

#include "dns/name_server.hpp"
#include "test.hpp"

#include <trawl/dns.hpp>
#include <trawl/error.hpp>
#include <trawl/task_group.hpp>

#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

// What the tests of the resolver share: a scripted name server beside a lookup, and what is expected.
namespace trawl::test {

using dns::resolver;
using namespace std::chrono_literals;
using addresses = std::vector<asio::ip::address>;
using names = std::vector<std::string>;
using query = name_server::query;
using answer = std::optional<name_server::reply>;

inline resolver::options asking(name_server const& server) {
    resolver::options how;
    how.servers = {server.where()};
    how.hosts.clear();
    how.resolv_conf.clear();
    how.timeout = 100ms;
    return how;
}

// Runs `body(server)` beside a name server that follows `script`.
template <class Body>
void with_server(name_server::script script, Body body) {
    run([&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        name_server server(executor, script);
        auto both = [&](task_group& group) -> awaitable<> {
            server.start(group);
            co_await body(server);
        };
        co_await with_group(both);
    });
}

template <class T>
awaitable<std::error_code> failure_of(awaitable<T> lookup) {
    try {
        co_await std::move(lookup);
    } catch (error const& e) {
        co_return e.code();
    }
    co_return std::error_code();
}

// No co_await stands inside a CHECK: g++ 12 evaluates it once for each time that the macro names
// its argument.
template <class T>
awaitable<> expect(awaitable<T> lookup, std::error_code failure) {
    auto const code = co_await failure_of(std::move(lookup));
    CHECK(code == failure);
}
inline awaitable<> expect(awaitable<addresses> lookup, std::string text) {
    std::string found;
    for (auto const& address : co_await std::move(lookup))
        found += (found.empty() ? "" : " ") + address.to_string();
    CHECK(found == text);
}
inline awaitable<> expect(awaitable<names> lookup, std::string text) {
    std::string found;
    for (auto const& name : co_await std::move(lookup)) found += (found.empty() ? "" : " ") + name;
    CHECK(found == text);
}

// One A and one AAAA for every name.
inline answer both(query const& q) {
    if (q.type == name_server::a) return {{.records = {name_server::address(q.name, "10.0.0.7")}}};
    return {{.records = {name_server::address(q.name, "2001:db8::7")}}};
}

} // namespace trawl::test
