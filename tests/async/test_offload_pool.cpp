#include "test.hpp"

#include <trawl/offload_pool.hpp>
#include <trawl/task_group.hpp>
#include <trawl/watchdog.hpp>

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace trawl;

TEST_CASE("a job runs on another thread and its result comes home", "[offload]") {
    test::run([&]() -> awaitable<> {
        offload_pool pool(offload_pool::options{2, "test", nullptr});
        auto const home = std::this_thread::get_id();
        auto work = [] { return std::this_thread::get_id(); };
        auto const there = co_await pool.run(work);
        CHECK(there != home);
        CHECK(std::this_thread::get_id() == home);
        auto text = std::string("owned by the job");
        auto upper = [text] { return text + "!"; };
        auto const result0 = co_await pool.run(std::move(upper));
        CHECK(result0 == "owned by the job!");
        auto nothing = [] {};
        co_await pool.run(nothing);
        CHECK(pool.stats().completed == 3);
    });
}

TEST_CASE("an exception of a job is thrown at home", "[offload]") {
    test::run([&]() -> awaitable<> {
        offload_pool pool(offload_pool::options{1, "test", nullptr});
        auto work = []() -> int { throw std::runtime_error("in the job"); };
        std::string what;
        try {
            co_await pool.run(work);
        } catch (std::runtime_error const& e) {
            what = e.what();
        }
        CHECK(what == "in the job");
    });
}

TEST_CASE("jobs of one strand run in order and never at the same time", "[offload]") {
    std::vector<int> order;
    std::atomic<int> inside{0}, most{0};
    test::run([&]() -> awaitable<> {
        offload_pool pool(offload_pool::options{4, "test", nullptr});
        auto lane = pool.make_strand();
        auto one = [&](int i) -> awaitable<> {
            auto work = [&, i] {
                most = std::max(most.load(), ++inside);
                order.push_back(i);
                --inside;
            };
            co_await pool.run(lane, work);
        };
        auto body = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 500; ++i) group.spawn(one(i));
            co_return;
        };
        co_await with_group(body);
    });
    REQUIRE(order.size() == 500);
    for (int i = 0; i < 500; ++i) REQUIRE(order[static_cast<std::size_t>(i)] == i);
    CHECK(most == 1);
}

TEST_CASE("cancelling stops a job through its token and waits for its end", "[offload]") {
    std::atomic<bool> began{false}, saw_stop{false};
    test::run([&]() -> awaitable<> {
        offload_pool pool(offload_pool::options{1, "test", nullptr});
        auto work = [&](std::stop_token stop) {
            began = true;
            while (!stop.stop_requested()) std::this_thread::sleep_for(100us);
            saw_stop = true;
        };
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn(pool.run(work));
            while (!began) co_await sleep_for(1ms);
            group.cancel();
        };
        co_await with_group(body);
        CHECK(saw_stop);
    });
}

TEST_CASE("a job that was cancelled before it began is dropped", "[offload]") {
    std::atomic<bool> release{false}, second_ran{false};
    test::run([&]() -> awaitable<> {
        offload_pool pool(offload_pool::options{1, "test", nullptr});
        auto first = [&] {
            while (!release) std::this_thread::sleep_for(100us);
        };
        auto second = [&] { second_ran = true; };
        auto hold = [&]() -> awaitable<> { co_await pool.run(first); };
        auto drop = [&]() -> awaitable<> {
            bool const ended = co_await within(2ms, pool.run(second));
            CHECK_FALSE(ended);
        };
        auto let_go = [&]() -> awaitable<> {
            co_await sleep_for(20ms);
            CHECK(pool.stats().most_queued >= 1);
            release = true;
        };
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn(hold());
            group.spawn(drop());
            group.spawn(let_go());
            co_return;
        };
        co_await with_group(body);
    });
    CHECK_FALSE(second_ran);
}

TEST_CASE("the pool ends with jobs still queued", "[offload]") {
    auto token = std::make_shared<int>(0);
    {
        asio::io_context io(1);
        offload_pool pool(offload_pool::options{1, "test", nullptr});
        auto lane = pool.make_strand();
        auto work = [token] { std::this_thread::sleep_for(1ms); };
        auto all = [&]() -> awaitable<> { co_await pool.run(lane, work); };
        for (int i = 0; i < 200; ++i) asio::co_spawn(io, all(), [](std::exception_ptr) {});
        io.poll();
    }
    CHECK(token.use_count() == 1);
}

TEST_CASE("the watchdog sees a handler that holds the loop, and the lag it makes", "[watchdog]") {
    asio::io_context io(1);
    watchdog watch(io, 1ms);
    auto body = []() -> awaitable<> {
        for (int i = 0; i < 20; ++i) {
            co_await yield();
            co_await sleep_for(1ms);
        }
        co_await yield();
        auto const until = clock::now() + 30ms;
        while (clock::now() < until) {
        }
        co_await sleep_for(5ms);
    };
    asio::co_spawn(io, body(), [](std::exception_ptr) {});
    watch.run();
    auto const seen = watch.figures();
    CHECK(seen.hold.count >= 40);
    CHECK(seen.hold.max >= 20ms);
    CHECK(seen.hold.p50 < 5ms);
    CHECK(seen.lag.count >= 5);
    CHECK(seen.lag.max >= 20ms);

    struct collect : observer {
        void metric(std::string_view name, double value) override {
            metrics[std::string(name)] = value;
        }
        std::map<std::string, double> metrics;
    } metrics;
    watch.publish(metrics);
    CHECK(metrics.metrics.size() == 8);
    CHECK(metrics.metrics["trawl_loop_hold_seconds_max"] >= 0.02);
}
