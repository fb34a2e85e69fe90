// 100 tasks read a number, wait a moment and write it back less one: right only behind a mutex.
#include <trawl/mutex.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <cstdio>

using namespace std::chrono_literals;

struct counter {
    int value = 100;
    trawl::mutex access;
};

trawl::awaitable<> decrement(counter& shared, bool locked) {
    trawl::mutex::guard guard;
    if (locked) guard = co_await shared.access.lock();
    int const seen = shared.value;
    co_await trawl::sleep_for(1ms); // every co_await lets the others run
    shared.value = seen - 1;
} // the guard unlocks

trawl::awaitable<> run(bool locked) {
    counter shared;
    auto body = [&](trawl::task_group& group) -> trawl::awaitable<> {
        for (int i = 0; i < 100; ++i) group.spawn(decrement(shared, locked));
        co_return;
    };
    co_await trawl::with_group(body);
    std::printf("%s the mutex: 100 - 100 = %d\n", locked ? "with" : "without", shared.value);
}

trawl::awaitable<> program() {
    co_await run(false);
    co_await run(true);
}

int main() {
    asio::io_context io(1);
    asio::co_spawn(io, program(), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    io.run();
}
