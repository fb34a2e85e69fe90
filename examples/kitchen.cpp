// Two cooks and three guests around a counter for four dishes: a bounded queue. A full counter
// makes cooks wait, an empty one guests; join() tells when every dish has been eaten.
#include <trawl/queue.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <cstdio>
#include <string>

using namespace std::chrono_literals;

using counter = trawl::queue<std::string>;

trawl::awaitable<> cook(counter& dishes, std::string name) {
    for (int i = 1; i <= 6; ++i) {
        std::string dish = "dish " + std::to_string(i) + " of " + name;
        co_await dishes.push(std::move(dish));
    }
    std::printf("%s has cooked\n", name.c_str());
}

trawl::awaitable<> guest(counter& dishes, std::string name, int& eaten) {
    while (auto dish = co_await dishes.pop()) {
        co_await trawl::sleep_for(5ms);
        std::printf("%s ate %s, %zu waiting\n", name.c_str(), dish->c_str(), dishes.size());
        ++eaten;
        dishes.task_done();
    }
}

trawl::awaitable<> evening() {
    counter dishes(4);
    int eaten = 0;
    auto body = [&](trawl::task_group& kitchen) -> trawl::awaitable<> {
        for (auto const* name : {"Ann", "Ben", "Cem"})
            kitchen.spawn_background(guest(dishes, name, eaten));
        auto cooking = [&](trawl::task_group& cooks) -> trawl::awaitable<> {
            for (auto const* name : {"Ida", "Jon"}) cooks.spawn(cook(dishes, name));
            co_return;
        };
        co_await trawl::with_group(cooking); // all cooked ...
        co_await dishes.join();              // ... and all eaten; the guests end with the group
    };
    co_await trawl::with_group(body);
    std::printf("%d dishes cooked and eaten\n", eaten);
}

int main() {
    asio::io_context io(1);
    asio::co_spawn(io, evening(), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    io.run();
}
