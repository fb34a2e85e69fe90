#include "descriptors.hpp"
#include "ssh/fixture.hpp"

#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>
#include <asio/redirect_error.hpp>

#include <algorithm>
#include <vector>

using namespace trawl;
using namespace trawl::test;
using namespace std::string_literals;
using tcp = asio::ip::tcp;

namespace {

tcp::endpoint loopback(std::uint16_t port = 0) {
    return {asio::ip::make_address("127.0.0.1"), port};
}

std::string bytes(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 2654435761u >> 13);
    return text;
}

awaitable<tcp::socket> dial(std::uint16_t port) {
    tcp::socket made(co_await asio::this_coro::executor);
    co_await made.async_connect(loopback(port), asio::use_awaitable);
    co_return made;
}

/// Bytes until the end of the stream, however that comes.
awaitable<std::string> read_to_end(tcp::socket& from) {
    std::string all;
    asio::error_code end;
    auto token = asio::redirect_error(asio::use_awaitable, end);
    co_await asio::async_read(from, asio::dynamic_buffer(all), token);
    co_return all;
}

awaitable<> write_all(tcp::socket& to, std::string const& text) {
    co_await asio::async_write(to, asio::buffer(text), asio::use_awaitable);
}

/// Sends back what comes until its end, and then "." and its own end.
awaitable<> echo(tcp::socket peer) {
    std::string piece(64 * 1024, '\0');
    for (;;) {
        asio::error_code end;
        auto token = asio::redirect_error(asio::use_awaitable, end);
        auto const got = co_await peer.async_read_some(asio::buffer(piece), token);
        if (end) break;
        co_await asio::async_write(peer, asio::buffer(piece.data(), got), asio::use_awaitable);
    }
    co_await write_all(peer, ".");
}

class echo_server {
public:
    explicit echo_server(asio::any_io_executor executor) : from_(executor, loopback()) {}
    std::uint16_t port() const { return from_.local_endpoint().port(); }
    awaitable<> serve(task_group& group) {
        for (;;) {
            auto peer = co_await from_.async_accept(asio::use_awaitable);
            group.spawn_background(echo(std::move(peer)));
        }
    }

private:
    tcp::acceptor from_;
};

/// What `text` becomes on its way to the echo server and back; ends its own side first.
awaitable<std::string> exchange(tcp::socket& peer, std::string const& text) {
    std::string back;
    auto both = [&](task_group& group) -> awaitable<> {
        auto send = [&]() -> awaitable<> {
            co_await write_all(peer, text);
            peer.shutdown(tcp::socket::shutdown_send);
        };
        group.spawn(send());
        back = co_await read_to_end(peer);
    };
    co_await with_group(both);
    co_return back;
}

/// A connected session and an echo server, for `body(session, echo port)`.
using scene = std::function<awaitable<>(ssh::session&, std::uint16_t)>;

void with_echo(scene body, ssh::options const& how = good_options()) {
    auto all = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        echo_server echoes(executor);
        ssh::session host(executor, how);
        co_await host.connect();
        auto both = [&](task_group& group) -> awaitable<> {
            group.spawn_background(echoes.serve(group));
            co_await body(host, echoes.port());
        };
        co_await with_group(both);
        co_await host.disconnect();
    };
    run(all, 60s);
}

/// Calls `body` while the forwardings run.
awaitable<> during(std::vector<ssh::forwarding*> ways, std::function<awaitable<>()> body) {
    auto both = [&](task_group& group) -> awaitable<> {
        for (auto* way : ways) group.spawn_background(way->run());
        co_await body();
    };
    co_await with_group(both);
}

std::vector<asio::ip::address> here() { return {asio::ip::make_address("127.0.0.1")}; }

/// The observer's lines.
struct notes final : observer {
    void log(severity, std::string_view, std::string_view text) override {
        lines.emplace_back(text);
    }
    std::vector<std::string> lines;
};

std::string socks_5(std::uint16_t port, std::string const& name) {
    return "\x05\x01\x00\x05\x01\x00\x03"s + static_cast<char>(name.size()) + name +
           static_cast<char>(port >> 8) + static_cast<char>(port & 0xff);
}

awaitable<std::string> read_exactly(tcp::socket& from, std::size_t size) {
    std::string text(size, '\0');
    co_await asio::async_read(from, asio::buffer(text), asio::use_awaitable);
    co_return text;
}

} // namespace

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
        auto way = co_await host.forward_remote("", 0, here(), port);
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
