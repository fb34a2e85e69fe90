// What the async core costs, beside Asio's own means where it has them. Medians of several rounds.
#include <trawl/limiter.hpp>
#include <trawl/mutex.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/queue.hpp>
#include <trawl/task_group.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <malloc.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace trawl;
using namespace std::chrono_literals;

constexpr int rounds = 7;

/// Nanoseconds for each of `n` operations that `body(n)` does: the median of several runs of the
/// loop.
double nanoseconds(int n, std::function<awaitable<>(int)> const& body) {
    std::vector<double> seen;
    for (int round = 0; round < rounds; ++round) {
        asio::io_context io(1);
        asio::co_spawn(io, body(n), [](std::exception_ptr e) {
            if (e) std::rethrow_exception(e);
        });
        auto const began = clock::now();
        io.run();
        seen.push_back(std::chrono::duration<double, std::nano>(clock::now() - began).count() / n);
    }
    std::nth_element(seen.begin(), seen.begin() + rounds / 2, seen.end());
    return seen[rounds / 2];
}

void say(char const* what, double value, char const* unit, char const* aim) {
    fmt::print("{:<64} {:>10.1f} {:<4} {}\n", what, value, unit, aim);
}

/// Two coroutines hand one element to and fro, so that every pop waits: with and without a
/// deadline.
awaitable<> handover(int n, time_point deadline) {
    queue<int> there(1), back(1);
    auto echo = [&]() -> awaitable<> {
        while (auto value = co_await there.pop_until(deadline)) co_await back.push(*value);
    };
    auto body = [&](task_group& group) -> awaitable<> {
        group.spawn(echo());
        for (int i = 0; i < n / 2; ++i) {
            co_await there.push(i);
            co_await back.pop_until(deadline);
        }
        there.close();
    };
    co_await with_group(body);
}

awaitable<> push_pop(int n) {
    queue<int> line(64);
    for (int i = 0; i < n; ++i) {
        co_await line.push(i);
        co_await line.pop();
    }
}

awaitable<> nothing() { co_return; }

/// Tasks that end at once, a hundred to a group.
awaitable<> spawned(int n) {
    std::function<awaitable<>(task_group&)> const body = [](task_group& group) -> awaitable<> {
        for (int i = 0; i < 100; ++i) group.spawn(nothing());
        co_return;
    };
    for (int i = 0; i < n / 100; ++i) co_await with_group(body);
}

awaitable<int> one_turn() {
    co_await yield();
    co_return 1;
}
awaitable<> bare_turns(int n) {
    for (int i = 0; i < n; ++i) co_await one_turn();
}
awaitable<> timeouts(int n) {
    for (int i = 0; i < n; ++i) co_await with_timeout(10s, one_turn());
}
awaitable<> asio_timeouts(int n) {
    using namespace asio::experimental::awaitable_operators;
    auto executor = co_await asio::this_coro::executor;
    for (int i = 0; i < n; ++i) {
        asio::steady_timer timer(executor, 10s);
        auto either = one_turn() || timer.async_wait(asio::use_awaitable);
        co_await std::move(either);
    }
}

awaitable<> offloads(int n, offload_pool& pool) {
    auto nothing = [] { return 1; };
    for (int i = 0; i < n; ++i) co_await pool.run(nothing);
}

std::size_t resident_bytes() {
    long pages = 0, resident = 0;
    if (auto* f = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(f, "%ld %ld", &pages, &resident) != 2) resident = 0;
        std::fclose(f);
    }
    return static_cast<std::size_t>(resident) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

awaitable<> nap() { co_await sleep_for(1h); }

void memory() {
    constexpr int n = 100'000;
    {
        asio::io_context io(1);
        auto const before = resident_bytes();
        auto const began = clock::now();
        for (int i = 0; i < n; ++i) asio::co_spawn(io, nap(), [](std::exception_ptr) {});
        io.poll();
        say("100,000 sleeping tasks", static_cast<double>(resident_bytes() - before) / 1048576,
            "MiB", "aim <= 120");
        say("  started in", std::chrono::duration<double, std::milli>(clock::now() - began).count(),
            "ms", "");
    }
    asio::io_context io(1);
    std::size_t each = 0;
    auto body = [&](task_group& group) -> awaitable<> {
        auto const before = mallinfo2().uordblks;
        for (int i = 0; i < n; ++i) group.spawn(nap());
        each = (mallinfo2().uordblks - before) / n;
        group.cancel();
        co_return;
    };
    auto all = [&]() -> awaitable<> { co_await with_group(body); };
    asio::co_spawn(io, all(), [](std::exception_ptr) {});
    io.run();
    say("an idle child of a task_group, with its deadline", static_cast<double>(each), "B",
        "aim <= 1,229");
}

void deadline_memory() {
    constexpr int n = 20'000;
    asio::io_context io(1);
    mutex door;
    std::size_t plain = 0, timed = 0;
    auto wait_until = [&](time_point deadline) -> awaitable<> {
        auto guard = co_await door.lock_until(deadline);
    };
    auto body = [&](task_group& group) -> awaitable<> {
        auto held = co_await door.lock();
        auto before = mallinfo2().uordblks;
        for (int i = 0; i < n; ++i) group.spawn(wait_until(detail::no_deadline));
        plain = (mallinfo2().uordblks - before) / n;
        before = mallinfo2().uordblks;
        for (int i = 0; i < n; ++i) group.spawn(wait_until(clock::now() + 1h));
        timed = (mallinfo2().uordblks - before) / n;
        group.cancel();
    };
    auto all = [&]() -> awaitable<> { co_await with_group(body); };
    asio::co_spawn(io, all(), [](std::exception_ptr) {});
    io.run();
    say("a deadline on a wait of ours, beside the same wait without",
        static_cast<double>(timed) - static_cast<double>(plain), "B", "aim <= 256");
}

} // namespace

int main() {
    constexpr int n = 200'000;
    say("a task spawned and joined", nanoseconds(n, spawned), "ns", "");
    auto const bare = nanoseconds(n, [](int k) { return handover(k, detail::no_deadline); });
    auto const timed = nanoseconds(n, [](int k) { return handover(k, clock::now() + 1h); });
    say("a wait that is woken (queue hand-over)", bare, "ns", "");
    say("a deadline armed and cancelled in such a wait", timed - bare, "ns", "aim <= 300");
    say("queue push + pop, nobody waits", nanoseconds(n, push_pop), "ns", "aim <= 60");
    auto const turn = nanoseconds(n, bare_turns);
    say("an awaitable that yields once", turn, "ns", "");
    say("with_timeout around it, more than that", nanoseconds(n, timeouts) - turn, "ns",
        "aim <= 1,300");
    say("Asio's || with a steady_timer, more than that", nanoseconds(n / 4, asio_timeouts) - turn,
        "ns", "");
    offload_pool pool(offload_pool::options{2, "bench", nullptr});
    say("an offload round trip",
        nanoseconds(n / 10, [&](int k) { return offloads(k, pool); }) / 1000, "us", "aim <= 10");
    memory();
    deadline_memory();
}
