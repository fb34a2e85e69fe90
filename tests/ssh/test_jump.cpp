#include "descriptors.hpp"
#include "ssh/fixture.hpp"

#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>

#include <algorithm>
#include <vector>

using namespace trawl;
using namespace trawl::test;
using tcp = asio::ip::tcp;
using stream = asio::generic::stream_protocol::socket;

namespace {

using session_ptr = std::shared_ptr<ssh::session>;

awaitable<session_ptr> connected(ssh::options how) {
    auto made = std::make_shared<ssh::session>(co_await asio::this_coro::executor, how);
    co_await made->connect();
    co_return made;
}

/// Options that get into the server through `jump`.
ssh::options behind(session_ptr jump) {
    auto how = good_options();
    how.jump = std::move(jump);
    return how;
}

std::string bytes(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 2654435761u >> 13);
    return text;
}

/// Sends back what it gets, until the end of the stream; then ends its own.
awaitable<> echo_once(tcp::acceptor& from) {
    auto socket = co_await from.async_accept(asio::use_awaitable);
    char piece[16 * 1024];
    for (;;) {
        asio::error_code end;
        auto token = asio::redirect_error(asio::use_awaitable, end);
        auto const got = co_await socket.async_read_some(asio::buffer(piece), token);
        if (end) co_return;
        co_await asio::async_write(socket, asio::buffer(piece, got), asio::use_awaitable);
    }
}

tcp::acceptor local_listener(asio::any_io_executor executor) {
    return {executor, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0)};
}

awaitable<std::string> read_to_end(stream& from) {
    std::string all;
    asio::error_code end;
    auto token = asio::redirect_error(asio::use_awaitable, end);
    co_await asio::async_read(from, asio::dynamic_buffer(all), token);
    co_return all;
}

} // namespace

TEST_CASE("a session goes through another one", "[ssh][jump]") {
    auto body = []() -> awaitable<> {
        auto const jump = co_await connected(good_options());
        auto const target = co_await connected(behind(jump));
        CHECK_FALSE(target->address().has_value());
        CHECK(target->peer() == "127.0.0.1:" + std::to_string(server().port()));
        auto const done = co_await target->exec("echo $SSH_CONNECTION; exit 3");
        CHECK(done.exit_status == 3);
        CHECK(done.out.starts_with("127.0.0.1 "));
        co_await target->disconnect();
        auto const still = co_await jump->exec("echo here");
        CHECK(still.out == "here\n");
    };
    run(body);
}

TEST_CASE("many sessions share one jump, and one of them may be a jump itself", "[ssh][jump]") {
    auto body = []() -> awaitable<> {
        auto const first = co_await connected(good_options());
        auto const second = co_await connected(behind(first));
        std::size_t answers = 0;
        auto visit = [&](session_ptr through, int number) -> awaitable<> {
            auto const target = co_await connected(behind(through));
            auto const done = co_await target->exec("echo " + std::to_string(number));
            answers += done.out == std::to_string(number) + "\n";
        };
        auto all = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 24; ++i) group.spawn(visit(i % 2 ? first : second, i));
            co_return;
        };
        co_await with_group(all);
        CHECK(answers == 24);
    };
    run(body, 60s);
}

TEST_CASE("a large input and its answer pass the jump unchanged", "[ssh][jump]") {
    auto body = []() -> awaitable<> {
        auto const target = co_await connected(behind(co_await connected(good_options())));
        ssh::exec_options how;
        how.input = bytes(8'000'000);
        how.max_output = how.input.size();
        auto const input = how.input;
        ssh::process_options held;
        auto cat = co_await target->start("cat", held);
        std::string back;
        auto both = [&](task_group& group) -> awaitable<> {
            auto feed = [&]() -> awaitable<> {
                bool const taken = co_await cat.write(input);
                CHECK(taken);
                cat.close_input();
            };
            group.spawn(feed());
            while (auto piece = co_await cat.read()) back += piece->bytes;
        };
        co_await with_group(both);
        CHECK(back == input);
    };
    run(body, 60s);
}

TEST_CASE("a jump that cannot reach the host says so in the connect phase", "[ssh][jump]") {
    auto const port = free_port();
    auto body = [port]() -> awaitable<> {
        auto how = behind(co_await connected(good_options()));
        how.port = port;
        auto const target = co_await connected(how);
    };
    auto const thrown = failure_of(body);
    CHECK(thrown.code() == ssh::errc::connect_failed);
    CHECK(thrown.at() == ssh::phase::connect);
    auto const jump = "127.0.0.1:" + std::to_string(server().port());
    CHECK(thrown.where() == "ssh 127.0.0.1:" + std::to_string(port) + " connect");
    CHECK(thrown.said() == "through " + jump + ": Connection refused");
}

TEST_CASE("a server that forbids forwarding is no jump", "[ssh][jump]") {
    sshd closed("AllowTcpForwarding no");
    auto body = [&]() -> awaitable<> {
        co_await connected(behind(co_await connected(good_options(closed))));
    };
    auto const thrown = failure_of(body);
    CHECK(thrown.code() == ssh::errc::connect_failed);
    CHECK(thrown.said().find(": open failed") != std::string::npos);
}

TEST_CASE("the host key behind a jump is checked as any other", "[ssh][jump]") {
    auto body = []() -> awaitable<> {
        auto how = behind(co_await connected(good_options()));
        how.known = std::make_shared<ssh::host_keys>();
        co_await connected(how);
    };
    auto const thrown = failure_of(body);
    CHECK(thrown.code() == ssh::errc::host_key_unknown);
    CHECK(thrown.at() == ssh::phase::host_key);
}

TEST_CASE("a session through a jump that is not connected fails at once", "[ssh][jump]") {
    auto body = []() -> awaitable<> {
        auto const jump =
            std::make_shared<ssh::session>(co_await asio::this_coro::executor, good_options());
        co_await connected(behind(jump));
    };
    auto const thrown = failure_of(body);
    CHECK(thrown.code() == ssh::errc::not_connected);
    CHECK(thrown.at() == ssh::phase::connect);
}

TEST_CASE("the end of the jump ends its riders and is named", "[ssh][jump]") {
    auto const jump_peer = "127.0.0.1:" + std::to_string(server().port());
    auto body = []() -> awaitable<> {
        auto const jump = co_await connected(good_options());
        auto const target = co_await connected(behind(jump));
        auto running = co_await target->start("echo begun; sleep 100");
        co_await running.read();
        co_await jump->disconnect();
        co_await running.read();
    };
    auto const thrown = failure_of(body);
    CHECK(thrown.code() == ssh::errc::disconnected);
    CHECK(thrown.at() == ssh::phase::exec);
    CHECK(thrown.said() == "the session with " + jump_peer + " has ended: closed by this side");
}

TEST_CASE("a handshake through a jump that ends is a lost connection", "[ssh][jump]") {
    auto body = []() -> awaitable<> {
        auto const jump = co_await connected(good_options());
        auto silent = local_listener(co_await asio::this_coro::executor);
        auto scene = [&](task_group& group) -> awaitable<> {
            auto cut = [&]() -> awaitable<> {
                auto peer = co_await silent.async_accept(asio::use_awaitable);
                char banner[64]; // of the client: the channel is open
                co_await peer.async_read_some(asio::buffer(banner), asio::use_awaitable);
                co_await jump->disconnect();
            };
            group.spawn(cut());
            auto how = behind(jump);
            how.port = silent.local_endpoint().port();
            co_await connected(how);
        };
        co_await with_group(scene);
    };
    auto const thrown = failure_of(body);
    CHECK(thrown.code() == ssh::errc::disconnected);
    CHECK(thrown.at() == ssh::phase::banner);
    CHECK(thrown.said().find("has ended") != std::string::npos);
}

TEST_CASE("a tunnel is a stream with two ends of its own", "[ssh][jump]") {
    auto body = []() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        auto const host = co_await connected(good_options());
        auto listener = local_listener(executor);
        auto const sent = bytes(3'000'000);
        std::string back;
        auto scene = [&](task_group& group) -> awaitable<> {
            group.spawn(echo_once(listener));
            auto tunnel = co_await host->open_tunnel("127.0.0.1", listener.local_endpoint().port());
            auto feed = [&]() -> awaitable<> {
                co_await asio::async_write(tunnel, asio::buffer(sent), asio::use_awaitable);
                tunnel.shutdown(stream::shutdown_send);
            };
            group.spawn(feed());
            back = co_await read_to_end(tunnel);
            co_await group.join();
        };
        co_await with_group(scene);
        CHECK(back == sent);
    };
    run(body);
}

TEST_CASE("a session takes any connected stream", "[ssh][jump]") {
    auto body = []() -> awaitable<> {
        auto const jump = co_await connected(good_options());
        auto tunnel = co_await jump->open_tunnel("127.0.0.1", server().port());
        ssh::session target(co_await asio::this_coro::executor, good_options());
        co_await target.connect(std::move(tunnel));
        auto const done = co_await target.exec("echo x");
        CHECK(done.out == "x\n");
    };
    run(body);
}

TEST_CASE("who does not read a tunnel stops its sender, and memory stays", "[ssh][jump]") {
    auto body = []() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        auto const host = co_await connected(good_options());
        auto listener = local_listener(executor);
        std::size_t sent = 0;
        constexpr std::size_t total = 48 << 20;
        auto scene = [&](task_group& group) -> awaitable<> {
            auto pour = [&]() -> awaitable<> {
                auto socket = co_await listener.async_accept(asio::use_awaitable);
                std::string const piece(256 * 1024, 'x');
                for (; sent < total; sent += piece.size())
                    co_await asio::async_write(socket, asio::buffer(piece), asio::use_awaitable);
            };
            group.spawn(pour());
            auto tunnel = co_await host->open_tunnel("127.0.0.1", listener.local_endpoint().port());
            // Slow, but never stopped: each read lets a little more in.
            std::string piece(32 * 1024, '\0');
            std::size_t got = 0, ahead = 0;
            for (; got < 4 << 20;) {
                got += co_await tunnel.async_read_some(asio::buffer(piece), asio::use_awaitable);
                co_await sleep_for(2ms);
                ahead = std::max(ahead, sent - std::min(sent, got));
            }
            // Two windows of 1.9 MB here, sshd's 2 MB and the buffers of five sockets.
            CHECK(ahead < 24u << 20);
            tunnel.close();
            group.cancel();
        };
        co_await with_group(scene);
    };
    run(body);
}

TEST_CASE("tunnels leave no descriptor and no channel behind", "[ssh][jump]") {
    auto body = []() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        auto const host = co_await connected(good_options());
        auto listener = local_listener(executor);
        auto const before = open_descriptors();
        for (int i = 0; i < 20; ++i) {
            auto tunnel = co_await host->open_tunnel("127.0.0.1", listener.local_endpoint().port());
            auto peer = co_await listener.async_accept(asio::use_awaitable);
            tunnel.close();
            char byte;
            asio::error_code end;
            auto token = asio::redirect_error(asio::use_awaitable, end);
            co_await peer.async_read_some(asio::buffer(&byte, 1), token);
            CHECK(end == asio::error::eof);
        }
        CHECK(open_descriptors() == before);
    };
    run(body);
}

TEST_CASE("giving up a tunnel that opens leaves the session usable", "[ssh][jump]") {
    auto body = []() -> awaitable<> {
        auto how = good_options();
        auto const host = co_await connected(how);
        // Nobody answers in a full backlog, so the channel stays in its opening.
        tcp::acceptor full(co_await asio::this_coro::executor, tcp::v4());
        full.bind(tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
        full.listen(0);
        auto const at = full.local_endpoint();
        tcp::socket first(full.get_executor()), second(full.get_executor());
        co_await first.async_connect(at, asio::use_awaitable);
        auto open = host->open_tunnel("127.0.0.1", at.port());
        co_await within(100ms, std::move(open));
        auto more = host->open_tunnel("127.0.0.1", at.port());
        co_await within(100ms, std::move(more));
        auto const done = co_await host->exec("echo x");
        CHECK(done.out == "x\n");
    };
    run(body);
}
