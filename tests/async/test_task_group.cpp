#include "test.hpp"

#include <trawl/task_group.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/post.hpp>

#include <functional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace trawl;

namespace {

struct ending {
    explicit ending(int& n) : count(&n) {}
    ending(ending const&) = delete;
    ~ending() { ++*count; }
    int* count;
};
awaitable<> nap(int& ended, duration delay) {
    ending e(ended);
    co_await sleep_for(delay);
}
awaitable<> fail(duration delay, std::string what) {
    co_await sleep_for(delay);
    throw std::runtime_error(what);
}

} // namespace

TEST_CASE("with_group returns when every child has ended", "[task_group]") {
    int ended = 0;
    test::run([&]() -> awaitable<> {
        auto body = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 100; ++i) group.spawn(nap(ended, std::chrono::milliseconds(i % 7)));
            CHECK(group.size() >= 100);
            co_return;
        };
        co_await with_group(body);
        CHECK(ended == 100);
    });
}

TEST_CASE("the first error cancels the siblings and the body, and is rethrown", "[task_group]") {
    int ended = 0;
    std::string what;
    bool body_went_on = false;
    auto const began = clock::now();
    test::run([&]() -> awaitable<> {
        auto body = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 10; ++i) group.spawn(nap(ended, 10s));
            group.spawn(fail(2ms, "first"));
            group.spawn(fail(5ms, "second"));
            co_await sleep_for(10s);
            body_went_on = true;
        };
        try {
            co_await with_group(body);
        } catch (std::runtime_error const& e) {
            what = e.what();
        }
        CHECK(ended == 10);
    });
    CHECK(what == "first");
    CHECK_FALSE(body_went_on);
    CHECK(clock::now() - began < 5s);
}

TEST_CASE("an error of the body cancels and joins the children first", "[task_group]") {
    int ended = 0;
    std::string what;
    test::run([&]() -> awaitable<> {
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn(nap(ended, 10s));
            co_await sleep_for(1ms);
            throw std::runtime_error("body");
        };
        try {
            co_await with_group(body);
        } catch (std::runtime_error const& e) {
            what = e.what();
            CHECK(ended == 1);
        }
    });
    CHECK(what == "body");
}

TEST_CASE("a background child is cancelled when the others have ended", "[task_group]") {
    int ended = 0, beats = 0;
    auto const began = clock::now();
    test::run([&]() -> awaitable<> {
        auto beat = [&]() -> awaitable<> {
            ending e(ended);
            for (;;) {
                co_await sleep_for(1ms);
                ++beats;
            }
        };
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(beat());
            group.spawn(nap(ended, 20ms));
            co_return;
        };
        co_await with_group(body);
    });
    CHECK(ended == 2);
    CHECK(beats > 0);
    CHECK(clock::now() - began < 5s);
}

TEST_CASE("join inside the body waits for the children so far, not for the body or the background",
          "[task_group]") {
    std::string order;
    test::run([&]() -> awaitable<> {
        int ended = 0;
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(nap(ended, 10s));
            group.spawn(nap(ended, 5ms));
            co_await group.join();
            CHECK(ended == 1);
            order += "joined ";
            group.spawn(nap(ended, 5ms));
            co_await group.join();
            order += "again";
        };
        co_await with_group(body);
        CHECK(ended == 3);
    });
    CHECK(order == "joined again");
}

TEST_CASE("cancelling the caller cancels and joins every child, whatever the moment",
          "[task_group]") {
    for (auto delay : {0us, 100us, 1000us, 5000us}) {
        int ended = 0, started = 0;
        asio::io_context io(1);
        asio::cancellation_signal stop;
        std::string end;
        auto body = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 20; ++i) {
                if (!group.cancelled()) ++started;
                group.spawn(nap(ended, 10s));
                co_await sleep_for(200us);
            }
        };
        auto all = [&]() -> awaitable<> { co_await with_group(body); };
        asio::co_spawn(io, all(),
                       asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e) {
                           end = is_cancelled(e) ? "cancelled" : "other: " + describe(e);
                       }));
        auto stopper = [&]() -> awaitable<> {
            co_await sleep_for(delay);
            stop.emit(asio::cancellation_type::terminal);
        };
        asio::co_spawn(io, stopper(), [](std::exception_ptr) {});
        io.run_for(10s);
        CHECK(end == "cancelled");
        CHECK(ended == started);
    }
}

TEST_CASE("a cancellation that comes while a child ends is not lost", "[task_group]") {
    for (int turns = -1; turns < 8; ++turns) {
        asio::io_context io(1);
        asio::cancellation_signal stop;
        int ended = 0;
        std::string end;
        std::function<void(int)> emit_after = [&](int left) {
            if (left > 0)
                asio::post(io, [&, left] { emit_after(left - 1); });
            else
                stop.emit(asio::cancellation_type::terminal);
        };
        auto child = [&]() -> awaitable<> {
            co_await yield();
            emit_after(turns);
        };
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn(nap(ended, 10s));
            if (turns < 0)
                emit_after(0); // while with_group itself is starting
            else
                group.spawn(child());
            co_return;
        };
        auto all = [&]() -> awaitable<> { co_await with_group(body); };
        asio::co_spawn(io, all(),
                       asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e) {
                           end = is_cancelled(e) ? "cancelled" : "other: " + describe(e);
                       }));
        io.run_for(2s);
        INFO("after " << turns << " turns");
        CHECK(end == "cancelled");
        CHECK(ended == 1);
    }
}

TEST_CASE("after cancel() the group returns without an error and starts nothing more",
          "[task_group]") {
    int ended = 0;
    bool late_ran = false;
    test::run([&]() -> awaitable<> {
        auto late = [&]() -> awaitable<> {
            late_ran = true;
            co_return;
        };
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn(nap(ended, 10s));
            group.cancel();
            CHECK(group.cancelled());
            group.spawn(late());
            co_return;
        };
        co_await with_group(body);
    });
    CHECK(ended == 1);
    CHECK_FALSE(late_ran);
}

TEST_CASE("a child may start siblings in its group", "[task_group]") {
    int ended = 0;
    test::run([&]() -> awaitable<> {
        task_group* group = nullptr;
        auto parent = [&]() -> awaitable<> {
            co_await sleep_for(1ms);
            group->spawn(nap(ended, 1ms));
            group->spawn(nap(ended, 2ms));
        };
        auto body = [&](task_group& g) -> awaitable<> {
            group = &g;
            g.spawn(parent());
            co_return;
        };
        co_await with_group(body);
    });
    CHECK(ended == 2);
}

TEST_CASE("groups nest: an inner failure that is caught does not touch the outer group",
          "[task_group]") {
    int ended = 0;
    std::string caught;
    test::run([&]() -> awaitable<> {
        auto inner = [&](task_group& group) -> awaitable<> {
            group.spawn(fail(1ms, "inner"));
            co_return;
        };
        auto guarded = [&]() -> awaitable<> {
            try {
                co_await with_group(inner);
            } catch (std::runtime_error const& e) {
                caught = e.what();
            }
        };
        auto outer = [&](task_group& group) -> awaitable<> {
            group.spawn(guarded());
            group.spawn(nap(ended, 10ms));
            co_return;
        };
        co_await with_group(outer);
    });
    CHECK(caught == "inner");
    CHECK(ended == 1);
}

TEST_CASE("destroying the context under a running group leaks nothing", "[task_group]") {
    int ended = 0;
    {
        asio::io_context io(1);
        auto body = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 10; ++i) group.spawn(nap(ended, 1h));
            group.spawn_background(nap(ended, 1h));
            co_await sleep_for(1h);
        };
        auto all = [&]() -> awaitable<> { co_await with_group(body); };
        asio::co_spawn(io, all(), [](std::exception_ptr) {});
        io.run_for(5ms);
        CHECK(ended == 0);
    }
    CHECK(ended == 11);
}
