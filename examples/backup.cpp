// backup SOURCE DESTINATION [RESTORED]: one backup, full or incremental as it is due; with RESTORED
// the newest state is put there.
#include <trawl/backup.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <iostream>

namespace backup = trawl::backup;

trawl::awaitable<> save(trawl::offload_pool& cpu, std::string source, std::string destination) {
    backup::options what;
    what.source = source;
    what.destination = destination;
    auto const made = co_await backup::run(cpu, what);
    std::cout << made.file.filename().string() << ": " << made.entries << " entries, "
              << made.bytes_in << " bytes, " << made.errors.size() << " errors\n";
}

trawl::awaitable<> bring_back(trawl::offload_pool& cpu, std::string archives, std::string target) {
    backup::restore_options what;
    what.archives = archives;
    what.target = target;
    auto const done = co_await backup::restore(cpu, what);
    std::cout << "restored " << done.entries << " entries, " << done.errors.size() << " errors\n";
}

int main(int argc, char** argv) try {
    if (argc < 3) return std::cerr << "usage: backup SOURCE DESTINATION [RESTORED]\n", 2;
    asio::io_context io(1);
    trawl::offload_pool cpu; // hashing and compression stay off the loop
    auto program = [&]() -> trawl::awaitable<> {
        co_await save(cpu, argv[1], argv[2]);
        if (argc > 3) co_await bring_back(cpu, argv[2], argv[3]);
    };
    asio::co_spawn(io, program, [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    io.run();
} catch (std::exception const& e) {
    std::cerr << e.what() << "\n";
    return 1;
}
