// What ends a forwarding, and what a server refuses of it.
#include "descriptors.hpp"
#include "ssh/echo.hpp"

#include <asio/read_until.hpp>

#include <algorithm>
#include <vector>

using namespace trawl;
using namespace trawl::test;
using namespace std::string_literals;

TEST_CASE("cancelling closes what is carried and leaves the session usable", "[ssh][forward]") {
    auto body = [](ssh::session& host, std::uint16_t port) -> awaitable<> {
        auto const before = open_descriptors();
        {
            auto local = host.forward_local(loopback(), "127.0.0.1", port);
            auto remote = co_await host.forward_remote("127.0.0.1", 0, here(), port);
            std::vector<tcp::socket> peers;
            auto both = [&](task_group& within) -> awaitable<> {
                within.spawn_background(local.run());
                within.spawn_background(remote.run());
                for (auto const at : {local.port(), remote.port()}) {
                    auto peer = co_await dial(at);
                    co_await write_all(peer, "x");
                    co_await read_exactly(peer, 1);
                    peers.push_back(std::move(peer));
                }
                within.cancel();
            };
            co_await with_group(both);
            for (auto& peer : peers) {
                auto const nothing = co_await read_to_end(peer);
                CHECK(nothing.empty());
            }
            CHECK(local.connections() == 0);
        }
        auto const done = co_await host.exec("echo x");
        CHECK(done.out == "x\n");
        // The echoes end when they have seen the ends of their connections.
        for (int i = 0; open_descriptors() > before && i < 200; ++i) co_await sleep_for(10ms);
        CHECK(open_descriptors() <= before);
    };
    with_echo(body);
}

TEST_CASE("the server listens no more when its forwarding is gone", "[ssh][forward]") {
    auto body = [](ssh::session& host, std::uint16_t port) -> awaitable<> {
        std::uint16_t at = 0;
        {
            auto way = co_await host.forward_remote("127.0.0.1", 0, here(), port);
            at = way.port();
            CHECK(accepts(at));
        }
        // The answer to this comes after the one to the cancellation.
        auto const again = co_await host.forward_remote("127.0.0.1", at, here(), port);
        CHECK(again.port() == at);
    };
    with_echo(body);
}

TEST_CASE("many ports are asked for at once while output pours", "[ssh][forward]") {
    auto how = good_options();
    how.keepalive.interval = 20ms; // whose answers are global, too
    auto body = [](ssh::session& host, std::uint16_t port) -> awaitable<> {
        auto noise = co_await host.start("yes");
        auto drain = [&]() -> awaitable<> {
            while (auto const bytes = co_await noise.read()) {
            }
        };
        auto one = [&]() -> awaitable<> {
            auto way = co_await host.forward_remote("127.0.0.1", 0, here(), port);
            auto use = [&]() -> awaitable<> {
                auto peer = co_await dial(way.port());
                auto const back = co_await exchange(peer, "here");
                CHECK(back == "here.");
            };
            std::vector<ssh::forwarding*> const ways{&way};
            co_await during(ways, use);
        };
        auto all = [&](task_group& group) -> awaitable<> {
            group.spawn_background(drain());
            for (int i = 0; i < 40; ++i) group.spawn(one());
            co_return;
        };
        co_await with_group(all);
    };
    with_echo(body, how);
}

TEST_CASE("giving up a request for a port leaves the session usable", "[ssh][forward]") {
    auto body = [](ssh::session& host, std::uint16_t port) -> awaitable<> {
        auto const at = free_port();
        auto ask = [&]() -> awaitable<> {
            auto const way = co_await host.forward_remote("127.0.0.1", at, here(), port);
        };
        auto both = [&](task_group& within) -> awaitable<> {
            within.spawn(ask());
            within.cancel(); // it has asked, and the answer is not here
            co_return;
        };
        co_await with_group(both);
        auto const again = co_await host.forward_remote("127.0.0.1", at, here(), port);
        CHECK(again.port() == at);
    };
    with_echo(body);
}

TEST_CASE("a port that the server does not give is named", "[ssh][forward]") {
    sshd strict("AllowTcpForwarding local");
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, good_options(strict));
        co_await host.connect();
        co_await host.forward_remote("127.0.0.1", 2222, here(), 22);
    };
    auto const thrown = failure_of(body);
    CHECK(thrown.code() == ssh::errc::forward_refused);
    CHECK(thrown.said().starts_with("127.0.0.1:2222: "));
}

TEST_CASE("PermitListen decides which ports the server gives", "[ssh][forward]") {
    auto const allowed = free_port();
    sshd strict("PermitListen 127.0.0.1:" + std::to_string(allowed));
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, good_options(strict));
        co_await host.connect();
        auto const good = co_await host.forward_remote("127.0.0.1", allowed, here(), 22);
        CHECK(good.port() == allowed);
        co_await host.forward_remote("127.0.0.1", free_port(), here(), 22);
    };
    CHECK(failure_of(body).code() == ssh::errc::forward_refused);
}

TEST_CASE("a server without GatewayPorts listens on its loopback whatever is asked",
          "[ssh][forward]") {
    auto body = [](ssh::session& host, std::uint16_t port) -> awaitable<> {
        auto way = co_await host.forward_remote("", free_port(), here(), port);
        auto use = [&]() -> awaitable<> {
            auto peer = co_await dial(way.port());
            auto const back = co_await exchange(peer, "x");
            CHECK(back == "x.");
        };
        std::vector<ssh::forwarding*> const ways{&way};
        co_await during(ways, use);
    };
    with_echo(body);
}

TEST_CASE("a server that forbids connections says so to each", "[ssh][forward]") {
    sshd closed("AllowTcpForwarding remote");
    notes said;
    auto how = good_options(closed);
    how.log = &said;
    auto body = [&](ssh::session& host, std::uint16_t port) -> awaitable<> {
        auto way = host.forward_dynamic(loopback());
        auto use = [&]() -> awaitable<> {
            auto peer = co_await dial(way.port());
            co_await write_all(peer, socks_5(port, "127.0.0.1"));
            auto const answer = co_await read_to_end(peer);
            CHECK(answer.substr(0, 3) == "\x05\x00\x05"s);
            CHECK(answer.substr(3, 1) != "\x00"s);
        };
        std::vector<ssh::forwarding*> const ways{&way};
        co_await during(ways, use);
    };
    with_echo(body, how);
    REQUIRE(said.lines.size() == 1);
    CHECK(said.lines[0].find("open failed") != std::string::npos);
}

TEST_CASE("who does not read a forwarded port stops its sender, and memory stays",
          "[ssh][forward]") {
    auto body = [](ssh::session& host, std::uint16_t) -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        tcp::acceptor source(executor, loopback());
        std::size_t sent = 0;
        constexpr std::size_t total = 64 << 20;
        auto pour = [&]() -> awaitable<> {
            auto socket = co_await source.async_accept(asio::use_awaitable);
            std::string const piece(256 * 1024, 'x');
            for (; sent < total; sent += piece.size())
                co_await asio::async_write(socket, asio::buffer(piece), asio::use_awaitable);
        };
        auto const from = source.local_endpoint().port();
        auto local = host.forward_local(loopback(), "127.0.0.1", from);
        auto use = [&]() -> awaitable<> {
            auto peer = co_await dial(local.port());
            // Until nothing moves any more, and other traffic of the session still does.
            for (std::size_t last = 1; last != sent;) {
                last = sent;
                auto const done = co_await host.exec("sleep 0.3");
                CHECK(done.exit_status == 0);
            }
            CHECK(sent < 32u << 20); // two windows of 2 MB, and buffers of the kernel's sockets
        };
        auto both = [&](task_group& group) -> awaitable<> {
            group.spawn_background(pour());
            group.spawn_background(local.run());
            co_await use();
        };
        co_await with_group(both);
    };
    with_echo(body);
}

TEST_CASE("the end of the session ends its forwardings", "[ssh][forward]") {
    auto body = []() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, good_options());
        co_await host.connect();
        auto way = co_await host.forward_remote("127.0.0.1", 0, here(), 22);
        auto both = [&](task_group& group) -> awaitable<> {
            group.spawn(way.run());
            co_await host.exec("kill -KILL $PPID");
        };
        co_await with_group(both);
    };
    CHECK(failure_of(body).code() == ssh::errc::disconnected);
}

TEST_CASE("a port that is taken cannot be listened at", "[ssh][forward]") {
    auto body = []() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        tcp::acceptor holder(executor, loopback());
        ssh::session host(executor, good_options());
        co_await host.connect();
        auto const at = holder.local_endpoint();
        CHECK_THROWS_WITH(host.forward_local(at, "127.0.0.1", 1),
                          "listen at 127.0.0.1:" + std::to_string(at.port()) +
                              ": Address already in use");
    };
    run(body);
}
