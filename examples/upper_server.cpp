// upper_server [PORT]: answers each line in upper case, to many clients at once, on one thread.
#include <trawl/async.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>
#include <asio/signal_set.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <csignal>
#include <iostream>

using asio::ip::tcp;

trawl::awaitable<> serve(tcp::socket client) try {
    std::string received;
    for (;;) {
        auto line_read = asio::async_read_until(client, asio::dynamic_buffer(received, 65536), '\n',
                                                asio::use_awaitable);
        auto size = co_await trawl::with_timeout(std::chrono::minutes(5), std::move(line_read));
        std::string line = received.substr(0, size);
        received.erase(0, size);
        for (char& c : line) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        co_await asio::async_write(client, asio::buffer(line), asio::use_awaitable);
    }
} catch (std::system_error const& e) {
    if (trawl::is_cancelled(e)) throw;
    // A client that leaves, or misbehaves, ends its own loop and nobody else's.
    if (e.code() != asio::error::eof) std::cerr << "a client was lost: " << e.what() << "\n";
}

trawl::awaitable<> accept_all(tcp::acceptor& acceptor, trawl::task_group& clients) {
    for (;;) clients.spawn(serve(co_await acceptor.async_accept(asio::use_awaitable)));
}

trawl::awaitable<> stop_on_signal(asio::io_context& io, trawl::task_group& clients) {
    asio::signal_set signals(io, SIGINT, SIGTERM);
    co_await signals.async_wait(asio::use_awaitable);
    clients.cancel();
}

int main(int, char** argv) {
    asio::io_context io(1);
    auto const port = static_cast<std::uint16_t>(argv[1] ? std::stoi(argv[1]) : 0);
    tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), port));
    std::cout << "listening on " << acceptor.local_endpoint() << std::endl;
    auto body = [&](trawl::task_group& clients) -> trawl::awaitable<> {
        clients.spawn_background(stop_on_signal(io, clients));
        clients.spawn(accept_all(acceptor, clients));
        co_return;
    };
    asio::co_spawn(io, trawl::with_group(body),
                   [](std::exception_ptr) { std::cout << "stopped\n"; });
    io.run();
}
