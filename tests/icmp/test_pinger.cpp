#include "icmp/namespaces.hpp"
#include "test.hpp"

#include <trawl/icmp.hpp>
#include <trawl/task_group.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>

using namespace trawl;
using namespace std::chrono_literals;

namespace {

auto const home = asio::ip::make_address("127.0.0.1");

struct heard final : observer {
    void log(severity level, std::string_view where, std::string_view text) override {
        if (level >= severity::warning)
            said += std::string(where) + ": " + std::string(text) + "\n";
    }
    std::string said;
};

/// A namespace in which nobody answers, and everybody may have unprivileged sockets.
struct silence : test::network_namespace {
    silence() {
        sh("sysctl net.ipv4.icmp_echo_ignore_all=1 net.ipv6.icmp.echo_ignore_all=1 "
           "net.ipv4.ping_group_range='0 2147483647'");
    }
};

void need_raw() {
    asio::io_context io;
    if (icmp::pinger(io.get_executor(), {.kind = icmp::socket_kind::raw}).kind() !=
        icmp::socket_kind::raw)
        test::skip("needs CAP_NET_RAW");
}

} // namespace

TEST_CASE("a probe of the loopback is answered, IPv4 and IPv6", "[icmp]") {
    test::network_namespace alone;
    alone.sh("sysctl net.ipv4.ping_group_range='0 2147483647'");
    for (auto kind : {icmp::socket_kind::raw, icmp::socket_kind::datagram}) {
        test::run([kind]() -> awaitable<> {
            auto const executor = co_await asio::this_coro::executor;
            icmp::pinger pinger(executor, {.kind = kind});
            CHECK(pinger.kind() == kind);
            for (auto text : {"127.0.0.1", "127.255.3.4", "::1"}) {
                auto const target = asio::ip::make_address(text);
                auto const answer = co_await pinger.probe(target);
                REQUIRE(answer);
                CHECK(answer->from == target);
                CHECK(answer->rtt > 0ns);
                CHECK(answer->rtt < 500ms);
                CHECK(answer->hops_left == std::uint8_t{64});
            }
            CHECK(pinger.stats().sent == 3);
            CHECK(pinger.stats().received == 3);
        });
    }
}

TEST_CASE("a silent address is nullopt after the timeout", "[icmp]") {
    silence here;
    for (auto kind : {icmp::socket_kind::raw, icmp::socket_kind::datagram}) {
        test::run([kind]() -> awaitable<> {
            auto const executor = co_await asio::this_coro::executor;
            icmp::pinger pinger(executor, {.timeout = 80ms, .kind = kind});
            auto const began = clock::now();
            auto answer = co_await pinger.probe(home);
            CHECK_FALSE(answer);
            CHECK(clock::now() - began >= 80ms);
            answer = co_await pinger.probe(asio::ip::make_address("::1"));
            CHECK_FALSE(answer);
        });
    }
}

TEST_CASE("an ICMP error ends a probe before its timeout", "[icmp]") {
    test::far_network far;
    test::run([]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        icmp::pinger pinger(executor, {.timeout = 20s});
        for (auto text : {"10.78.1.2", "fd00:78::1"}) {
            auto const answer = co_await pinger.probe(asio::ip::make_address(text));
            CHECK_FALSE(answer);
        }
        CHECK(pinger.stats().errors == 2);
    });
}

TEST_CASE("a probe that cannot be sent throws the kernel's reason", "[icmp]") {
    test::network_namespace alone; // without a route
    test::run([]() -> awaitable<> {
        icmp::pinger pinger(co_await asio::this_coro::executor);
        std::string said;
        std::error_code code;
        try {
            co_await pinger.probe(asio::ip::make_address("192.0.2.1"));
        } catch (error const& failure) {
            said = failure.what(), code = failure.code();
        }
        CHECK(code == std::errc::network_unreachable);
        CHECK(said == "ping 192.0.2.1: Network is unreachable");
        CHECK(pinger.stats().send_failures == 1);
        auto const other = co_await pinger.probe(home); // goes on
        CHECK(other);
    });
}

TEST_CASE("10,000 probes at once are all answered with the default buffer", "[icmp]") {
    need_raw();
    test::run([]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        icmp::pinger pinger(executor, {.receive_buffer = 0});
        std::size_t answered = 0;
        auto one = [&](asio::ip::address target) -> awaitable<> {
            auto const reply = co_await pinger.probe(target);
            if (reply) ++answered;
        };
        auto body = [&](task_group& group) -> awaitable<> {
            for (std::uint32_t i = 0; i < 10000; ++i)
                group.spawn(one(asio::ip::make_address_v4(0x7f000000u + i)));
            co_return;
        };
        co_await with_group(body);
        CHECK(answered == 10000);
        CHECK(pinger.stats().drops == 0);
    });
}

TEST_CASE("two pingers do not see each other's replies", "[icmp]") {
    need_raw();
    test::run([]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        icmp::pinger one(executor), other(executor);
        for (int i = 0; i < 20; ++i) {
            auto const first = co_await one.probe(home);
            auto const second = co_await other.probe(home);
            CHECK((first && second));
        }
        for (auto const& stats : {one.stats(), other.stats()}) {
            CHECK(stats.received == 20);
            CHECK(stats.forged + stats.late + stats.duplicates + stats.malformed == 0);
        }
    });
}

TEST_CASE("a probe can be cancelled at every suspension", "[icmp]") {
    silence here;
    // After 0, 1, 2, ... handlers of the loop: queued, the pump starting, sent, waiting.
    for (int steps = 0; steps < 8; ++steps) {
        CAPTURE(steps);
        asio::io_context io;
        icmp::pinger pinger(io.get_executor(), {.timeout = 20s});
        asio::cancellation_signal stop;
        bool cancelled = false;
        asio::co_spawn(io, pinger.probe(home),
                       asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e, auto) {
                           cancelled = e && is_cancelled(e);
                       }));
        for (int i = 0; i < steps; ++i) io.poll_one();
        stop.emit(asio::cancellation_type::terminal);
        auto const began = clock::now();
        io.run();
        CHECK(cancelled);
        CHECK(clock::now() - began < 5s); // nothing of it keeps the loop busy
    }
}

TEST_CASE("a loop that is abandoned with a probe and a sweep in it leaks nothing", "[icmp]") {
    silence here;
    bool ended = false;
    auto use = [&ended]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        icmp::pinger pinger(executor);
        icmp::sweep sweep(pinger, targets::parse("127.0.0.0/16"));
        auto probe = [&pinger]() -> awaitable<> { co_await pinger.probe(home); };
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn(probe());
            co_await sweep.next();
        };
        co_await with_group(body);
        ended = true;
    };
    {
        asio::io_context io;
        asio::co_spawn(io, use, [&](std::exception_ptr) { ended = true; });
        io.run_for(20ms);
    } // the sanitizer build looks for what is left
    CHECK_FALSE(ended);
}

TEST_CASE("who waits for a pinger that is destroyed is told", "[icmp]") {
    silence here;
    asio::io_context io;
    auto pinger = std::make_unique<icmp::pinger>(io.get_executor());
    icmp::sweep sweep(*pinger, targets::parse("127.0.0.0/16"));
    std::vector<std::error_code> told;
    auto note = [&](std::exception_ptr e, auto const&) {
        try {
            if (e) std::rethrow_exception(e);
        } catch (error const& failure) {
            told.push_back(failure.code());
        }
    };
    asio::co_spawn(io, pinger->probe(home), note);
    asio::co_spawn(io, sweep.next(), note);
    io.run_for(20ms);
    CHECK(told.empty());
    pinger.reset();
    io.run();
    CHECK(told == std::vector<std::error_code>(2, icmp::errc::pinger_closed));
}

TEST_CASE("a pinger that nobody waits for keeps no work on the loop", "[icmp]") {
    need_raw();
    asio::io_context io;
    icmp::pinger pinger(io.get_executor());
    CHECK(io.run() == 0);
    io.restart();
    bool answered = false;
    asio::co_spawn(io, pinger.probe(home),
                   [&](std::exception_ptr e, auto reply) { answered = !e && reply; });
    io.run(); // returns
    CHECK(answered);
}

TEST_CASE("the fall-back to unprivileged sockets is reported", "[icmp]") {
    if (::getuid() != 0) test::skip("needs to give up a right it has");
    test::network_namespace alone;
    alone.sh("sysctl net.ipv4.ping_group_range='0 2147483647'");
    REQUIRE(::seteuid(65534) == 0); // drops the effective capabilities
    heard watch;
    asio::io_context io;
    icmp::pinger pinger(io.get_executor(), {.watch = &watch});
    REQUIRE(::seteuid(0) == 0);
    CHECK(pinger.kind() == icmp::socket_kind::datagram);
    CHECK(watch.said.find(
              "icmp: no raw socket (Operation not permitted): using an unprivileged one") !=
          std::string::npos);
}
