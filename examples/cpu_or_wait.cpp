// cpu_or_wait [MULTIPLICATIONS]: work that burns CPU belongs on the pool, work that waits on the
// loop. A heart that should beat every 10 ms shows what each does to everything else on the loop.
#include <trawl/offload_pool.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <cstdio>
#include <cstdlib>
#include <functional>

using namespace std::chrono_literals;

std::uint64_t multiply(long times) {
    std::uint64_t volatile product = 3; // volatile: the compiler must really do it
    for (long i = 0; i < times; ++i) product = product * 5;
    return product;
}

trawl::awaitable<> heart(int& beats) {
    for (;; ++beats) co_await trawl::sleep_for(10ms);
}

/// Runs `work` `times` times at once and prints how long that took and how often the heart beat.
trawl::awaitable<> measure(char const* what, int times, std::function<trawl::awaitable<>()> work) {
    int beats = 0;
    auto const start = trawl::clock::now();
    auto body = [&](trawl::task_group& group) -> trawl::awaitable<> {
        group.spawn_background(heart(beats));
        for (int i = 0; i < times; ++i) group.spawn(work());
        co_return;
    };
    co_await trawl::with_group(body);
    std::chrono::duration<double> const elapsed = trawl::clock::now() - start;
    std::printf("%s: %.2f s, %d heartbeats\n", what, elapsed.count(), beats);
}

int main(int, char** argv) {
    long const times = argv[1] ? std::atol(argv[1]) : 100'000'000;
    asio::io_context io(1);
    trawl::offload_pool pool; // one thread a processor
    auto burn = [times] { multiply(times); };
    auto on_loop = [&]() -> trawl::awaitable<> { burn(), co_await trawl::yield(); };
    auto on_pool = [&]() -> trawl::awaitable<> { co_await pool.run(burn); };
    auto waiting = []() -> trawl::awaitable<> { co_await trawl::sleep_for(2s); };
    auto program = [&]() -> trawl::awaitable<> {
        co_await measure("4 computations on the loop", 4, on_loop);
        co_await measure("4 computations on the pool", 4, on_pool);
        co_await measure("400 waits of 2 s on the loop", 400, waiting);
    };
    asio::co_spawn(io, program, [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    io.run();
}
