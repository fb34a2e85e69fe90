#include "test.hpp"

#include <trawl/queue.hpp>
#include <trawl/task_group.hpp>

#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace trawl;

TEST_CASE("a queue hands elements over in order and holds no more than its capacity", "[queue]") {
    std::vector<int> got;
    std::size_t most = 0;
    test::run([&]() -> awaitable<> {
        queue<int> line(3);
        auto produce = [&]() -> awaitable<> {
            for (int i = 0; i < 1000; ++i) {
                co_await line.push(i);
                most = std::max(most, line.size());
            }
            line.close();
        };
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn(produce());
            while (auto value = co_await line.pop()) got.push_back(*value);
        };
        co_await with_group(body);
    });
    REQUIRE(got.size() == 1000);
    for (int i = 0; i < 1000; ++i) REQUIRE(got[static_cast<std::size_t>(i)] == i);
    CHECK(most <= 3);
}

TEST_CASE("full and empty are told apart from closed", "[queue]") {
    test::run([]() -> awaitable<> {
        queue<int> line(1);
        queue_status status{};
        CHECK_FALSE(line.try_pop(&status));
        CHECK(status == queue_status::empty);
        CHECK(line.try_push(1) == queue_status::ok);
        CHECK(line.try_push(2) == queue_status::full);
        auto const result0 = co_await line.push_until(clock::now() + 2ms, 3);
        CHECK(result0 == queue_status::full);
        line.close();
        CHECK(line.try_push(4) == queue_status::closed);
        auto const result1 = co_await line.push_until(clock::now() + 2ms, 5);
        CHECK(result1 == queue_status::closed);
        auto last = co_await line.pop_until(clock::now() + 2ms, &status);
        CHECK(last == 1);
        auto none = co_await line.pop_until(clock::now() + 2ms, &status);
        CHECK_FALSE(none);
        CHECK(status == queue_status::closed);
        std::error_code code;
        try {
            co_await line.push(6);
        } catch (error const& e) {
            code = e.code();
        }
        CHECK(code == errc::closed);
    });
}

TEST_CASE("an expired pop reports empty and takes nothing", "[queue]") {
    test::run([]() -> awaitable<> {
        queue<int> line(2);
        queue_status status{};
        auto none = co_await line.pop_until(clock::now() + 2ms, &status);
        CHECK_FALSE(none);
        CHECK(status == queue_status::empty);
        co_await line.push(1);
        CHECK(line.size() == 1);
        auto one = co_await line.pop();
        CHECK(one == 1);
    });
}

TEST_CASE("close drains: buffered elements are delivered, waiting producers and consumers are told",
          "[queue]") {
    std::vector<std::string> seen;
    test::run([&]() -> awaitable<> {
        queue<int> full(1), empty(1);
        auto blocked_push = [&]() -> awaitable<> {
            auto const status = co_await full.push_until(detail::no_deadline, 2);
            seen.push_back(status == queue_status::closed ? "push closed" : "push ?");
        };
        auto blocked_pop = [&]() -> awaitable<> {
            auto value = co_await empty.pop();
            seen.push_back(value ? "pop ?" : "pop closed");
        };
        auto body = [&](task_group& group) -> awaitable<> {
            co_await full.push(1);
            group.spawn(blocked_push());
            group.spawn(blocked_pop());
            co_await yield();
            full.close();
            empty.close();
            auto buffered = co_await full.pop();
            CHECK(buffered == 1);
            auto nothing = co_await full.pop();
            CHECK_FALSE(nothing);
        };
        co_await with_group(body);
    });
    CHECK(seen == std::vector<std::string>{"push closed", "pop closed"});
}

TEST_CASE("a cancelled pop loses no element", "[queue]") {
    test::run([]() -> awaitable<> {
        queue<int> line(4);
        for (int round = 0; round < 200; ++round) {
            auto late = [&]() -> awaitable<> {
                for (int i = 0; i < round % 5; ++i) co_await yield();
                co_await line.push(round);
            };
            std::optional<int> got;
            auto body = [&](task_group& group) -> awaitable<> {
                group.spawn(late());
                auto in_time = co_await within(0ms, line.pop());
                if (in_time) got = *in_time;
            };
            co_await with_group(body);
            if (!got) got = co_await line.pop();
            REQUIRE(got == round);
            REQUIRE(line.empty());
        }
    });
}

TEST_CASE("a cancelled push leaves no hole and no element", "[queue]") {
    test::run([]() -> awaitable<> {
        queue<int> line(1);
        co_await line.push(1);
        auto const result2 = co_await within(2ms, line.push(2));
        CHECK_FALSE(result2);
        auto one = co_await line.pop();
        CHECK(one == 1);
        CHECK(line.try_push(3) == queue_status::ok);
        auto three = co_await line.pop();
        CHECK(three == 3);
    });
}

TEST_CASE("join waits until every element was marked done", "[queue]") {
    int done = 0;
    test::run([&]() -> awaitable<> {
        queue<int> line(2);
        auto work = [&]() -> awaitable<> {
            while (auto value = co_await line.pop()) {
                co_await sleep_for(1ms);
                ++done;
                line.task_done();
            }
        };
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(work());
            group.spawn_background(work());
            for (int i = 0; i < 9; ++i) co_await line.push(i);
            co_await line.join();
            CHECK(done == 9);
        };
        co_await with_group(body);
    });
}

TEST_CASE("many producers and consumers move every element exactly once", "[queue]") {
    std::vector<int> seen(2000);
    test::run([&]() -> awaitable<> {
        queue<std::unique_ptr<int>> line(5);
        std::minstd_rand random(7);
        auto produce = [&](int from) -> awaitable<> {
            for (int i = from; i < from + 200; ++i) {
                co_await line.push(std::make_unique<int>(i));
                if (random() % 8 == 0) co_await sleep_for(10us);
            }
        };
        auto consume = [&]() -> awaitable<> {
            for (;;) {
                auto value = co_await line.pop_until(clock::now() +
                                                     std::chrono::microseconds(random() % 50));
                if (value)
                    ++seen[static_cast<std::size_t>(**value)];
                else if (line.closed() && line.empty())
                    co_return;
            }
        };
        auto producers = [&](task_group& group) -> awaitable<> {
            for (int p = 0; p < 10; ++p) group.spawn(produce(p * 200));
            co_return;
        };
        auto feed = [&]() -> awaitable<> {
            co_await with_group(producers);
            line.close();
        };
        auto body = [&](task_group& group) -> awaitable<> {
            for (int c = 0; c < 7; ++c) group.spawn(consume());
            group.spawn(feed());
            co_return;
        };
        co_await with_group(body);
    });
    CHECK(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
}

TEST_CASE("a full queue does not hog the loop", "[queue]") {
    int beats = 0;
    test::run([&]() -> awaitable<> {
        queue<int> line(100);
        auto beat = [&]() -> awaitable<> {
            for (;;) {
                co_await yield();
                ++beats;
            }
        };
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(beat());
            for (int i = 0; i < 10'000; ++i) {
                co_await line.push(i);
                co_await line.pop();
            }
        };
        co_await with_group(body);
    });
    CHECK(beats >= 50);
}

TEST_CASE("destroying the context with waiters on a queue leaks nothing", "[queue]") {
    auto line = std::make_unique<queue<std::shared_ptr<int>>>(1);
    auto value = std::make_shared<int>(1);
    {
        asio::io_context io(1);
        auto push = [&]() -> awaitable<> {
            for (;;) co_await line->push(value);
        };
        asio::co_spawn(io, push(), [](std::exception_ptr) {});
        io.run_for(2ms);
    }
    line.reset();
    CHECK(value.use_count() == 1);
}
