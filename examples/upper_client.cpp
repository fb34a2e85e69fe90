// upper_client PORT LINE...: sends each line to upper_server over a connection of its own, all at
// once, and prints the answers as they come.
#include <trawl/async.hpp>
#include <trawl/net.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/read_until.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <iostream>

trawl::awaitable<> ask(std::uint16_t port, std::string line) {
    std::vector<asio::ip::address> const server(1, asio::ip::address_v4::loopback());
    auto socket = co_await trawl::net::connect(server, port);
    line += '\n';
    co_await asio::async_write(socket, asio::buffer(line), asio::use_awaitable);
    std::string answer;
    co_await asio::async_read_until(socket, asio::dynamic_buffer(answer, 65536), '\n',
                                    asio::use_awaitable);
    std::cout << answer << std::flush;
}

int main(int argc, char** argv) {
    if (argc < 3) return std::cerr << "usage: upper_client PORT LINE...\n", 2;
    auto const port = static_cast<std::uint16_t>(std::stoi(argv[1]));
    int status = 0;
    auto body = [&](trawl::task_group& group) -> trawl::awaitable<> {
        for (int i = 2; i < argc; ++i) group.spawn(ask(port, argv[i]));
        co_return;
    };
    asio::io_context io(1);
    auto all =
        trawl::with_timeout(std::chrono::seconds(10), trawl::with_group(body), "upper_client");
    asio::co_spawn(io, std::move(all), [&](std::exception_ptr failure) {
        if (failure) std::cerr << trawl::describe(failure) << "\n", status = 1;
    });
    io.run();
    return status;
}
