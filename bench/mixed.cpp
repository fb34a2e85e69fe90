// Everything on one loop: the async side of bench/compare, a verb at a time, and all verbs at once.
//
//     bench-mixed [seconds=T] [jobs=N] [handshakes=N] [shares=0|1] VERB...
//         icmp=NETWORK
//         ssh=HOSTS:PORT:LAB         a file of addresses, a line each; the folder of bench-lab
//         smtp=RECIPIENTS:PORT:BYTES a file of recipients
//         backup=SOURCE:DESTINATION
//
// Without `seconds` each verb goes through its targets once and prints what the threaded programs print. With it each verb
// begins anew until the time is over, and the last line is a JSON object: how much of each was done, hold and lag of the loop.
// At most `jobs` sessions and dialogues (1,000 each) are in flight, and `handshakes` of the sessions (16) between TCP and login.
// Each verb has a fair_share of the loop (shares=1).
#include "mixed_letter.hpp"

#include <trawl/backup.hpp>
#include <trawl/fair_share.hpp>
#include <trawl/icmp.hpp>
#include <trawl/limiter.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/smtp.hpp>
#include <trawl/ssh.hpp>
#include <trawl/task_group.hpp>
#include <trawl/watchdog.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <sys/resource.h>

namespace {

using namespace trawl;

/// How far a verb came: `done` of `unit`, `failed` items, between its start and its last item.
struct tally {
    char const* unit = "";
    double done = 0;
    std::size_t failed = 0;

    void count(bool good) {
        if (good)
            done += 1;
        else
            ++failed;
    }
};

struct plan {
    std::size_t jobs = 1000, handshakes = 16;
    bool shares = true;
    duration seconds{}; ///< zero: once
    time_point until{}; ///< of `seconds`
    std::map<std::string, std::string> verbs;

    bool once() const { return seconds == duration::zero(); }
    bool over() const { return !once() && clock::now() >= until; }
};

std::vector<std::string> split(std::string const& text, std::size_t parts) {
    std::vector<std::string> all;
    std::size_t begin = 0;
    while (all.size() + 1 < parts) {
        auto const colon = text.find(':', begin);
        if (colon == std::string::npos) throw std::runtime_error(text + ": a part is missing");
        all.push_back(text.substr(begin, colon - begin));
        begin = colon + 1;
    }
    all.push_back(text.substr(begin));
    return all;
}

std::vector<std::string> lines_of(std::string const& file) {
    std::ifstream in(file);
    if (!in) throw std::runtime_error(file + ": cannot be read");
    std::vector<std::string> all;
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
}

// ---- icmp ----

awaitable<> sweep_all(plan const& todo, tally& seen) {
    seen.unit = "hosts";
    icmp::pinger pinger(co_await asio::this_coro::executor);
    icmp::sweep::options how;
    how.retries = 0;
    auto const network = targets::parse(todo.verbs.at("icmp"));
    do {
        icmp::sweep sweep(pinger, network, how);
        for (auto batch = co_await sweep.next_batch(); !batch.empty();
             batch = co_await sweep.next_batch()) {
            for (auto const& one : batch) {
                bool const up = one.status == icmp::status::up;
                seen.count(up);
                if (!todo.once()) continue;
                if (up)
                    fmt::print("{}: up {:.2f} ms\n", one.address.to_string(),
                               std::chrono::duration<double, std::milli>(*one.rtt).count());
                else
                    fmt::print("{}: {}\n", one.address.to_string(), icmp::to_string(one.status));
            }
            if (todo.over()) co_return;
        }
    } while (!todo.once());
}

// ---- a coroutine each, for ssh and smtp ----

/// Calls visit(item) for each, `jobs` at a time, again and again while there is time.
awaitable<> for_each(plan const& todo, std::vector<std::string> const& items,
                     std::function<awaitable<>(std::string)> const& visit) {
    limiter in_flight(todo.jobs);
    std::function<awaitable<>(std::string, limiter::ticket)> const one =
        [&visit](std::string item, limiter::ticket) -> awaitable<> {
        co_await visit(std::move(item));
    };
    std::function<awaitable<>(task_group&)> const all = [&](task_group& group) -> awaitable<> {
        do {
            for (auto const& item : items) {
                auto place = co_await in_flight.acquire();
                if (todo.over()) break;
                group.spawn(one(item, std::move(place)));
            }
        } while (!todo.once() && !todo.over());
        if (!todo.once()) group.cancel();
    };
    co_await with_group(all);
}

awaitable<> visit_hosts(plan const& todo, tally& seen) {
    seen.unit = "sessions";
    auto const words = split(todo.verbs.at("ssh"), 3);
    ssh::host_keys::options from;
    from.file = words[2] + "/known_hosts";
    ssh::options how{.host = {}};
    how.port = static_cast<std::uint16_t>(std::atoi(words[1].c_str()));
    how.user = "bench";
    how.identities = {ssh::load_private_key(words[2] + "/id_ed25519")};
    how.known = std::make_shared<ssh::host_keys>(from);
    auto& limits = how.timeouts;
    limits.connect = limits.handshake = limits.auth = limits.exec = std::chrono::minutes(2);
    // A thousand key exchanges that advance together end together, late; so those that have begun end before others begin.
    limiter handshakes(todo.handshakes);
    std::function<awaitable<>(std::string)> const visit = [&](std::string host) -> awaitable<> {
        auto mine = how;
        mine.host = host;
        ssh::session session(co_await asio::this_coro::executor, std::move(mine));
        try {
            {
                auto const place = co_await handshakes.acquire();
                co_await session.connect();
            }
            auto const ended = co_await session.exec("echo ok");
            co_await session.disconnect();
            seen.count(ended.exit_status == 0 && ended.out == "ok\n");
            if (todo.once())
                fmt::print("{} {} {}\n", host, ended.exit_status.value_or(-1), ended.out.size());
        } catch (ssh::failure const& why) {
            seen.count(false);
            if (todo.once()) fmt::print("{} failed: {}\n", host, why.what());
        }
    };
    auto const hosts = lines_of(words[0]);
    co_await for_each(todo, hosts, visit);
}

smtp::options options_of_sink(std::uint16_t port) {
    smtp::options how;
    how.addresses.push_back(asio::ip::address_v4::loopback());
    how.port = port;
    how.tls = smtp::tls::none;
    how.helo = "bench.example.org";
    how.limits.connect = std::chrono::minutes(2);
    return how;
}

awaitable<> send_letters(plan const& todo, tally& seen) {
    seen.unit = "messages";
    auto const words = split(todo.verbs.at("smtp"), 3);
    auto const text = bench::text_of_letter(static_cast<std::size_t>(std::atoll(words[2].c_str())));
    auto const port = static_cast<std::uint16_t>(std::atoi(words[1].c_str()));
    std::function<awaitable<>(std::string)> const visit =
        [&](std::string recipient) -> awaitable<> {
        smtp::client relay(co_await asio::this_coro::executor, options_of_sink(port));
        try {
            auto letter = bench::letter_to(recipient, text);
            auto sending = relay.send(std::move(letter));
            auto const receipt = co_await std::move(sending);
            co_await relay.quit();
            seen.count(receipt.all_accepted());
            if (todo.once()) fmt::print("{} {}\n", recipient, receipt.recipients.front().code);
        } catch (error const& why) {
            if (is_cancelled(why)) throw;
            seen.count(false);
            if (todo.once()) fmt::print("{} failed: {}\n", recipient, why.what());
        }
    };
    auto const recipients = lines_of(words[0]);
    co_await for_each(todo, recipients, visit);
}

// ---- backup ----

/// Bytes read so far, over several runs.
class bytes_read : public observer {
public:
    explicit bytes_read(tally& to) : to_(to), before_(to.done) {}
    void progress(std::string_view what, std::uint64_t done, std::uint64_t) override {
        if (what == "bytes") to_.done = before_ + static_cast<double>(done) / 1e6;
    }

private:
    tally& to_;
    double before_;
};

awaitable<> back_up(plan const& todo, tally& seen, offload_pool& cpu) {
    seen.unit = "MB";
    auto const words = split(todo.verbs.at("backup"), 2);
    do {
        std::filesystem::remove_all(words[1]);
        bytes_read watch(seen);
        backup::options how;
        how.source = words[0];
        how.destination = words[1];
        how.what = backup::kind::full;
        how.watch = &watch;
        auto running = backup::run(cpu, std::move(how));
        if (!todo.once()) {
            co_await within(std::max(duration::zero(), todo.until - clock::now()),
                            std::move(running));
            continue;
        }
        auto const made = co_await std::move(running);
        seen.failed += made.errors.size();
        fmt::print("{} entries in {}\n", made.entries, made.file.string());
    } while (!todo.once() && !todo.over());
}

// ---- all of it ----

awaitable<> on_its_share(awaitable<> work) {
    fair_share const part(co_await asio::this_coro::executor);
    co_await asio::co_spawn(part.executor(), std::move(work), asio::use_awaitable);
}

plan read_plan(int count, char** word) {
    plan todo;
    for (int i = 1; i < count; ++i) {
        std::string const text = word[i];
        auto const equals = text.find('=');
        auto const key = text.substr(0, equals);
        auto const value = equals == std::string::npos ? std::string() : text.substr(equals + 1);
        if (key == "seconds")
            todo.seconds =
                std::chrono::milliseconds(static_cast<long>(std::atof(value.c_str()) * 1000));
        else if (key == "jobs")
            todo.jobs = std::strtoul(value.c_str(), nullptr, 10);
        else if (key == "handshakes")
            todo.handshakes = std::strtoul(value.c_str(), nullptr, 10);
        else if (key == "shares")
            todo.shares = value != "0";
        else if (!value.empty() &&
                 (key == "icmp" || key == "ssh" || key == "smtp" || key == "backup"))
            todo.verbs[key] = value;
        else
            throw std::runtime_error(text + ": not a verb with its targets, nor a known word");
    }
    if (todo.verbs.empty() || todo.jobs == 0 || todo.handshakes == 0)
        throw std::runtime_error(
            "bench-mixed [seconds=T] [jobs=N] [handshakes=N] [shares=0|1] VERB=...");
    return todo;
}

std::string milliseconds(char const* name, watchdog::quantiles const& q) {
    auto const ms = [](duration d) { return std::chrono::duration<double, std::milli>(d).count(); };
    return fmt::format(
        R"("{}": {{"count": {}, "p50_ms": {:.3f}, "p99_ms": {:.3f}, "p999_ms": {:.3f}, "max_ms": {:.3f}}})",
        name, q.count, ms(q.p50), ms(q.p99), ms(q.p999), ms(q.max));
}

void report(std::map<std::string, tally> const& seen, double elapsed,
            watchdog::report const& loop) {
    std::string text = fmt::format(R"({{"elapsed": {:.3f})", elapsed);
    for (auto const& [verb, one] : seen)
        text +=
            fmt::format(R"(, "{}": {{"unit": "{}", "done": {:.3f}, "failed": {}, "rate": {:.3f}}})",
                        verb, one.unit, one.done, one.failed, one.done / elapsed);
    fmt::print("{}, {}, {}}}\n", text, milliseconds("hold", loop.hold),
               milliseconds("lag", loop.lag));
}

int run(plan& todo) {
    // The pool ends before the loop whose coroutines use it.
    asio::io_context io(1);
    watchdog watch(io);
    std::map<std::string, tally> seen;
    offload_pool cpu;
    auto const work_of = [&](std::string const& verb, tally& count) {
        return verb == "icmp"   ? sweep_all(todo, count)
               : verb == "ssh"  ? visit_hosts(todo, count)
               : verb == "smtp" ? send_letters(todo, count)
                                : back_up(todo, count, cpu);
    };
    std::function<awaitable<>(task_group&)> const all = [&](task_group& group) -> awaitable<> {
        for (auto const& [verb, targets] : todo.verbs) {
            auto work = work_of(verb, seen[verb]);
            if (todo.shares)
                group.spawn(on_its_share(std::move(work)));
            else
                group.spawn(std::move(work));
        }
        co_return;
    };
    auto const began = clock::now();
    todo.until = began + todo.seconds;
    asio::co_spawn(io, with_group(all), [](std::exception_ptr why) {
        if (why) std::rethrow_exception(why);
    });
    watch.run();
    std::chrono::duration<double> const elapsed = clock::now() - began;
    std::size_t failed = 0;
    for (auto const& one : seen) failed += one.second.failed;
    if (!todo.once()) report(seen, elapsed.count(), watch.figures());
    return failed == 0 ? 0 : 1;
}

} // namespace

int main(int count, char** word) {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    try {
        auto todo = read_plan(count, word);
        return run(todo);
    } catch (std::exception const& why) {
        return std::fprintf(stderr, "bench-mixed: %s\n", why.what()), 2;
    }
}
