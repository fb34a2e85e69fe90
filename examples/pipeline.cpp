// pipeline FILE: reads lines from standard input, turns them to upper case, appends them to FILE:
// three stages with bounded queues between them. Blocking reads and writes run on a pool.
#include <trawl/offload_pool.hpp>
#include <trawl/queue.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <cctype>
#include <fstream>
#include <iostream>

using lines = trawl::queue<std::string>;

trawl::awaitable<> input(trawl::offload_pool& pool, lines& out) {
    auto read = []() -> std::optional<std::string> {
        std::string line;
        return std::getline(std::cin, line) ? std::optional(line) : std::nullopt;
    };
    while (auto line = co_await pool.run(read)) co_await out.push(std::move(*line));
    out.close(); // what is queued is still popped
}

trawl::awaitable<> upper(lines& in, lines& out) {
    while (auto line = co_await in.pop()) {
        for (char& c : *line) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        co_await out.push(std::move(*line));
    }
    out.close();
}

trawl::awaitable<> append(trawl::offload_pool& pool, lines& in, std::ofstream& file) {
    while (auto line = co_await in.pop()) {
        auto write = [&] { file << *line << "\n"; };
        co_await pool.run(write);
    }
}

int main(int argc, char** argv) {
    if (argc != 2) return std::cerr << "usage: pipeline FILE < TEXT\n", 2;
    std::ofstream file(argv[1], std::ios::app);
    if (!file) return std::cerr << "cannot append to " << argv[1] << "\n", 1;
    asio::io_context io(1);
    trawl::offload_pool pool;
    lines read(16), raised(16);
    auto body = [&](trawl::task_group& stages) -> trawl::awaitable<> {
        stages.spawn(input(pool, read));
        stages.spawn(upper(read, raised));
        stages.spawn(append(pool, raised, file));
        co_return;
    };
    asio::co_spawn(io, trawl::with_group(body), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    io.run();
}
