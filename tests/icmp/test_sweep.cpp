#include "icmp/namespaces.hpp"
#include "icmp/on_link.hpp"
#include "test.hpp"

#include <trawl/icmp.hpp>
#include <trawl/task_group.hpp>

#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <map>
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

using answers = std::map<asio::ip::address, icmp::result>;

awaitable<answers> collect(icmp::pinger& pinger, std::string targets,
                           icmp::sweep::options options) {
    icmp::sweep sweep(pinger, targets::parse(targets), options);
    answers all;
    while (auto host = co_await sweep.next()) {
        bool const first = all.emplace(host->address, *host).second;
        CHECK(first);
    }
    auto const total = sweep.progress();
    CHECK(total.targets == all.size());
    CHECK(total.up + total.down + total.unreachable + total.unknown == all.size());
    co_return all;
}

std::size_t count(answers const& all, icmp::status wanted) {
    return static_cast<std::size_t>(
        std::ranges::count_if(all, [&](auto const& one) { return one.second.status == wanted; }));
}

} // namespace

TEST_CASE("127.0.0.0/24 has 256 hosts up", "[icmp]") {
    need(icmp::socket_kind::automatic);
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        icmp::sweep::options const options;
        auto const all = co_await collect(pinger, "127.0.0.0/24", options);
        CHECK(all.size() == 256);
        for (auto const& [address, host] : all) {
            CHECK(host.status == icmp::status::up);
            CHECK(host.rtt > 0ns);
            CHECK(host.rtt < 1s);
            CHECK(host.sent == 1);
            CHECK(host.received == 1);
        }
        auto const stats = pinger.stats();
        CHECK(stats.sent == 256);
        CHECK(stats.received == 256);
        CHECK(stats.forged + stats.wrong_source + stats.malformed + stats.duplicates + stats.late ==
              0);
    });
}

TEST_CASE("127.0.0.0/16 has 65,536 hosts up, whatever the receive buffer", "[icmp]") {
    need(icmp::socket_kind::automatic);
    for (std::size_t buffer : {8u << 20, 0u, 2304u}) {
        CAPTURE(buffer);
        test::run([buffer]() -> awaitable<> {
            auto const executor = co_await asio::this_coro::executor;
            icmp::pinger pinger(executor, {.receive_buffer = buffer});
            icmp::sweep sweep(pinger, targets::parse("127.0.0.0/16"));
            while (!(co_await sweep.next_batch()).empty()) {
            }
            CHECK(sweep.progress().up == 65536);
            CHECK(pinger.stats().received == 65536);
        });
    }
}

TEST_CASE("unprivileged sockets find 65,536 of 65,536 too", "[icmp]") {
    test::network_namespace alone;
    alone.sh("sysctl net.ipv4.ping_group_range='0 2147483647'");
    test::run([]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        icmp::pinger pinger(executor, {.kind = icmp::socket_kind::datagram, .receive_buffer = 0});
        CHECK(pinger.kind() == icmp::socket_kind::datagram);
        icmp::sweep sweep(pinger, targets::parse("127.0.0.0/16 ::1"));
        while (auto host = co_await sweep.next_up()) CHECK(host->received == 1);
        CHECK(sweep.progress().up == 65537);
    });
}

TEST_CASE("without any right the sweep says so", "[icmp]") {
    test::network_namespace alone; // whose ping_group_range holds nobody
    test::run([]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        icmp::pinger pinger(executor, {.kind = icmp::socket_kind::datagram});
        CHECK(pinger.kind() == icmp::socket_kind::automatic);
        icmp::sweep sweep(pinger, targets::parse("127.0.0.1"));
        std::error_code code;
        try {
            co_await sweep.next();
        } catch (error const& failure) {
            code = failure.code();
        }
        CHECK(code == icmp::errc::not_permitted);
    });
}

TEST_CASE("names are refused, or passed over when that is asked for", "[icmp]") {
    asio::io_context io;
    icmp::pinger pinger(io.get_executor());
    CHECK_THROWS_AS(icmp::sweep(pinger, targets::parse("127.0.0.1 web.example")), error);
    icmp::sweep sweep(pinger, targets::parse("127.0.0.1 web.example"), {.skip_names = true});
    CHECK(sweep.progress().targets == 2);
    CHECK(io.run() == 0);
}

TEST_CASE("an empty list ends at once", "[icmp]") {
    need(icmp::socket_kind::automatic);
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        icmp::sweep sweep(pinger, targets::list());
        auto const one = co_await sweep.next();
        auto const several = co_await sweep.next_batch();
        auto const up = co_await sweep.next_up();
        CHECK_FALSE(one);
        CHECK(several.empty());
        CHECK_FALSE(up);
    });
}

TEST_CASE("behind a gateway each status is told, with raw and unprivileged sockets", "[icmp]") {
    auto const kind = GENERATE(icmp::socket_kind::raw, icmp::socket_kind::datagram);
    test::far_network far;
    far.sh("sysctl net.ipv4.ping_group_range='0 2147483647'");
    for (int i = 0; i < 16; ++i) far.answer_for("10.77." + std::to_string(i) + ".16/28");
    far.answer_for("fd00:77::/120");
    far.sh("ip route add unreachable 10.80.0.0/24 && ip route add prohibit 10.81.0.0/24");
    test::run([kind]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        icmp::pinger pinger(executor, {.kind = kind});
        icmp::sweep::options const options{.timeout = 300ms};
        // Until its neighbour entry is there the kernel may drop what goes to the gateway.
        for (auto gateway : {"10.99.0.2", "fd00:99::2"}) {
            std::optional<icmp::reply> there;
            for (int tries = 0; tries < 20 && !there; ++tries)
                there = co_await pinger.probe(asio::ip::make_address(gateway));
            REQUIRE(there);
        }
        auto all = co_await collect(pinger, "10.77.0.0/20 fd00:77::/119", options);
        CHECK(all.size() == 4096 + 512);
        CHECK(count(all, icmp::status::up) == 256 + 256); // 1 in 16 and every other one
        CHECK(count(all, icmp::status::down) == 4096 - 256 + 256);
        for (auto const& [address, host] : all)
            CHECK(host.sent == (host.status == icmp::status::up ? 1u : 2u));

        // An ICMP error from the gateway; of those for IPv4 it sends no more than five at once.
        all = co_await collect(pinger, "10.78.0.0/30 fd00:78::/120", options);
        CHECK(count(all, icmp::status::unreachable) == 260);
        for (auto const& [address, host] : all) {
            CHECK(host.why == icmp::errc::unreachable);
            CHECK(host.sent == 1);
        }
        CHECK(pinger.stats().errors == 260);

        // Our own routing table: no way, and forbidden.
        all = co_await collect(pinger, "10.80.0.0/24 10.81.0.0/24", options);
        CHECK(count(all, icmp::status::unreachable) == 256);
        CHECK(count(all, icmp::status::unknown) == 256);
        for (auto const& [address, host] : all) CHECK(host.sent == 0);
        CHECK(all.at(asio::ip::make_address("10.81.0.7")).why.value() == EACCES);
        CHECK(pinger.stats().drops == 0);
    });
}

TEST_CASE("count sends that many and averages their times", "[icmp]") {
    need(icmp::socket_kind::automatic);
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        icmp::sweep::options const options{.count = 5, .interval = 10ms};
        auto const all = co_await collect(pinger, "127.0.0.0/26 ::1", options);
        CHECK(count(all, icmp::status::up) == 65);
        for (auto const& [address, host] : all) {
            CHECK(host.sent == 5);
            CHECK(host.received == 5);
        }
        CHECK(pinger.stats().sent == 325);
    });
}

TEST_CASE("the rate holds on the wire", "[icmp]") {
    need(icmp::socket_kind::automatic);
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        icmp::sweep::options const options{.rate = 500};
        auto const began = clock::now();
        auto const all = co_await collect(pinger, "127.0.0.0/24", options);
        CHECK(count(all, icmp::status::up) == 256);
        CHECK(clock::now() - began >= 500ms); // 255 intervals of 2 ms, less 1 ms of credit
        CHECK(clock::now() - began < 5s);
    });
}

TEST_CASE("other coroutines run while a sweep does", "[icmp]") {
    need(icmp::socket_kind::automatic);
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        icmp::sweep sweep(pinger, targets::parse("127.0.0.0/17"));
        std::size_t ticks = 0, found = 0;
        auto tick = [&]() -> awaitable<> {
            for (;;) {
                co_await yield();
                ++ticks;
            }
        };
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(tick());
            while (auto const host = co_await sweep.next_up()) ++found;
        };
        co_await with_group(body);
        CHECK(found == 32768);
        CHECK(ticks > 32768 / 256); // at least one each 256 packets
    });
}

TEST_CASE("a consumer that is slow stops the sending, not the reading", "[icmp]") {
    need(icmp::socket_kind::automatic);
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        icmp::sweep sweep(pinger, targets::parse("127.0.0.0/16"));
        auto const first = co_await sweep.next();
        CHECK(first);
        co_await sleep_for(200ms);
        CHECK(pinger.stats().sent < 2048);
        CHECK(pinger.stats().sent == pinger.stats().received);
        std::size_t rest = 0;
        while (co_await sweep.next()) ++rest;
        CHECK(rest == 65535);
    });
}

TEST_CASE("two sweeps and probes share a pinger", "[icmp]") {
    need(icmp::socket_kind::automatic);
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        std::size_t up[2] = {}, probed = 0;
        auto run_sweep = [&](std::string targets, std::size_t& found) -> awaitable<> {
            icmp::sweep sweep(pinger, targets::parse(targets));
            while (auto const host = co_await sweep.next_up()) ++found;
        };
        auto run_probe = [&](asio::ip::address target) -> awaitable<> {
            auto const reply = co_await pinger.probe(target);
            if (reply) ++probed;
        };
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn(run_sweep("127.1.0.0/20", up[0]));
            group.spawn(run_sweep("127.2.0.0/20", up[1]));
            for (std::uint32_t i = 0; i < 1000; ++i)
                group.spawn(run_probe(asio::ip::make_address_v4(0x7f030000u + i)));
            co_return;
        };
        co_await with_group(body);
        CHECK(up[0] == 4096);
        CHECK(up[1] == 4096);
        CHECK(probed == 1000);
    });
}

TEST_CASE("a cancelled next() loses no result", "[icmp]") {
    test::network_namespace alone;
    alone.sh("sysctl net.ipv4.icmp_echo_ignore_all=1");
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        icmp::sweep::options const options{.timeout = 200ms, .retries = 0};
        icmp::sweep sweep(pinger, targets::parse("127.0.0.0/24"), options);
        std::size_t results = 0, cancelled = 0;
        for (bool more = true; more;) {
            auto answer = co_await within(3ms, sweep.next());
            if (!answer)
                ++cancelled;
            else if (*answer)
                ++results;
            else
                more = false;
        }
        CHECK(results == 256);
        CHECK(cancelled > 5);
        CHECK(sweep.progress().down == 256);
    });
}

TEST_CASE("a sweep that is destroyed midway forgets its echoes", "[icmp]") {
    test::network_namespace alone;
    alone.sh("sysctl net.ipv4.icmp_echo_ignore_all=1");
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        {
            icmp::sweep sweep(pinger, targets::parse("127.0.0.0/16"));
            auto const answer = co_await within(20ms, sweep.next());
            CHECK_FALSE(answer);
            CHECK(pinger.stats().sent > 0);
        }
        auto const began = clock::now();
        icmp::sweep::options const options{.timeout = 100ms, .retries = 0};
        auto const all = co_await collect(pinger, "127.0.0.0/24", options);
        CHECK(count(all, icmp::status::down) == 256);
        CHECK(clock::now() - began < 900ms); // the first sweep's second is not waited for
    });
}

TEST_CASE("a sweep finds 400 of 4,096 on a link, and counts every one", "[icmp]") {
    test::on_link_network link;
    for (int i = 0; i < 100; ++i) // 4 in a row of each 40
        link.answer_for(fmt::format("10.66.{}.{}/30", 16 + i * 40 / 256, i * 40 % 256));
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        icmp::sweep::options options;
        options.timeout = 500ms;
        options.retries = 0;
        auto const began = clock::now();
        auto const all = co_await collect(pinger, "10.66.16.0/20", options);
        CHECK(clock::now() - began < 2s);
        CHECK(all.size() == 4096);
        CHECK(count(all, icmp::status::up) == 400);
        CHECK(count(all, icmp::status::down) == 3696);
        CHECK(pinger.stats().send_failures == 0);
        for (auto const& [address, host] : all)
            if (host.rtt) CHECK(*host.rtt < 400ms); // from the leaving, not from the asking
    });
}

TEST_CASE("a sweep of a link nobody is on ends, with the kernel's table full, too", "[icmp]") {
    test::on_link_network link;
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        icmp::sweep::options options;
        options.timeout = 200ms;
        auto const all = co_await collect(pinger, "10.66.0.0/17", options);
        CHECK(all.size() == 32768);
        CHECK(count(all, icmp::status::up) == 0);
        CHECK(count(all, icmp::status::unknown) == 0);
    });
}

TEST_CASE("packet rings sweep 65,536 behind a gateway, errors and the silent included", "[icmp]") {
    test::far_network far;
    far.answer_for("10.77.0.0/17");
    far.answer_for("fd00:77::/120");
    test::run([]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        icmp::pinger::options how;
        how.packet_rings = true;
        icmp::pinger pinger(executor, how);
        for (auto gateway : {"10.99.0.2", "fd00:99::2"}) {
            std::optional<icmp::reply> there;
            for (int tries = 0; tries < 20 && !there; ++tries)
                there = co_await pinger.probe(asio::ip::make_address(gateway));
            REQUIRE(there);
        }
        icmp::sweep::options options;
        options.timeout = 300ms;
        auto const all = co_await collect(pinger, "10.77.0.0/16 fd00:77::/119 10.78.0.1", options);
        CHECK(all.size() == 65536 + 512 + 1);
        CHECK(count(all, icmp::status::up) == 32768 + 256);
        CHECK(count(all, icmp::status::unreachable) == 1);
        CHECK(count(all, icmp::status::down) == 32768 + 256);
    });
}
