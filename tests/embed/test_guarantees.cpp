#include "descriptors.hpp"
#include "embed/engines.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>
#include <asio/system_executor.hpp>
#include <asio/use_future.hpp>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <exception>
#include <future>
#include <locale>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <thread>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace std::chrono_literals;
using trawl::awaitable;
using trawl::offload_pool;
using trawl::test::engines;

namespace {

std::vector<std::string> const all{"backup", "dns", "icmp", "smtp", "ssh", "ssh"};

std::vector<std::string> sorted(std::vector<std::string> words) {
    std::sort(words.begin(), words.end());
    return words;
}

std::ptrdiff_t threads() {
    std::filesystem::directory_iterator const tasks("/proc/self/task");
    return std::distance(begin(tasks), end(tasks));
}

offload_pool::options two_threads() {
    offload_pool::options options;
    options.threads = 2;
    return options;
}

void ignore(std::string const&) {}

/// Waits for `engines` on `executor`, which other threads run.
void finish(asio::any_io_executor executor, engines& work) {
    auto ended = asio::co_spawn(executor, work.run(), asio::use_future);
    if (ended.wait_for(60s) != std::future_status::ready)
        throw std::runtime_error("the engines did not end");
    ended.get();
}

/// Everything about a process that a library could change behind its back, by name.
std::map<std::string, std::string> global_state() {
    std::map<std::string, std::string> state;
    for (int number = 1; number < NSIG; ++number) {
        struct sigaction action {};
        if (sigaction(number, nullptr, &action)) continue; // the C library's own
        std::ostringstream text;
        text << reinterpret_cast<void*>(action.sa_handler) << " flags " << action.sa_flags;
        state["signal " + std::to_string(number)] = text.str();
    }
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    for (int number = 1; number < NSIG; ++number)
        state["blocked signals"] += sigismember(&blocked, number) == 1 ? '1' : '0';
    state["locale"] = std::setlocale(LC_ALL, nullptr);
    state["C++ locale"] = std::locale().name();
    state["cwd"] = std::filesystem::current_path();
    auto const mask = umask(0);
    umask(mask);
    state["umask"] = std::to_string(mask);
    state["niceness"] = std::to_string(getpriority(PRIO_PROCESS, 0));
    for (int resource : {RLIMIT_NOFILE, RLIMIT_CORE, RLIMIT_AS, RLIMIT_NPROC, RLIMIT_MEMLOCK}) {
        rlimit limit{};
        getrlimit(static_cast<__rlimit_resource>(resource), &limit);
        state["limit " + std::to_string(resource)] =
            std::to_string(limit.rlim_cur) + " of " + std::to_string(limit.rlim_max);
    }
    for (char** variable = environ; *variable; ++variable)
        state["environment"] += std::string(*variable) + "\n";
    std::ostringstream terminate;
    terminate << reinterpret_cast<void*>(std::get_terminate());
    state["terminate handler"] = terminate.str();
    return state;
}

} // namespace

TEST_CASE("the library has no thread but the pool's, whatever its engines do", "[embed]") {
    auto const before = threads();
    {
        std::map<std::string, std::ptrdiff_t> more;
        offload_pool pool(two_threads());
        engines work(pool, [&](std::string const& phase) { more[phase] = threads() - before; });
        trawl::test::run([&] { return work.run(); }, 60s);
        CHECK(sorted(work.said()) == all);
        for (auto const phase : {"serving", "dns", "icmp", "ssh", "smtp", "backup", "gone"}) {
            INFO(phase);
            CHECK(more.at(phase) == 2);
        }
    }
    CHECK(threads() == before);
}

TEST_CASE("no signal handler, locale, umask, folder, limit or variable is touched", "[embed]") {
    auto const before = global_state();
    std::map<std::string, std::map<std::string, std::string>> seen;
    {
        offload_pool pool(two_threads());
        engines work(pool, [&](std::string const& phase) { seen[phase] = global_state(); });
        trawl::test::run([&] { return work.run(); }, 60s);
        CHECK(sorted(work.said()) == all);
    }
    seen["after the pool"] = global_state();
    CHECK(seen.size() == 8);
    for (auto const& [phase, state] : seen) {
        for (auto const& [what, value] : state) {
            INFO(phase << ": " << what);
            CHECK(value == before.at(what));
        }
    }
}

TEST_CASE("two sets of engines work on one loop, and two more on loops of their own", "[embed]") {
    offload_pool pool(two_threads());
    engines first(pool, ignore), second(pool, ignore), third(pool, ignore), fourth(pool, ignore);
    auto const on_its_own = [](engines& work) {
        auto const run = [&work] { trawl::test::run([&] { return work.run(); }, 60s); };
        return std::async(std::launch::async, run);
    };
    auto other = on_its_own(third), another = on_its_own(fourth);
    auto const both = [&]() -> awaitable<> {
        auto const body = [&](trawl::task_group& group) -> awaitable<> {
            group.spawn(first.run());
            group.spawn(second.run());
            co_return;
        };
        co_await trawl::with_group(body);
    };
    trawl::test::run(both, 60s);
    other.get();
    another.get();
    for (auto const* work : {&first, &second, &third, &fourth}) CHECK(sorted(work->said()) == all);
}

TEST_CASE("a strand of an io_context that four threads run is enough", "[embed]") {
    offload_pool pool(two_threads());
    asio::io_context io(4);
    auto keep = asio::make_work_guard(io);
    std::vector<std::thread> loops;
    for (int i = 0; i < 4; ++i) loops.emplace_back([&] { io.run(); });
    engines work(pool, ignore);
    finish(asio::make_strand(io), work);
    keep.reset();
    for (auto& loop : loops) loop.join();
    CHECK(sorted(work.said()) == all);
}

TEST_CASE("a strand of Asio's system_executor is enough", "[embed]") {
    offload_pool pool(two_threads());
    engines work(pool, ignore);
    finish(asio::make_strand(asio::system_executor()), work);
    CHECK(sorted(work.said()) == all);
    // Its threads would end after OpenSSL's own end otherwise, and leak what that keeps of each.
    auto& threads = asio::query(asio::system_executor(), asio::execution::context);
    threads.stop();
    threads.join();
}

// Leaks of memory are told by the leak checker of the sanitized build.
TEST_CASE("an io_context destroyed in the midst of the work leaves nothing open", "[embed]") {
    for (std::string const stop : {"serving", "dns", "icmp", "ssh", "smtp", "backup"}) {
        INFO(stop);
        auto const before = trawl::test::open_descriptors();
        {
            auto io = std::make_unique<asio::io_context>(1);
            std::optional<offload_pool> pool(std::in_place, two_threads());
            engines work(*pool, [&](std::string const& phase) {
                if (phase == stop) io->stop();
            });
            asio::co_spawn(*io, work.run(), asio::detached);
            io->run_for(60s);
            CHECK(io->stopped());
            pool.reset(); // before the loop, as its documentation asks for
            io.reset();
        }
        CHECK(trawl::test::open_descriptors() == before);
    }
}
