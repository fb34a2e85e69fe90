#include "descriptors.hpp"
#include "embed/engines.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/strand.hpp>
#include <asio/system_executor.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>
#include <asio/write.hpp>

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

/// Counts what would end a process that does nothing about it.
class broken_pipes {
public:
    broken_pipes() {
        count_ = 0;
        struct sigaction how {};
        how.sa_handler = [](int) { count_ = count_ + 1; };
        sigaction(SIGPIPE, &how, &before_);
    }
    broken_pipes(broken_pipes const&) = delete;
    ~broken_pipes() { sigaction(SIGPIPE, &before_, nullptr); }
    int count() const { return count_; }

private:
    static inline volatile std::sig_atomic_t count_ = 0;
    struct sigaction before_ {};
};

using local = asio::local::stream_protocol;

/// A session over a connection whose other end is closed.
awaitable<> log_in_to_nobody() {
    auto executor = co_await asio::this_coro::executor;
    local::socket mine(executor), theirs(executor);
    asio::local::connect_pair(mine, theirs);
    theirs.close();
    trawl::ssh::options options;
    options.host = "127.0.0.1";
    trawl::ssh::session session(executor, options);
    bool failed = false;
    try {
        co_await session.connect(std::move(mine));
    } catch (trawl::ssh::failure const&) {
        failed = true;
    }
    CHECK(failed);
}

/// A server that greets and goes.
awaitable<> mail_to_nobody(std::filesystem::path place) {
    auto executor = co_await asio::this_coro::executor;
    local::acceptor server(executor, local::endpoint(place.string()));
    auto const greet = [&]() -> awaitable<> {
        auto peer = co_await server.async_accept(asio::use_awaitable);
        asio::write(peer, asio::buffer("220 hello\r\n", 11));
    };
    auto const send = [&]() -> awaitable<> {
        trawl::smtp::options options;
        options.unix_path = place.string();
        options.tls = trawl::smtp::tls::none;
        trawl::mime::message letter;
        letter.from("a@example.org").to("b@example.org").text("hello\n");
        trawl::smtp::client client(executor, std::move(options));
        bool failed = false;
        try {
            co_await client.send(std::move(letter));
        } catch (trawl::error const&) {
            failed = true;
        }
        CHECK(failed);
    };
    auto const both = [&](trawl::task_group& group) -> awaitable<> {
        group.spawn(greet());
        group.spawn(send());
        co_return;
    };
    co_await trawl::with_group(both);
}

/// A name server that wants to be asked by TCP, and then cuts the connection.
awaitable<> ask_nobody() {
    auto executor = co_await asio::this_coro::executor;
    trawl::test::name_server names(executor, [](trawl::test::name_server::query const&) {
        trawl::test::name_server::reply answer;
        answer.truncated = true;
        return answer;
    });
    names.cut_connections();
    auto const ask = [&](trawl::task_group& group) -> awaitable<> {
        names.start(group);
        trawl::dns::resolver::options options;
        options.servers = {names.where()};
        options.hosts.clear();
        options.search = false;
        trawl::dns::resolver resolver(executor, options);
        bool failed = false;
        try {
            co_await resolver.addresses("host.example.org");
        } catch (trawl::error const&) {
            failed = true;
        }
        CHECK(failed);
    };
    co_await trawl::with_group(ask);
}

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

TEST_CASE("a peer that is gone is an error and raises no SIGPIPE", "[embed]") {
    trawl::test::scratch folder;
    broken_pipes const seen;
    {
        asio::io_context io;
        local::socket mine(io), theirs(io);
        asio::local::connect_pair(mine, theirs);
        theirs.close();
        CHECK(::write(mine.native_handle(), "x", 1) < 0);
        CHECK(seen.count() == 1); // so one would be seen
    }
    trawl::test::run(log_in_to_nobody);
    CHECK(seen.count() == 1);
    auto const mail = [&] { return mail_to_nobody(folder.path / "mail"); };
    trawl::test::run(mail);
    CHECK(seen.count() == 1);
    trawl::test::run(ask_nobody);
    CHECK(seen.count() == 1);
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
