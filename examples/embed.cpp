// trawl inside a service that has an io_context, coroutines and callbacks of its own: three ways
// in.
#include <trawl/async.hpp>
#include <trawl/offload_pool.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>

#include <iostream>
#include <string>
#include <thread>

using namespace std::chrono_literals;

/// What trawl offers looks like this; a sweep or an SSH command would do as well.
trawl::awaitable<int> answer(trawl::offload_pool& pool, int question) {
    co_await trawl::sleep_for(20ms);
    auto work = [question] { return question * 2; };
    co_return co_await pool.run(work);
}

/// 1. From a coroutine of the service: trawl::awaitable is asio::awaitable.
asio::awaitable<void> own_coroutine(trawl::offload_pool& pool) {
    asio::steady_timer own_timer(co_await asio::this_coro::executor, 5ms);
    co_await own_timer.async_wait(asio::use_awaitable);
    int const found = co_await answer(pool, 21);
    std::cout << "coroutine: " + std::to_string(found) + "\n"
              << std::flush; // one write: others print too
}

int main() {
    asio::io_context service(1);
    trawl::offload_pool pool;
    asio::co_spawn(service, own_coroutine(pool), [](std::exception_ptr) {});

    // 2. From a callback, with a way to cancel.
    asio::cancellation_signal stop;
    auto told = [](std::exception_ptr failure, int) {
        std::cout << "callback: " + trawl::describe(failure) + "\n" << std::flush;
    };
    asio::co_spawn(service, answer(pool, 1), asio::bind_cancellation_slot(stop.slot(), told));
    asio::steady_timer soon(service, 1ms);
    soon.async_wait([&](std::error_code) { stop.emit(asio::cancellation_type::terminal); });

    // 3. From another thread, as a future.
    auto future = asio::co_spawn(service, answer(pool, 50), asio::use_future);
    std::thread loop([&] { service.run(); });
    std::cout << "future: " + std::to_string(future.get()) + "\n" << std::flush;
    loop.join();
}
