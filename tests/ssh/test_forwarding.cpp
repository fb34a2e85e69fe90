#include "descriptors.hpp"
#include "ssh/echo.hpp"

#include <asio/read_until.hpp>

#include <algorithm>
#include <vector>

using namespace trawl;
using namespace trawl::test;
using namespace std::string_literals;

TEST_CASE("a local port leads through the server, bytes unchanged and ends passed on",
          "[ssh][forward]") {
    auto body = [](ssh::session& host, std::uint16_t port) -> awaitable<> {
        auto way = host.forward_local(loopback(), "127.0.0.1", port);
        auto use = [&]() -> awaitable<> {
            auto const sent = bytes(10'000'000);
            auto peer = co_await dial(way.port());
            auto const back = co_await exchange(peer, sent);
            CHECK(back.size() == sent.size() + 1);
            CHECK(back == sent + "."); // the echo answers after it has seen our end
        };
        std::vector<ssh::forwarding*> const ways{&way};
        co_await during(ways, use);
    };
    with_echo(body);
}

TEST_CASE("a port of the server's leads here, bytes unchanged and ends passed on",
          "[ssh][forward]") {
    auto body = [](ssh::session& host, std::uint16_t port) -> awaitable<> {
        auto way = co_await host.forward_remote("127.0.0.1", 0, here(), port);
        CHECK(way.port() > 0);
        auto use = [&]() -> awaitable<> {
            auto const sent = bytes(10'000'000);
            auto peer = co_await dial(way.port());
            auto const back = co_await exchange(peer, sent);
            CHECK(back.size() == sent.size() + 1);
            CHECK(back == sent + ".");
        };
        std::vector<ssh::forwarding*> const ways{&way};
        co_await during(ways, use);
    };
    with_echo(body);
}

TEST_CASE("a SOCKS client is led where it wants", "[ssh][forward]") {
    auto body = [](ssh::session& host, std::uint16_t port) -> awaitable<> {
        auto way = host.forward_dynamic(loopback());
        auto use = [&]() -> awaitable<> {
            auto peer = co_await dial(way.port());
            auto const wish = socks_5(port, "localhost") + "early"; // sent before it is granted
            co_await write_all(peer, wish);
            auto const reply = co_await read_exactly(peer, 12);
            CHECK(reply == "\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0"s);
            auto const back = co_await exchange(peer, " and late");
            CHECK(back == "early and late.");

            auto old = co_await dial(way.port());
            auto const wish_4 = "\x04\x01"s + static_cast<char>(port >> 8) +
                                static_cast<char>(port & 0xff) + "\x7f\x00\x00\x01me\0"s;
            co_await write_all(old, wish_4);
            auto const reply_4 = co_await read_exactly(old, 8);
            CHECK(reply_4 == "\x00\x5a\0\0\0\0\0\0"s);
            auto const back_4 = co_await exchange(old, "four");
            CHECK(back_4 == "four.");
        };
        std::vector<ssh::forwarding*> const ways{&way};
        co_await during(ways, use);
    };
    with_echo(body);
}

TEST_CASE("a SOCKS client hears that its host refuses, and others are not disturbed",
          "[ssh][forward]") {
    auto body = [](ssh::session& host, std::uint16_t port) -> awaitable<> {
        auto way = host.forward_dynamic(loopback());
        auto use = [&]() -> awaitable<> {
            auto good = co_await dial(way.port());
            co_await write_all(good, socks_5(port, "127.0.0.1"));
            co_await read_exactly(good, 12);
            auto peer = co_await dial(way.port());
            co_await write_all(peer, socks_5(free_port(), "127.0.0.1"));
            auto const answer = co_await read_to_end(peer);
            CHECK(answer == "\x05\x00\x05\x05\x00\x01\0\0\0\0\0\0"s);
            auto other = co_await dial(way.port());
            co_await write_all(other, "GET / HTTP/1.0\r\n\r\n");
            auto const nothing = co_await read_to_end(other);
            CHECK(nothing.empty());
            auto const back = co_await exchange(good, "still");
            CHECK(back == "still.");
        };
        std::vector<ssh::forwarding*> const ways{&way};
        co_await during(ways, use);
    };
    with_echo(body);
}

TEST_CASE("a target that refuses ends its connection only, and is told", "[ssh][forward]") {
    notes said;
    auto how = good_options();
    how.log = &said;
    auto const closed = free_port();
    auto body = [&](ssh::session& host, std::uint16_t port) -> awaitable<> {
        auto local = host.forward_local(loopback(), "127.0.0.1", closed);
        auto remote = co_await host.forward_remote("127.0.0.1", 0, here(), closed);
        auto good = host.forward_local(loopback(), "127.0.0.1", port);
        auto use = [&]() -> awaitable<> {
            for (auto const at : {local.port(), remote.port()}) {
                auto peer = co_await dial(at);
                auto const nothing = co_await read_to_end(peer);
                CHECK(nothing.empty());
            }
            auto peer = co_await dial(good.port());
            auto const back = co_await exchange(peer, "x");
            CHECK(back == "x.");
        };
        std::vector<ssh::forwarding*> const ways{&local, &remote, &good};
        co_await during(ways, use);
    };
    with_echo(body, how);
    REQUIRE(said.lines.size() == 2);
    for (auto const& line : said.lines) {
        CHECK(line.starts_with("forwarding: "));
        CHECK(line.find(std::to_string(closed)) != std::string::npos);
        CHECK(line.find("refused") != std::string::npos);
    }
}

TEST_CASE("two hundred connections go through one forwarding at once", "[ssh][forward]") {
    auto body = [](ssh::session& host, std::uint16_t port) -> awaitable<> {
        auto local = host.forward_local(loopback(), "127.0.0.1", port);
        auto remote = co_await host.forward_remote("127.0.0.1", 0, here(), port);
        auto use = [&]() -> awaitable<> {
            for (auto const* way : {&local, &remote}) {
                std::vector<tcp::socket> peers;
                for (int i = 0; i < 200; ++i) {
                    auto peer = co_await dial(way->port());
                    co_await write_all(peer, std::to_string(i));
                    peers.push_back(std::move(peer));
                }
                for (int i = 0; i < 200; ++i) { // all are there before the first ends
                    auto const text = std::to_string(i);
                    auto const back =
                        co_await read_exactly(peers[static_cast<std::size_t>(i)], text.size());
                    CHECK(back == text);
                }
                CHECK(way->connections() == 200);
                for (auto& peer : peers) {
                    auto const last = co_await exchange(peer, "end");
                    CHECK(last == "end.");
                }
            }
        };
        std::vector<ssh::forwarding*> const ways{&local, &remote};
        co_await during(ways, use);
    };
    with_echo(body);
}

TEST_CASE("connections beyond max_forwarded wait here and are refused there", "[ssh][forward]") {
    auto how = good_options();
    how.max_forwarded = 2;
    auto body = [](ssh::session& host, std::uint16_t port) -> awaitable<> {
        auto local = host.forward_local(loopback(), "127.0.0.1", port);
        auto remote = co_await host.forward_remote("127.0.0.1", 0, here(), port);
        auto use = [&]() -> awaitable<> {
            for (auto const* way : {&local, &remote}) {
                auto first = co_await dial(way->port());
                auto second = co_await dial(way->port());
                for (auto* peer : {&first, &second}) {
                    co_await write_all(*peer, "x");
                    co_await read_exactly(*peer, 1);
                }
                auto third = co_await dial(way->port());
                if (way == &remote) {
                    auto const nothing = co_await read_to_end(third);
                    CHECK(nothing.empty());
                }
                auto const end = co_await exchange(first, "");
                CHECK(end == ".");
                if (way == &remote) third = co_await dial(way->port());
                auto const back = co_await exchange(third, "late");
                CHECK(back == "late.");
            }
        };
        std::vector<ssh::forwarding*> const ways{&local, &remote};
        co_await during(ways, use);
    };
    with_echo(body, how);
}

TEST_CASE("a forwarding goes through a session behind a jump", "[ssh][forward][jump]") {
    auto body = [](ssh::session&, std::uint16_t port) -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        auto const jump = std::make_shared<ssh::session>(executor, good_options());
        co_await jump->connect();
        auto how = good_options();
        how.jump = jump;
        ssh::session inner(executor, how);
        co_await inner.connect();
        auto local = inner.forward_local(loopback(), "127.0.0.1", port);
        auto remote = co_await inner.forward_remote("127.0.0.1", 0, here(), port);
        auto use = [&]() -> awaitable<> {
            for (auto const at : {local.port(), remote.port()}) {
                auto peer = co_await dial(at);
                auto const sent = bytes(2'000'000);
                auto const back = co_await exchange(peer, sent);
                CHECK(back == sent + ".");
            }
        };
        std::vector<ssh::forwarding*> const ways{&local, &remote};
        co_await during(ways, use);
    };
    with_echo(body);
}
