#include "icmp/namespaces.hpp"
#include "descriptors.hpp"
#include "test.hpp"

#include <trawl/error.hpp>
#include <trawl/task_group.hpp>
#include <trawl/tcp_probe.hpp>

#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

#include <fstream>
#include <sys/resource.h>

using namespace std::chrono_literals;
using asio::ip::make_address;
using asio::ip::tcp;
using trawl::awaitable;
using trawl::net::tcp_answer;
using trawl::net::tcp_probe;
using trawl::net::tcp_state;
using ports = std::vector<std::uint16_t>;
namespace test = trawl::test;

namespace {

auto const loopback = make_address("127.0.0.1");

/// A loopback port that listens, and one that nobody listens on.
struct two_ports {
    explicit two_ports(asio::any_io_executor executor)
        : listening(executor, tcp::endpoint(loopback, 0)),
          bound(executor, tcp::endpoint(loopback, 0)) {}
    std::uint16_t open() const { return listening.local_endpoint().port(); }
    std::uint16_t closed() const { return bound.local_endpoint().port(); }
    tcp::acceptor listening;
    tcp::socket bound;
};

std::optional<tcp_answer> probe(std::string const& target, ports to, trawl::duration timeout) {
    std::optional<tcp_answer> answer;
    test::run(
        [&]() -> awaitable<> { answer = co_await tcp_probe(make_address(target), to, timeout); });
    return answer;
}

/// A braced list inside co_await is more than g++ 12 can compile.
awaitable<std::optional<tcp_answer>> ask_here(std::uint16_t port) {
    return tcp_probe(loopback, ports(1, port), 5s);
}

/// Sockets of this network namespace in TIME_WAIT.
int time_waits() {
    std::ifstream in("/proc/thread-self/net/tcp");
    int count = 0;
    std::string line;
    std::getline(in, line);
    while (std::getline(in, line)) count += line.find(" 06 ") != std::string::npos;
    return count;
}

void in_far(std::string const& command) {
    test::network_namespace::sh("ip netns exec trawl-test-" + std::to_string(::getpid()) + " " +
                                command);
}

} // namespace

TEST_CASE("a port that accepts or refuses is the answer", "[net][tcp]") {
    test::run([]() -> awaitable<> {
        two_ports const here(co_await asio::this_coro::executor);
        auto const open = co_await ask_here(here.open());
        REQUIRE(open);
        CHECK(open->state == tcp_state::open);
        CHECK(open->port == here.open());
        CHECK(open->up());
        CHECK(open->rtt > 0s);
        CHECK(open->rtt < 1s);
        auto const refused = co_await ask_here(here.closed());
        REQUIRE(refused);
        CHECK(refused->state == tcp_state::refused);
        CHECK(refused->port == here.closed());
        CHECK(refused->up());
        CHECK(refused->rtt > 0s);
        auto const none = co_await tcp_probe(loopback, ports(), 5s);
        CHECK_FALSE(none);
    });
    CHECK(to_string(tcp_state::open) == "open");
    CHECK(to_string(tcp_state::refused) == "refused");
    CHECK(to_string(tcp_state::unreachable) == "unreachable");
}

TEST_CASE("IPv6 ports answer too", "[net][tcp]") {
    test::network_namespace const alone;
    auto const refused = probe("::1", {9, 10}, 5s);
    REQUIRE(refused);
    CHECK(refused->state == tcp_state::refused);
}

TEST_CASE("one port that answers is enough, and ends the others", "[net][tcp]") {
    test::far_network far;
    far.answer_for("10.77.0.0/16 ");
    in_far("nft 'add table ip t; add chain ip t in { type filter hook input priority 0; }; "
           "add rule ip t in tcp dport 22 drop'");
    auto const before = trawl::test::open_descriptors();
    auto const begun = trawl::clock::now();
    auto const answer = probe("10.77.1.1", {22, 443}, 20s);
    CHECK(trawl::clock::now() - begun < 5s);
    REQUIRE(answer);
    CHECK(answer->state == tcp_state::refused);
    CHECK(answer->port == 443);
    CHECK(trawl::test::open_descriptors() == before);
}

TEST_CASE("silence is no answer, after the timeout", "[net][tcp]") {
    test::far_network const far;
    auto const begun = trawl::clock::now();
    auto const answer = probe("10.76.0.1", {22, 80, 443}, 150ms);
    CHECK_FALSE(answer);
    CHECK(trawl::clock::now() - begun >= 150ms);
    CHECK(trawl::clock::now() - begun < 5s);
    CHECK_FALSE(probe("fd00:76::1", {22}, 50ms));
}

TEST_CASE("a router that says unreachable is believed at once", "[net][tcp]") {
    test::far_network const far;
    for (auto target : {"10.78.0.1", "fd00:78::1"}) {
        INFO(target);
        auto const begun = trawl::clock::now();
        auto const answer = probe(target, {22, 443}, 20s);
        CHECK(trawl::clock::now() - begun < 5s);
        REQUIRE(answer);
        CHECK(answer->state == tcp_state::unreachable);
        CHECK_FALSE(answer->up());
        CHECK((answer->why == std::errc::host_unreachable ||
               answer->why == std::errc::network_unreachable));
    }
}

TEST_CASE("a host whose own firewall rejects is up, one behind a firewall that does is not",
          "[net][tcp]") {
    test::far_network far;
    far.answer_for("10.77.0.0/16");
    in_far("nft 'add table ip t; add chain ip t in { type filter hook input priority 0; }; "
           "add rule ip t in tcp dport 25 reject with icmp type host-prohibited; "
           "add rule ip t in tcp dport 26 reject with icmp type port-unreachable'");
    for (auto const port : ports{25, 26}) {
        INFO(port);
        auto const own = probe("10.77.1.1", {port}, 5s);
        REQUIRE(own);
        CHECK(own->state == tcp_state::refused);
    }
    // 10.79/16 lies behind the far side, which forwards to nowhere and rejects in between.
    in_far("ip route add 10.79.0.0/16 via 10.99.0.1");
    in_far("nft 'add chain ip t through { type filter hook prerouting priority 0; }; "
           "add chain ip t fw { type filter hook forward priority 0; }; "
           "add rule ip t fw ip daddr 10.79.0.0/16 reject with icmp type port-unreachable'");
    auto const between = probe("10.79.0.1", {22}, 5s);
    REQUIRE(between);
    CHECK(between->state == tcp_state::unreachable);
    CHECK(between->why == std::errc::connection_refused);
}

TEST_CASE("a better answer beats unreachable", "[net][tcp]") {
    test::far_network far;
    far.answer_for("10.77.0.0/16");
    in_far("ip rule add priority 2 lookup local");
    in_far("ip rule add priority 1 ipproto tcp dport 23 unreachable");
    in_far("ip rule del priority 0");
    in_far("nft 'add table ip t; add chain ip t in { type filter hook input priority 0; }; "
           "add rule ip t in tcp dport 22 drop'");
    auto const only = probe("10.77.1.1", {23, 22}, 200ms);
    REQUIRE(only);
    CHECK(only->state == tcp_state::unreachable);
    CHECK(only->port == 23);
    auto const answer = probe("10.77.1.1", {23, 22, 443}, 20s);
    REQUIRE(answer);
    CHECK(answer->state == tcp_state::refused);
    CHECK(answer->port == 443);
}

TEST_CASE("what the routing table forbids is unreachable, not an exception", "[net][tcp]") {
    test::network_namespace const alone;
    auto const no_route = probe("192.0.2.1", {22, 443}, 20s);
    REQUIRE(no_route);
    CHECK(no_route->state == tcp_state::unreachable);
    CHECK(no_route->why == std::errc::network_unreachable);
    for (auto kind : {"blackhole", "unreachable", "prohibit"}) {
        INFO(kind);
        alone.sh(std::string("ip route replace ") + kind + " 192.0.2.0/24");
        auto const answer = probe("192.0.2.1", {22}, 20s);
        REQUIRE(answer);
        CHECK(answer->state == tcp_state::unreachable);
        alone.sh(std::string("ip route del ") + kind + " 192.0.2.0/24");
    }
}

TEST_CASE("without a file descriptor it is this machine's failure, not the host's", "[net][tcp]") {
    test::run([]() -> awaitable<> {
        two_ports const here(co_await asio::this_coro::executor);
        ports const both{here.open(), here.closed()};
        rlimit before{};
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
        auto limited = before;
        int const next = ::dup(0); // the lowest that is free
        ::close(next);
        limited.rlim_cur = static_cast<rlim_t>(next);
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &limited) == 0);
        std::string said;
        try {
            co_await tcp_probe(loopback, both, 1s);
        } catch (trawl::error const& e) {
            said = e.what();
        }
        limited.rlim_cur = static_cast<rlim_t>(next) + 1; // room for one of the two
        ::setrlimit(RLIMIT_NOFILE, &limited);
        auto const answer = co_await tcp_probe(loopback, both, 5s);
        ::setrlimit(RLIMIT_NOFILE, &before);
        CHECK(said == "tcp probe of 127.0.0.1: Too many open files (a probe takes one for each "
                      "port; raise ulimit -n or ask fewer at once)");
        REQUIRE(answer);
        CHECK(answer->port == here.open());
    });
}

TEST_CASE("when no local port is left the reason is said", "[net][tcp]") {
    test::network_namespace const alone;
    alone.sh("sysctl net.ipv4.ip_local_port_range='40000 40000'");
    test::run([]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        tcp::acceptor acceptor(executor, tcp::endpoint(loopback, 50'000));
        tcp::socket first(executor);
        co_await first.async_connect(acceptor.local_endpoint(), asio::use_awaitable);
        try {
            co_await ask_here(50'000);
            FAIL("it was asked");
        } catch (trawl::error const& e) {
            CHECK(e.code() == std::errc::address_not_available);
        }
        // The socket meets itself: 40,000 is free again and nobody listens there.
        first.close();
        auto const itself = co_await ask_here(40'000);
        REQUIRE(itself);
        CHECK(itself->state == tcp_state::refused);
    });
}

TEST_CASE("a server that is probed reads an end of file, and TIME_WAITs do not pile up",
          "[net][tcp]") {
    test::network_namespace const alone;
    test::run([]() -> awaitable<> {
        two_ports here(co_await asio::this_coro::executor);
        for (int i = 0; i < 20; ++i) {
            auto const refused = co_await ask_here(here.closed());
            CHECK(refused);
        }
        CHECK(time_waits() == 0);
        for (int i = 0; i < 20; ++i) {
            auto const open = co_await ask_here(here.open());
            CHECK(open);
            auto server = co_await here.listening.async_accept(asio::use_awaitable);
            char byte;
            std::error_code end;
            auto token = asio::redirect_error(asio::use_awaitable, end);
            co_await asio::async_read(server, asio::buffer(&byte, 1), token);
            CHECK(end == asio::error::eof); // not connection_reset
        }
        CHECK(time_waits() <= 20); // one for each connection that was made
    });
}

TEST_CASE("a cancelled probe closes every attempt", "[net][tcp]") {
    test::far_network const far;
    test::run([]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        tcp::socket const first(executor, tcp::v4()); // with it the reactor opens its own
        auto const before = trawl::test::open_descriptors();
        for (auto limit : {0ms, 1ms, 20ms}) {
            ports const to{22, 80, 443};
            auto probing = tcp_probe(make_address("10.76.0.1"), to, 20s);
            auto const answer = co_await trawl::within(limit, std::move(probing));
            CHECK_FALSE(answer);
            CHECK(trawl::test::open_descriptors() == before);
        }
    });
}

TEST_CASE("500 hosts at once, of which one in eight answers", "[net][tcp]") {
    test::far_network far;
    far.answer_for("10.77.0.0/26");
    test::run([]() -> awaitable<> {
        int up = 0, silent = 0;
        auto one = [&](std::uint32_t host) -> awaitable<> {
            ports const to{22};
            asio::ip::address const target = asio::ip::address_v4(host);
            auto const answer = co_await tcp_probe(target, to, 500ms);
            ++(answer ? up : silent);
        };
        auto body = [&](trawl::task_group& group) -> awaitable<> {
            for (std::uint32_t i = 0; i < 500; ++i) group.spawn(one((10u << 24) + (77u << 16) + i));
            co_return;
        };
        co_await trawl::with_group(body);
        CHECK(up == 64);
        CHECK(silent == 436);
    });
}
