// tickets FILE [locked]: 100 buyers and one ticket, counted in a JSON file. Without a lock
// everybody buys it, under a file lock one does: with `locked` also when several processes sell
// from one FILE.
#include <trawl/mutex.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <boost/json.hpp>

#include <cstdio>
#include <fstream>

namespace json = boost::json;
using namespace std::chrono_literals;

std::int64_t read_count(std::string const& file) {
    std::string text;
    std::getline(std::ifstream(file), text);
    return json::parse(text).at("count").as_int64();
}

void write_count(std::string const& file, std::int64_t count) {
    std::ofstream(file) << json::serialize(json::object{{"count", count}}) << "\n";
}

trawl::awaitable<> buy(std::string file, bool locked, int& bought) {
    std::optional<trawl::file_lock> lock;
    if (locked) lock.emplace(co_await trawl::file_lock::acquire(file + ".lock", 1ms));
    auto const count = read_count(file);
    co_await trawl::sleep_for(1ms); // the network; others run meanwhile
    if (count > 0) write_count(file, count - 1), ++bought;
}

trawl::awaitable<> sell(std::string file, bool locked) {
    int bought = 0;
    auto body = [&](trawl::task_group& group) -> trawl::awaitable<> {
        for (int buyer = 0; buyer < 100; ++buyer) group.spawn(buy(file, locked, bought));
        co_return;
    };
    co_await trawl::with_group(body);
    std::printf("%s lock: %d of 100 got a ticket\n", locked ? "with a" : "without a", bought);
}

trawl::awaitable<> compare(std::string file) {
    for (bool const locked : {false, true}) {
        write_count(file, 1);
        co_await sell(file, locked);
    }
}

int main(int argc, char** argv) {
    if (argc < 2) return std::puts("usage: tickets FILE [locked]"), 2;
    asio::io_context io(1);
    auto rethrow = [](std::exception_ptr e) { e ? std::rethrow_exception(e) : void(); };
    asio::co_spawn(io, argc > 2 ? sell(argv[1], true) : compare(argv[1]), rethrow);
    io.run();
}
