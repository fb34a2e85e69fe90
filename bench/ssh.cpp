// The library itself beside other clients of bench/ssh.sh, with what they are told (ssh_errand.hpp);
// and what sessions cost that do nothing:
//
//     bench-ssh idle PORT USER KEY KNOWN_HOSTS JOBS TIMES COMMAND < HOSTS
//
// opens TIMES sessions, spread over the hosts, and then runs COMMAND on each, one after the other.
// Prints "sessions=N kb_each=K rss_mb=R p50_ms=T p99_ms=T failed=N".
#include "ssh_errand.hpp"

#include <trawl/limiter.hpp>
#include <trawl/ssh.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>

namespace {

using namespace trawl;

ssh::options options_for(ssh_errand const& errand) {
    ssh::host_keys::options from;
    from.file = errand.known_hosts;
    ssh::options how{.host = {}};
    how.port = errand.port;
    how.user = errand.user;
    how.identities = {ssh::load_private_key(errand.key)};
    how.known = std::make_shared<ssh::host_keys>(from);
    auto& t = how.timeouts;
    t.connect = t.handshake = t.auth = t.exec = std::chrono::minutes(2);
    return how;
}

class fan_out {
public:
    explicit fan_out(ssh_errand const& errand) : errand_(errand), how_(options_for(errand)) {}

    awaitable<std::size_t> run() {
        limiter places(errand_.jobs);
        auto const all = [&](task_group& group) -> awaitable<> {
            for (auto const& host : errand_.hosts) {
                auto place = co_await places.acquire();
                group.spawn(visit(host, std::move(place)));
            }
        };
        co_await with_group(all);
        co_return failed_;
    }

private:
    awaitable<> visit(std::string host, [[maybe_unused]] limiter::ticket place) {
        auto how = how_;
        how.host = host;
        ssh::session session(co_await asio::this_coro::executor, std::move(how));
        try {
            co_await session.connect();
            ssh::completed done;
            for (std::size_t i = 0; i < errand_.times; ++i)
                done = co_await session.exec(errand_.command);
            co_await session.disconnect();
            std::printf("%s %d %zu\n", host.c_str(), done.exit_status.value_or(-1),
                        done.out.size());
        } catch (ssh::failure const& why) {
            ++failed_;
            std::printf("%s failed: %s\n", host.c_str(), why.what());
        }
    }

    ssh_errand const& errand_;
    ssh::options how_;
    std::size_t failed_ = 0;
};

double resident_kb() {
    std::size_t whole = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> whole >> resident;
    return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1024;
}

class idle_crowd {
public:
    explicit idle_crowd(ssh_errand const& errand) : errand_(errand), how_(options_for(errand)) {}

    awaitable<std::size_t> run() {
        limiter places(errand_.jobs);
        auto first = co_await places.acquire();
        co_await open(0, std::move(first)); // with what is loaded once
        auto const before = resident_kb();
        auto const others = [&](task_group& group) -> awaitable<> {
            for (std::size_t i = 1; i < errand_.times; ++i) {
                auto place = co_await places.acquire();
                group.spawn(open(i, std::move(place)));
            }
        };
        co_await with_group(others);
        auto const after = resident_kb();
        auto const took = co_await ask_all();
        std::printf("sessions=%zu kb_each=%.1f rss_mb=%.1f p50_ms=%.2f p99_ms=%.2f failed=%zu\n",
                    sessions_.size(), (after - before) / static_cast<double>(sessions_.size() - 1),
                    after / 1024, took[took.size() / 2], took[took.size() * 99 / 100], failed_);
        sessions_.clear(); // the loop runs while they are open
        co_return failed_;
    }

private:
    awaitable<> open(std::size_t index, [[maybe_unused]] limiter::ticket place) {
        auto how = how_;
        how.host = errand_.hosts[index % errand_.hosts.size()];
        ssh::session session(co_await asio::this_coro::executor, std::move(how));
        try {
            co_await session.connect();
            sessions_.push_back(std::move(session));
        } catch (ssh::failure const& why) {
            complain(why);
        }
    }

    awaitable<std::vector<double>> ask_all() {
        std::vector<double> took;
        for (auto& session : sessions_) {
            auto const began = clock::now();
            try {
                co_await session.exec(errand_.command);
            } catch (ssh::failure const& why) {
                complain(why);
            }
            std::chrono::duration<double, std::milli> const passed = clock::now() - began;
            took.push_back(passed.count());
        }
        std::sort(took.begin(), took.end());
        co_return took;
    }

    void complain(ssh::failure const& why) {
        ++failed_;
        std::fprintf(stderr, "%s\n", why.what());
    }

    ssh_errand const& errand_;
    ssh::options how_;
    std::deque<ssh::session> sessions_;
    std::size_t failed_ = 0;
};

template <class Work>
int run(ssh_errand const& errand) {
    asio::io_context io(1);
    Work work(errand);
    std::size_t failed = 0;
    asio::co_spawn(io, work.run(), [&](std::exception_ptr thrown, std::size_t count) {
        if (thrown) std::rethrow_exception(thrown);
        failed = count;
    });
    io.run();
    return failed == 0 ? 0 : 1;
}

} // namespace

int main(int count, char** word) {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    bool const idle = count > 1 && std::strcmp(word[1], "idle") == 0;
    auto const errand = read_errand(count - idle, word + idle);
    return idle ? run<idle_crowd>(errand) : run<fan_out>(errand);
}
