// Three tasks that wait 3 seconds each, together: 3 seconds, not 9.
#include <trawl/async.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

trawl::awaitable<> hello(int number) {
    co_await trawl::sleep_for(3s);
    std::printf("hello from task %d\n", number);
}

trawl::awaitable<> program() {
    auto const start = trawl::clock::now();
    auto body = [](trawl::task_group& group) -> trawl::awaitable<> {
        for (int number = 1; number <= 3; ++number) group.spawn(hello(number));
        co_return;
    };
    co_await trawl::with_group(body); // returns when all three have ended
    std::chrono::duration<double> const elapsed = trawl::clock::now() - start;
    std::printf("three waits of 3 s took %.1f s\n", elapsed.count());
}

int main() {
    asio::io_context io(1);
    asio::co_spawn(io, program(), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    io.run();
}
