#include "test.hpp"

#include <trawl/icmp.hpp>
#include <trawl/task_group.hpp>

#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <set>

using namespace trawl;
using namespace std::chrono_literals;

namespace {

/// A case that needs ICMP sockets of `kind` begins with this.
void need(icmp::socket_kind kind) {
    asio::io_context io;
    icmp::pinger pinger(io.get_executor(), {.kind = kind});
    if (pinger.kind() == icmp::socket_kind::automatic)
        test::skip(kind == icmp::socket_kind::datagram
                       ? "needs a group in net.ipv4.ping_group_range"
                       : "needs CAP_NET_RAW");
}

} // namespace

TEST_CASE("127.0.0.0/24 has 256 hosts up", "[icmp]") {
    need(icmp::socket_kind::automatic);
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        icmp::sweep sweep(pinger, targets::parse("127.0.0.0/24"));
        std::set<asio::ip::address> seen;
        while (auto host = co_await sweep.next()) {
            CHECK(host->status == icmp::status::up);
            CHECK(host->rtt > 0ns);
            CHECK(host->rtt < 1s);
            CHECK(host->sent == 1);
            CHECK(host->received == 1);
            seen.insert(host->address);
        }
        CHECK(seen.size() == 256);
        auto const total = sweep.progress();
        CHECK(total.targets == 256);
        CHECK(total.up == 256);
        CHECK(pinger.stats().sent == 256);
        CHECK(pinger.stats().received == 256);
        CHECK(pinger.stats().forged + pinger.stats().wrong_source + pinger.stats().malformed == 0);
    });
}

TEST_CASE("127.0.0.0/16 has 65,536 hosts up, whatever the receive buffer", "[icmp]") {
    need(icmp::socket_kind::automatic);
    for (std::size_t buffer : {8u << 20, 0u, 2304u}) {
        CAPTURE(buffer);
        test::run([buffer]() -> awaitable<> {
            icmp::pinger pinger(co_await asio::this_coro::executor, {.receive_buffer = buffer});
            icmp::sweep sweep(pinger, targets::parse("127.0.0.0/16"));
            while (!(co_await sweep.next_batch()).empty()) {
            }
            CHECK(sweep.progress().up == 65536);
            CHECK(pinger.stats().received == 65536);
        });
    }
}
