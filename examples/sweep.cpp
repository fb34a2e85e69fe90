// sweep TARGET...: which addresses answer a ping. Needs the right to ping: `trawl doctor` says.
#include <trawl/icmp.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>

#include <iostream>

trawl::awaitable<> report(trawl::targets::list targets) {
    auto executor = co_await asio::this_coro::executor;
    trawl::icmp::pinger pinger(executor);
    trawl::icmp::sweep sweep(pinger, targets);
    while (auto host = co_await sweep.next())
        std::cout << host->address << ": " << to_string(host->status) << "\n";
    std::cout << sweep.progress().up << " of " << targets.size() << " are up\n";
}

int main(int argc, char** argv) try {
    trawl::targets::list targets; // 10.0.0.0/24, 10.0.0.1-254, ...: kept as ranges
    for (int i = 1; i < argc; ++i) targets.add(argv[i]);
    asio::io_context io(1);
    asio::co_spawn(io, report(targets), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    io.run();
} catch (std::exception const& e) {
    std::cerr << e.what() << "\n";
    return 1;
}
