#include "test.hpp"

#include "async/fair_share.hpp"

#include <trawl/fair_share.hpp>
#include <trawl/queue.hpp>
#include <trawl/task_group.hpp>

#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>

#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace trawl;
using detail::turn_account;

namespace {

/// Uses up a turn of 0.25 ms.
void burn() {
    auto const until = clock::now() + 300us;
    while (clock::now() < until) {
    }
}

/// A job that takes note, after more than a turn.
auto busy(std::string& seen, char name) {
    return [&seen, name] { burn(), seen += name; };
}
auto quick(std::string& seen, char name) {
    return [&seen, name] { seen += name; };
}

} // namespace

TEST_CASE("a turn is over after its time", "[fair_share]") {
    time_point const start{};
    turn_account account(250us);
    REQUIRE(account.begin(start));
    CHECK_FALSE(account.over(start + 249us));
    CHECK(account.over(start + 250us));
    account.end(start + 250us);
    REQUIRE(account.begin(start + 1ms));
    CHECK_FALSE(account.over(start + 1ms + 249us));
    account.end(start + 1ms + 100us);
    REQUIRE(account.begin(start + 2ms)); // what it did not use is not saved up
    CHECK(account.over(start + 2ms + 250us));
}

TEST_CASE("a turn that was too long is paid for with the next ones", "[fair_share]") {
    time_point const start{};
    turn_account account(250us);
    REQUIRE(account.begin(start));
    account.end(start + 850us); // 600 too much
    CHECK_FALSE(account.begin(start + 1ms));
    CHECK_FALSE(account.begin(start + 2ms));
    REQUIRE(account.begin(start + 3ms));
    CHECK_FALSE(account.over(start + 3ms + 149us));
    CHECK(account.over(start + 3ms + 150us));
}

TEST_CASE("over many rounds a share has its part, however long its jobs are", "[fair_share]") {
    time_point now{};
    turn_account account(250us);
    duration used{};
    auto const job = 370us;
    for (int round = 0; round < 1000; ++round) {
        if (!account.begin(now)) continue;
        do {
            now += job;
            used += job;
        } while (!account.over(now));
        account.end(now);
    }
    CHECK(used >= 1000 * 250us);
    CHECK(used < 1000 * 250us + job);
}

TEST_CASE("nobody pays for a core that the thread had lost", "[fair_share]") {
    time_point const start{};
    turn_account account(250us);
    REQUIRE(account.begin(start));
    account.end(start + 1h);
    int passed = 0;
    while (!account.begin(start + 1h)) ++passed;
    CHECK(passed == turn_account::most_owed);
}

TEST_CASE("two shares take turns, and the loop has its own between them", "[fair_share]") {
    asio::io_context io;
    fair_share const a(io.get_executor()), b(io.get_executor());
    std::string seen;
    for (int i = 0; i < 3; ++i) asio::post(a.executor(), busy(seen, 'a'));
    asio::post(b.executor(), quick(seen, 'b'));
    asio::post(io, quick(seen, '.'));
    io.run();
    CHECK(seen == "ab.aa");
}

TEST_CASE("what is quick goes in one turn, in order", "[fair_share]") {
    asio::io_context io;
    fair_share const a(io.get_executor(), 1min);
    std::string seen;
    for (char name = 'a'; name <= 'z'; ++name) asio::post(a.executor(), quick(seen, name));
    asio::post(a.executor(), [&] { asio::post(a.executor(), quick(seen, '!')); });
    CHECK(io.run_one() == 1);
    CHECK(seen == "abcdefghijklmnopqrstuvwxyz!");
    CHECK(io.run_one() == 0);
}

TEST_CASE("dispatch in a share is a call there, and from outside it stands in line",
          "[fair_share]") {
    asio::io_context io;
    fair_share const a(io.get_executor()), b(io.get_executor());
    std::string seen;
    asio::dispatch(a.executor(), [&] {
        asio::dispatch(b.executor(), quick(seen, 'b'));
        asio::dispatch(a.executor(), quick(seen, 'a'));
        asio::post(a.executor(), quick(seen, '2'));
        seen += '1';
    });
    CHECK(seen.empty());
    io.run();
    CHECK(seen == "a12b");
}

TEST_CASE("a share keeps its loop as an executor of it does", "[fair_share]") {
    asio::io_context io;
    auto const share = std::make_unique<fair_share>(io.get_executor());
    auto const executor = share->executor();
    CHECK(io.run() == 0); // it is no work
    io.restart();
    auto work = std::make_unique<asio::executor_work_guard<asio::any_io_executor>>(executor);
    auto const second = asio::prefer(executor, asio::execution::outstanding_work.tracked);
    CHECK(second == executor);
    CHECK(io.run_for(1ms) == 0);
    CHECK_FALSE(io.stopped());
    work.reset();
    { auto const last = asio::prefer(second, asio::execution::outstanding_work.untracked); }
    CHECK(io.run_for(1ms) == 0);
    CHECK_FALSE(io.stopped()); // `second`
}

TEST_CASE("a share is itself only, and its executor outlives it", "[fair_share]") {
    asio::io_context io;
    std::string seen;
    auto a = std::make_unique<fair_share>(io.get_executor());
    fair_share const b(io.get_executor());
    auto const executor = a->executor();
    CHECK(executor == a->executor());
    CHECK(executor != b.executor());
    CHECK(&asio::query(executor, asio::execution::context) == &io);
    a.reset();
    asio::post(executor, quick(seen, 'a'));
    io.run();
    CHECK(seen == "a");
}

TEST_CASE("what a job throws leaves run(), and the others stand in line still", "[fair_share]") {
    asio::io_context io;
    fair_share const a(io.get_executor());
    std::string seen;
    asio::post(a.executor(), [] { throw std::runtime_error("a job"); });
    asio::post(a.executor(), quick(seen, 'a'));
    CHECK_THROWS_AS(io.run(), std::runtime_error);
    CHECK(seen.empty());
    io.run();
    CHECK(seen == "a");
}

TEST_CASE("a context that ends takes along what stands in line, and what that leaves",
          "[fair_share]") {
    auto io = std::make_unique<asio::io_context>();
    fair_share const a(io->get_executor());
    auto const held = std::make_shared<int>(0);
    struct last_words {
        explicit last_words(asio::any_io_executor on, std::shared_ptr<int> h)
            : executor(std::move(on)), held(std::move(h)) {}
        last_words(last_words&&) = default;
        ~last_words() {
            if (held) asio::post(executor, [held = held] { ++*held; });
        }
        void operator()() const {}
        asio::any_io_executor executor;
        std::shared_ptr<int> held;
    };
    for (int i = 0; i < 3; ++i) asio::post(a.executor(), last_words(a.executor(), held));
    io.reset();
    CHECK(held.use_count() == 1);
    CHECK(*held == 0);
}

TEST_CASE("coroutines, deadlines and queues are at home on shares", "[fair_share]") {
    asio::io_context io(1);
    fair_share const a(io.get_executor()), b(io.get_executor());
    queue<int> numbers(2);
    int sum = 0;
    bool ended = false, timed_out = false;
    auto const produce = [&]() -> awaitable<> {
        for (int i = 1; i <= 1000; ++i) co_await numbers.push(i);
        numbers.close();
    };
    auto const consume = [&]() -> awaitable<> {
        while (auto number = co_await numbers.pop()) sum += *number;
        timed_out = !co_await within(1ms, sleep_for(1h));
    };
    auto const both = [&]() -> awaitable<> {
        auto const body = [&](task_group& group) -> awaitable<> {
            group.spawn(a.run(produce()));
            group.spawn(b.run(consume()));
            co_return;
        };
        co_await with_group(body);
        ended = co_await within(1h, sleep_for(1ms));
    };
    asio::co_spawn(a.executor(), both, [](std::exception_ptr why) {
        if (why) std::rethrow_exception(why);
    });
    io.run_for(30s); // an idle deadline keeps no loop, as without shares
    CHECK(io.stopped());
    CHECK(sum == 500500);
    CHECK(timed_out);
    CHECK(ended);
}

TEST_CASE("a strand of a share is fine, and a share of a strand", "[fair_share]") {
    asio::io_context io(1);
    fair_share const a(io.get_executor());
    fair_share const b(asio::any_io_executor(asio::make_strand(a.executor())));
    bool ended = false;
    auto const nap = [&]() -> awaitable<> { ended = co_await within(1h, sleep_for(1ms)); };
    for (auto const& executor : {asio::any_io_executor(asio::make_strand(a.executor())),
                                 asio::any_io_executor(b.executor())}) {
        ended = false;
        asio::co_spawn(executor, nap, [](std::exception_ptr why) {
            if (why) std::rethrow_exception(why);
        });
        io.restart();
        io.run_for(30s);
        CHECK(io.stopped());
        CHECK(ended);
    }
}

TEST_CASE("on a context of several threads a share runs one job at a time", "[fair_share]") {
    constexpr int posters = 4, jobs = 5000;
    int count = 0; // guarded by the share
    {
        asio::thread_pool pool(4);
        fair_share const a(pool.get_executor(), 50us);
        std::vector<std::thread> threads;
        for (int i = 0; i < posters; ++i)
            threads.emplace_back([&] {
                for (int k = 0; k < jobs; ++k) asio::post(a.executor(), [&] { ++count; });
            });
        for (auto& one : threads) one.join();
        pool.join();
    }
    CHECK(count == posters * jobs);
}
