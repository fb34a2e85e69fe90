#include "test.hpp"

#include <trawl/limiter.hpp>
#include <trawl/mutex.hpp>
#include <trawl/task_group.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

using namespace std::chrono_literals;
using namespace trawl;

namespace {

/// A fresh file name that is removed at the end.
struct temporary_file {
    temporary_file() {
        char name[] = "/tmp/trawl-lock-XXXXXX";
        int const fd = ::mkstemp(name);
        ::close(fd);
        path = name;
    }
    ~temporary_file() { std::filesystem::remove(path); }
    std::filesystem::path path;
};

} // namespace

TEST_CASE("a mutex lets one coroutine in at a time, in order of arrival", "[mutex]") {
    std::string order;
    int inside = 0;
    test::run([&]() -> awaitable<> {
        mutex door;
        auto visit = [&](char name) -> awaitable<> {
            auto guard = co_await door.lock();
            CHECK(++inside == 1);
            co_await sleep_for(1ms);
            order += name;
            --inside;
        };
        auto body = [&](task_group& group) -> awaitable<> {
            for (char c = 'a'; c <= 'e'; ++c) group.spawn(visit(c));
            co_return;
        };
        co_await with_group(body);
        CHECK(door.try_lock().owns_lock());
    });
    CHECK(order == "abcde");
}

TEST_CASE("a mutex that is waited for in vain or cancelled is not taken", "[mutex]") {
    test::run([]() -> awaitable<> {
        mutex door;
        auto held = co_await door.lock();
        CHECK_FALSE(door.try_lock().owns_lock());
        auto late = co_await door.lock_until(clock::now() + 2ms);
        CHECK_FALSE(late.has_value());
        auto cancelled = co_await within(2ms, door.lock());
        CHECK_FALSE(cancelled.has_value());
        held.unlock();
        auto again = co_await door.lock_until(clock::now() + 1s);
        CHECK(again.has_value());
    });
}

TEST_CASE("the owner hands the mutex over although the next waiter is being cancelled", "[mutex]") {
    test::run([]() -> awaitable<> {
        for (int round = 0; round < 50; ++round) {
            mutex door;
            auto wait_and_leave = [&]() -> awaitable<> { auto guard = co_await door.lock(); };
            auto held = co_await door.lock();
            auto body = [&](task_group& group) -> awaitable<> {
                group.spawn(wait_and_leave());
                group.spawn(wait_and_leave());
                co_await yield();
                held.unlock();
                if (round % 2) group.cancel();
                co_return;
            };
            co_await with_group(body);
            CHECK(door.try_lock().owns_lock());
        }
    });
}

TEST_CASE("a limiter never gives out more tickets than its limit", "[limiter]") {
    std::size_t most = 0;
    test::run([&]() -> awaitable<> {
        limiter places(4);
        auto work = [&](limiter::ticket ticket) -> awaitable<> {
            most = std::max(most, places.in_use());
            co_await sleep_for(500us);
            ticket.release();
        };
        auto body = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 50; ++i) {
                auto ticket = co_await places.acquire();
                group.spawn(work(std::move(ticket)));
            }
        };
        co_await with_group(body);
        CHECK(places.in_use() == 0);
        auto taken = places.try_acquire();
        CHECK(taken);
    });
    CHECK(most == 4);
}

TEST_CASE("a cancelled or expired wait for a ticket takes no place", "[limiter]") {
    test::run([]() -> awaitable<> {
        limiter places(1);
        {
            auto held = co_await places.acquire();
            auto none = co_await places.acquire_until(clock::now() + 2ms);
            CHECK_FALSE(none.has_value());
            auto cancelled = co_await within(2ms, places.acquire());
            CHECK_FALSE(cancelled.has_value());
        }
        CHECK(places.in_use() == 0);
        CHECK(places.try_acquire());
    });
}

TEST_CASE("tickets and guards may be destroyed after what they are of", "[limiter][mutex]") {
    limiter::ticket first, second;
    mutex::guard guard;
    {
        limiter places(3);
        mutex door;
        first = places.try_acquire();
        second = places.try_acquire();
        guard = door.try_lock();
        auto third = places.try_acquire();
        CHECK(places.in_use() == 3);
        second = std::move(third); // gives its own place back
        CHECK(places.in_use() == 2);
        CHECK_FALSE(third);
        CHECK(first);
        CHECK(guard.owns_lock());
    }
    CHECK_FALSE(first);
    CHECK_FALSE(second);
    CHECK_FALSE(guard.owns_lock());
}

TEST_CASE("a pacer keeps its budget and saves nothing up", "[limiter]") {
    test::run([]() -> awaitable<> {
        pacer budget(1000);
        co_await budget.turn();
        co_await sleep_for(20ms); // unused time must not become a burst of 20 turns
        auto const began = clock::now();
        for (int i = 0; i < 20; ++i) co_await budget.turn();
        CHECK(clock::now() - began >= 17ms);
    });
}

TEST_CASE("a file lock excludes other processes and goes with its owner", "[mutex]") {
    temporary_file file;
    int ready[2], finish[2];
    REQUIRE(::pipe(ready) == 0);
    REQUIRE(::pipe(finish) == 0);
    auto const child = ::fork();
    if (child == 0) {
        auto held = file_lock::try_acquire(file.path);
        char byte = held ? 'y' : 'n';
        (void)!::write(ready[1], &byte, 1);
        (void)!::read(finish[0], &byte, 1);
        ::_exit(0); // no unlock: the kernel drops the lock with the process
    }
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    CHECK(byte == 'y');
    CHECK_FALSE(file_lock::try_acquire(file.path).has_value());
    test::run([&]() -> awaitable<> {
        auto early = co_await within(30ms, file_lock::acquire(file.path, 5ms));
        CHECK_FALSE(early.has_value());
        CHECK(::write(finish[1], "x", 1) == 1);
        auto held = co_await within(5s, file_lock::acquire(file.path, 5ms));
        CHECK(held.has_value());
        CHECK_FALSE(file_lock::try_acquire(file.path).has_value());
    });
    ::waitpid(child, nullptr, 0);
    CHECK(file_lock::try_acquire(file.path).has_value());
    for (int fd : {ready[0], ready[1], finish[0], finish[1]}) ::close(fd);
}

TEST_CASE("a file lock that cannot be opened says which file", "[mutex]") {
    CHECK_THROWS_WITH(file_lock::try_acquire("/nonexistent/x.lock"),
                      Catch::Matchers::Contains("/nonexistent/x.lock"));
}
