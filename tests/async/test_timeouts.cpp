#include "test.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>

#include <future>
#include <memory>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using namespace trawl;

namespace {

awaitable<std::string> answer_after(duration delay) {
    co_await sleep_for(delay);
    co_return "answer";
}
awaitable<> fail_after(duration delay) {
    co_await sleep_for(delay);
    throw std::runtime_error("failed by itself");
}
awaitable<int> now(int value) { co_return value; }

/// Counts its instances, to see that frames are destroyed.
struct counted {
    explicit counted(int& n) : alive(&n) { ++*alive; }
    counted(counted const&) = delete;
    ~counted() { --*alive; }
    int* alive;
};
awaitable<> sleeper(int& alive, duration delay) {
    counted here(alive);
    co_await sleep_for(delay);
}

/// Runs `task`, cancels it after `delay` and returns how it ended.
std::string end_of_cancelled(awaitable<> task, duration delay) {
    asio::io_context io(1);
    asio::cancellation_signal stop;
    std::string end = "still running";
    asio::co_spawn(io, std::move(task),
                   asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e) {
                       end = e ? (is_cancelled(e) ? "cancelled" : describe(e)) : "completed";
                   }));
    asio::steady_timer timer(io, delay);
    timer.async_wait([&](auto) { stop.emit(asio::cancellation_type::terminal); });
    io.run_for(5s);
    return end;
}

} // namespace

TEST_CASE("sleeps end in the order of their deadlines, not of their start", "[async]") {
    std::string order;
    asio::io_context io(1);
    auto nap = [&order](char name, duration delay) -> awaitable<> {
        co_await sleep_for(delay);
        order += name;
    };
    asio::co_spawn(io, nap('c', 30ms), [](std::exception_ptr) {});
    asio::co_spawn(io, nap('a', 5ms), [](std::exception_ptr) {});
    asio::co_spawn(io, nap('b', 15ms), [](std::exception_ptr) {});
    asio::co_spawn(io, nap('0', 0ms), [](std::exception_ptr) {});
    io.run();
    CHECK(order == "0abc");
}

TEST_CASE("a sleep lasts at least as long as asked", "[async]") {
    test::run([]() -> awaitable<> {
        auto const began = clock::now();
        co_await sleep_for(20ms);
        CHECK(clock::now() - began >= 20ms);
    });
}

TEST_CASE("a cancelled sleep throws operation_aborted at once", "[async]") {
    auto const began = clock::now();
    CHECK(end_of_cancelled(sleep_for(10s), 5ms) == "cancelled");
    CHECK(clock::now() - began < 2s);
}

TEST_CASE("within gives the result in time and nullopt after its limit", "[async]") {
    test::run([]() -> awaitable<> {
        auto in_time = co_await within(5s, answer_after(1ms));
        CHECK(in_time == "answer");
        auto late = co_await within(5ms, answer_after(10s));
        CHECK_FALSE(late.has_value());
        auto at_once = co_await within(5s, now(7));
        CHECK(at_once == 7);
        auto const result0 = co_await within(5s, sleep_for(1ms));
        CHECK(result0);
        auto const result1 = co_await within(1ms, sleep_for(10s));
        CHECK_FALSE(result1);
    });
}

TEST_CASE("with_timeout throws timed_out and names where", "[async]") {
    test::run([]() -> awaitable<> {
        auto const result2 = co_await with_timeout(5s, now(3));
        CHECK(result2 == 3);
        std::string what;
        std::error_code code;
        try {
            co_await with_timeout(5ms, sleep_for(10s), "ssh 10.0.0.7:22 banner");
        } catch (error const& e) {
            what = e.what();
            code = e.code();
        }
        CHECK(code == errc::timed_out);
        CHECK(what == "ssh 10.0.0.7:22 banner: timed out");
    });
}

TEST_CASE("the operation's own failure passes through a timeout as it is, and at once", "[async]") {
    auto const began = clock::now();
    test::run([]() -> awaitable<> {
        std::string what;
        try {
            co_await with_timeout(10s, fail_after(2ms));
        } catch (std::runtime_error const& e) {
            what = e.what();
        }
        CHECK(what == "failed by itself");
    });
    CHECK(clock::now() - began < 5s);
}

TEST_CASE("cancelling a timeout cancels its operation and waits for its end", "[async]") {
    int alive = 0;
    CHECK(end_of_cancelled(with_timeout(10s, sleeper(alive, 10s)), 5ms) == "cancelled");
    CHECK(alive == 0);
}

TEST_CASE("timeouts nest: the inner one fires without touching the outer", "[async]") {
    test::run([]() -> awaitable<> {
        auto inner = [&]() -> awaitable<int> {
            bool const ended = co_await within(2ms, sleep_for(10s));
            co_return ended ? 1 : 2;
        };
        auto const result = co_await within(5s, inner());
        CHECK(result == 2);
    });
}

TEST_CASE("an operation that cancels its own caller before it suspends is joined", "[async]") {
    for (bool shield : {false, true}) {
        asio::io_context io(1);
        asio::cancellation_signal stop;
        int alive = 0;
        std::string end = "still running";
        auto operation = [&]() -> awaitable<> {
            stop.emit(asio::cancellation_type::terminal);
            co_await sleeper(alive, 20ms);
        };
        auto body = [&]() -> awaitable<> {
            if (shield)
                co_await shielded(operation());
            else
                co_await with_timeout(10s, operation());
            co_await yield();
        };
        asio::co_spawn(io, body(),
                       asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e) {
                           end = is_cancelled(e) ? "cancelled" : describe(e);
                       }));
        io.run_for(5s);
        CHECK(end == "cancelled");
        CHECK(alive == 0);
    }
}

TEST_CASE("a shielded section runs to its end although its caller is cancelled", "[async]") {
    bool ran = false, went_on = false;
    auto body = [&]() -> awaitable<> {
        auto section = [&]() -> awaitable<> {
            co_await sleep_for(30ms);
            ran = true;
        };
        co_await shielded(section());
        co_await sleep_for(1ms);
        went_on = true;
    };
    CHECK(end_of_cancelled(body(), 5ms) == "cancelled");
    CHECK(ran);
    CHECK_FALSE(went_on);
}

TEST_CASE("clean-up in a cancelled coroutine can await inside shielded", "[async]") {
    bool cleaned = false;
    auto body = [&]() -> awaitable<> {
        bool aborted = false;
        try {
            co_await sleep_for(10s);
        } catch (std::system_error const&) {
            aborted = true;
        }
        if (!aborted) co_return;
        co_await asio::this_coro::throw_if_cancelled(false);
        co_await shielded(sleep_for(5ms));
        cleaned = true;
        co_await asio::this_coro::throw_if_cancelled(true);
        co_await sleep_for(1ms);
    };
    CHECK(end_of_cancelled(body(), 5ms) == "cancelled");
    CHECK(cleaned);
}

TEST_CASE("100,000 sleepers are served by one timer and all end", "[async]") {
    asio::io_context io(1);
    int ended = 0;
    auto nap = [&ended](int i) -> awaitable<> {
        co_await sleep_for(std::chrono::microseconds(i % 50'000));
        ++ended;
    };
    for (int i = 0; i < 100'000; ++i) asio::co_spawn(io, nap(i), [](std::exception_ptr) {});
    io.run();
    CHECK(ended == 100'000);
}

TEST_CASE("a deadline that was not needed does not keep the loop running", "[async]") {
    auto const began = clock::now();
    test::run([]() -> awaitable<> {
        for (int i = 0; i < 100; ++i) co_await within(60s, sleep_for(0ms));
        co_await sleep_for(1ms);
    });
    CHECK(clock::now() - began < 5s);
}

TEST_CASE("destroying the context destroys what is parked", "[async]") {
    int alive = 0;
    {
        asio::io_context io(1);
        for (int i = 0; i < 10; ++i)
            asio::co_spawn(io, sleeper(alive, 1h), [](std::exception_ptr) {});
        asio::co_spawn(io, with_timeout(1h, sleeper(alive, 1h)), [](std::exception_ptr) {});
        asio::co_spawn(io, shielded(sleeper(alive, 1h)), [](std::exception_ptr) {});
        io.run_for(5ms);
        CHECK(alive == 12);
    }
    CHECK(alive == 0);
}

TEST_CASE("a stopped loop can be restarted with its deadlines", "[async]") {
    asio::io_context io(1);
    bool ended = false;
    auto nap = [&]() -> awaitable<> {
        co_await sleep_for(20ms);
        ended = true;
    };
    asio::co_spawn(io, nap(), [](std::exception_ptr) {});
    io.run_for(1ms);
    CHECK_FALSE(ended);
    io.restart();
    io.run();
    CHECK(ended);
}

TEST_CASE("several strands of one multi-threaded context share the deadline queue", "[async]") {
    asio::io_context io;
    std::atomic<int> ended{0};
    auto nap = [&ended](int i) -> awaitable<> {
        for (int k = 0; k < 20; ++k)
            co_await within(std::chrono::microseconds(100 + 37 * i), sleep_for(300us));
        ++ended;
    };
    for (int i = 0; i < 40; ++i)
        asio::co_spawn(asio::make_strand(io), nap(i), [](std::exception_ptr) {});
    std::thread other([&] { io.run(); });
    io.run();
    other.join();
    CHECK(ended == 40);
}

TEST_CASE("deadlines work on a thread_pool context too, and do not keep it", "[async]") {
    asio::thread_pool pool(2);
    auto nap = []() -> awaitable<int> {
        co_await within(1h, sleep_for(1ms));
        co_return 5;
    };
    auto result = asio::co_spawn(asio::make_strand(pool), nap(), asio::use_future);
    CHECK(result.get() == 5);
    pool.join();
}
