#pragma once

#include "ssh/fixture.hpp"

#include <trawl/observer.hpp>
#include <trawl/task_group.hpp>

#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/redirect_error.hpp>
#include <asio/write.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Both ends of what is forwarded: an echo server, and clients of it.
namespace trawl::test {

using tcp = asio::ip::tcp;
using namespace std::string_literals;

inline tcp::endpoint loopback(std::uint16_t port = 0) {
    return {asio::ip::make_address("127.0.0.1"), port};
}

inline std::string bytes(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 2654435761u >> 13);
    return text;
}

inline awaitable<tcp::socket> dial(std::uint16_t port) {
    tcp::socket made(co_await asio::this_coro::executor);
    co_await made.async_connect(loopback(port), asio::use_awaitable);
    co_return made;
}

/// Bytes until the end of the stream, however that comes.
inline awaitable<std::string> read_to_end(tcp::socket& from) {
    std::string all;
    asio::error_code end;
    auto token = asio::redirect_error(asio::use_awaitable, end);
    co_await asio::async_read(from, asio::dynamic_buffer(all), token);
    co_return all;
}

inline awaitable<> write_all(tcp::socket& to, std::string const& text) {
    co_await asio::async_write(to, asio::buffer(text), asio::use_awaitable);
}

/// Sends back what comes until its end, and then "." and its own end.
inline awaitable<> echo(tcp::socket peer) {
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
inline awaitable<std::string> exchange(tcp::socket& peer, std::string const& text) {
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

inline void with_echo(scene body, ssh::options const& how = good_options()) {
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
inline awaitable<> during(std::vector<ssh::forwarding*> ways, std::function<awaitable<>()> body) {
    auto both = [&](task_group& group) -> awaitable<> {
        for (auto* way : ways) group.spawn_background(way->run());
        co_await body();
    };
    co_await with_group(both);
}

inline std::vector<asio::ip::address> here() { return {asio::ip::make_address("127.0.0.1")}; }

/// The observer's lines.
struct notes final : observer {
    void log(severity, std::string_view, std::string_view text) override {
        lines.emplace_back(text);
    }
    std::vector<std::string> lines;
};

inline std::string socks_5(std::uint16_t port, std::string const& name) {
    return "\x05\x01\x00\x05\x01\x00\x03"s + static_cast<char>(name.size()) + name +
           static_cast<char>(port >> 8) + static_cast<char>(port & 0xff);
}

inline awaitable<std::string> read_exactly(tcp::socket& from, std::size_t size) {
    std::string text(size, '\0');
    co_await asio::async_read(from, asio::buffer(text), asio::use_awaitable);
    co_return text;
}

} // namespace trawl::test
