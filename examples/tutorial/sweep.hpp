#pragma once

#include <trawl/icmp.hpp>
#include <trawl/queue.hpp>

#include <asio/ip/address.hpp>
#include <asio/this_coro.hpp>

#include <utility>

using trawl::awaitable;

using hosts = trawl::queue<asio::ip::address>;

/// Pushes every address of `where` that answers a ping, and closes the queue behind the last.
inline awaitable<> find_hosts(trawl::targets::list where, hosts& up) {
    auto executor = co_await asio::this_coro::executor;
    trawl::icmp::pinger pinger(executor);
    trawl::icmp::sweep sweep(pinger, std::move(where));
    while (auto host = co_await sweep.next_up()) co_await up.push(host->address);
    up.close();
}
