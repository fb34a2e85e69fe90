// ssh USER KEY KNOWN_HOSTS PORT COMMAND ADDRESS...: one command on many hosts, 100 at a time.
// Whatever becomes of one host is its own affair.
#include <trawl/limiter.hpp>
#include <trawl/ssh.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>

#include <iostream>

namespace ssh = trawl::ssh;

trawl::awaitable<> run(ssh::options options, std::string command, trawl::limiter::ticket) try {
    auto executor = co_await asio::this_coro::executor;
    ssh::session session(executor, options);
    co_await session.connect();
    auto const done = co_await session.exec(command);
    std::cout << "[" << options.host << "]OUT:\n" << done.out << std::flush;
    if (!done.err.empty())
        std::cout << "[" << options.host << "]ERROR:\n" << done.err << std::flush;
    co_await session.disconnect();
} catch (ssh::failure const& e) {
    std::cerr << e.what() << "\n";
}

int main(int argc, char** argv) try {
    if (argc < 7)
        return std::cerr << "usage: ssh USER KEY KNOWN_HOSTS PORT COMMAND ADDRESS...\n", 2;
    ssh::options options;
    options.user = argv[1];
    options.identities = {ssh::load_private_key(argv[2])};
    ssh::host_keys::options record{.file = argv[3]};
    options.known = std::make_shared<ssh::host_keys>(record); // strict: unknown hosts are refused
    options.port = static_cast<std::uint16_t>(std::stoi(argv[4]));
    trawl::limiter in_flight(100);
    auto fan_out = [&](trawl::task_group& group) -> trawl::awaitable<> {
        for (int i = 6; i < argc; ++i) {
            auto slot = co_await in_flight.acquire();
            options.host = argv[i];
            group.spawn(run(options, argv[5], std::move(slot)));
        }
    };
    asio::io_context io(1);
    asio::co_spawn(io, trawl::with_group(fan_out), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    io.run();
} catch (std::exception const& e) {
    std::cerr << e.what() << "\n";
    return 1;
}
