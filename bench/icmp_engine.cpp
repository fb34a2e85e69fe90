// What the ICMP engine itself costs, over a kernel that exists only in memory and answers at once;
// then both ways of the public interface on loopback, where the kernel is real (as root). Medians of
// several rounds. A part of it: bench-icmp-engine bulk|awaited|loopback
#include "icmp/channel.hpp"
#include "icmp/driver.hpp"
#include "icmp/engine.hpp"

#include <trawl/detail/parking.hpp>
#include <trawl/icmp.hpp>
#include <trawl/limiter.hpp>
#include <trawl/targets.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <malloc.h>
#include <string_view>
#include <sys/resource.h>
#include <vector>

// Asio takes its frames from aligned_alloc, so operator new alone would not see them.
static std::size_t allocations = 0;
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t size) noexcept { return ++allocations, __libc_malloc(size); }
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    return ++allocations, __libc_memalign(alignment, size);
}
}

namespace {

using namespace trawl;
using namespace trawl::icmp::detail;
using namespace std::chrono_literals;

constexpr int rounds = 5;

void say(char const* what, double value, char const* unit, char const* aim = "") {
    fmt::print("{:<64} {:>10.3g} {:<4} {}\n", what, value, unit, aim);
}

double median(std::vector<double> seen) {
    std::nth_element(seen.begin(), seen.begin() + static_cast<std::ptrdiff_t>(seen.size() / 2),
                     seen.end());
    return seen[seen.size() / 2];
}

/// CPU time of this process: what else runs on the machine must not count.
double microseconds() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    auto const of = [](timeval const& t) {
        return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
    };
    return of(used.ru_utime) + of(used.ru_stime);
}

std::size_t heap_bytes() {
    auto const info = mallinfo2();
    return info.uordblks + info.hblkhd; // large vectors are mapped by themselves
}

/// Answers every echo at once, or none. `read`: parses the reply as it would come from a socket;
/// `made`: the message is made up, so that what remains is the engine's and the driver's.
class memory_channel final : public channel {
public:
    enum class answers { none, made, read };
    explicit memory_channel(answers how) : how_(how) { waiting_.reserve(2 * batch); }

    std::size_t send(std::span<parcel const> parcels, int&) override {
        if (given_ == waiting_.size()) waiting_.clear(), given_ = 0;
        auto const now = clock::now();
        if (how_ != answers::none)
            for (auto const& p : parcels) answer(p, now);
        return parcels.size();
    }
    std::span<arrived const> receive(bool& more) override {
        auto const n = std::min(batch, waiting_.size() - given_);
        auto const given = std::span(waiting_).subspan(given_, n);
        given_ += n;
        more = given_ < waiting_.size();
        return given;
    }
    std::uint64_t drops() override { return 0; }
    std::size_t capacity() const override { return 1u << 24; }

private:
    void answer(parcel const& p, time_point now) {
        auto reply = p.bytes;
        reply[0] = 0; // RFC 792: the type changes from 8 to 0, and with it the checksum
        auto const sum = (std::uint32_t{reply[2]} << 8 | reply[3]) + 0x800u;
        reply[2] = static_cast<std::uint8_t>((sum + (sum >> 16)) >> 8);
        reply[3] = static_cast<std::uint8_t>(sum + (sum >> 16));
        auto& a = waiting_.emplace_back();
        a.from = p.target, a.hops_left = std::uint8_t{64};
        a.when = now;
        if (how_ == answers::read)
            a.what = parse(family::v4, reply);
        else
            a.what = {.kind = kind::reply,
                      .size = echo_size,
                      .sequence = number<std::uint16_t>(reply, 6),
                      .proof = proof_of(reply)};
    }
    template <class Integer>
    static Integer number(echo_bytes const& b, std::size_t at) {
        Integer value = 0;
        for (std::size_t i = 0; i < sizeof value; ++i)
            value = static_cast<Integer>(value << 8 | b[at + i]);
        return value;
    }
    static proof proof_of(echo_bytes const& b) {
        return {number<std::uint64_t>(b, 8), number<std::uint64_t>(b, 16),
                number<std::uint64_t>(b, 24)};
    }

    answers how_;
    std::vector<arrived> waiting_;
    std::size_t given_ = 0;
};
using answers = memory_channel::answers;

host nth(std::uint32_t n) { return host(asio::ip::make_address_v4(0x0a000000u + n)); }

// ---- everything that knows the engine's own interface ----

struct some_hosts final : source {
    explicit some_hosts(std::uint32_t n) : left(n) {}
    std::optional<item> next_target() override {
        if (left == 0) return std::nullopt;
        return item{nth(--left), position++};
    }
    std::uint32_t left;
    std::uint64_t position = 0;
};

struct world {
    explicit world(answers how, std::size_t outstanding = 1u << 24)
        : kernel(how),
          core({.outstanding = outstanding, .window = 1u << 24}, {1, 2}, 0x1234, clock::now()),
          drive(core, &kernel, &kernel) {}

    void sweep(std::uint32_t count) {
        some_hosts hosts(count);
        auto& lane = core.open({.timeout = 1h}, &hosts);
        while (hosts.left > 0 || !core.idle()) {
            drive.turn();
            while (!lane.outcomes.empty()) lane.outcomes.pop();
        }
        core.close(lane);
    }
    /// Until an echo to each is out; `hosts` outlives the world.
    void send_all(some_hosts& hosts) {
        core.open({.timeout = 1h}, &hosts);
        while (hosts.left > 0) drive.turn();
    }

    memory_channel kernel;
    engine core;
    driver drive;
};

/// What pinger does for probe(), over the channel in memory: a waiter for each probe, and a pump.
class pretend_pinger {
public:
    explicit pretend_pinger(answers how) : over_(how), lane_(over_.core.open({.timeout = 1h})) {}

    awaitable<bool> probe(host target) {
        question asked(*this);
        auto const slot =
            over_.core.submit(lane_, target, reinterpret_cast<std::uintptr_t>(&asked));
        co_await asked.asker.wait();
        if (!asked.answered) over_.core.forget(slot);
        co_return asked.answered;
    }
    awaitable<> pump() {
        for (;; co_await yield()) {
            over_.drive.turn();
            while (!lane_.outcomes.empty()) {
                auto const tag = static_cast<std::uintptr_t>(lane_.outcomes.pop().tag);
                auto* const asked = reinterpret_cast<question*>(tag);
                asked->answered = true;
                asked->asker.signal();
            }
        }
    }

private:
    struct question {
        explicit question(pretend_pinger& of) : asker(of.asking_) {}
        bool answered = false;
        trawl::detail::waiter asker;
    };
    world over_;
    lane& lane_;
    trawl::detail::waiter_list asking_;
};

// ---- bulk ----

/// What of it is the pretend kernel's: nanoseconds for an echo and its reply.
double kernel_alone(answers how, std::uint32_t count) {
    memory_channel kernel(how);
    std::array<parcel, driver::send_batch> some;
    for (auto& p : some) p.target = nth(1), p.bytes = write_echo(family::v4, 1, 1, {});
    std::size_t read = 0;
    auto const began = microseconds();
    for (std::uint32_t sent = 0; sent < count; sent += driver::send_batch) {
        int failure = 0;
        kernel.send(some, failure);
        for (bool more = true; more;) read += kernel.receive(more).size();
    }
    return (microseconds() - began) * 1000 / static_cast<double>(read);
}

void bulk() {
    constexpr std::uint32_t n = 1'000'000;
    for (auto how : {answers::made, answers::read}) {
        std::vector<double> seen;
        std::size_t taken = 0;
        world w(how, 4096);
        w.sweep(n / 10); // tables have their size now
        for (int round = 0; round < rounds; ++round) {
            auto const before = allocations;
            auto const began = microseconds();
            w.sweep(n);
            seen.push_back((microseconds() - began) * 1000 / n);
            taken = allocations - before;
        }
        say(how == answers::made ? "a bulk probe that is answered"
                                 : "  and its reply parsed from bytes",
            median(seen), "ns", how == answers::made ? "aim <= 40" : "");
        say("  of that the kernel in memory", kernel_alone(how, n), "ns");
        if (how == answers::made)
            say("  heap allocations", static_cast<double>(taken) / n, "", "aim 0");
    }
    constexpr std::uint32_t many = 1'000'000;
    auto const before = heap_bytes();
    some_hosts hosts(many);
    world w(answers::none);
    auto const empty = heap_bytes();
    w.send_all(hosts);
    say("an outstanding bulk probe", static_cast<double>(heap_bytes() - empty) / many, "B",
        "aim <= 32");
    say("  an engine without any", static_cast<double>(empty - before) / 1024, "KiB");
}

// ---- a coroutine each ----

awaitable<> ask(pretend_pinger& pinger, host target, limiter::ticket) {
    co_await pinger.probe(target);
}

/// Asks `n` hosts, `window` at a time.
awaitable<> ask_all(pretend_pinger& pinger, std::uint32_t n, std::size_t window) {
    limiter in_flight(window);
    auto body = [&](task_group& group) -> awaitable<> {
        for (std::uint32_t i = 0; i < n; ++i) {
            auto place = co_await in_flight.acquire();
            group.spawn(ask(pinger, nth(i), std::move(place)));
        }
    };
    co_await with_group(body);
}

void run(std::function<awaitable<>()> body) {
    asio::io_context io(1);
    asio::co_spawn(io, body, [&](std::exception_ptr e) {
        if (e) std::rethrow_exception(e);
        io.stop();
    });
    io.run();
}

void awaited() {
    constexpr std::uint32_t n = 200'000;
    std::vector<double> seen;
    double taken = 0;
    auto timed = [&]() -> awaitable<> {
        pretend_pinger pinger(answers::made);
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(pinger.pump());
            co_await ask_all(pinger, n / 10, 1024);
            for (int round = 0; round < rounds; ++round) {
                auto const before = allocations;
                auto const began = microseconds();
                co_await ask_all(pinger, n, 1024);
                seen.push_back((microseconds() - began) * 1000 / n);
                taken = static_cast<double>(allocations - before) / n;
            }
            group.cancel();
        };
        co_await with_group(body);
    };
    run(timed);
    say("an awaited probe, its task spawned, 1,024 at a time", median(seen), "ns");
    say("  heap allocations", taken, "", "aim 0");

    auto loop = [&]() -> awaitable<> {
        pretend_pinger pinger(answers::made);
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(pinger.pump());
            seen.clear();
            for (int round = 0; round < rounds; ++round) {
                auto const began = microseconds();
                for (std::uint32_t i = 0; i < n; ++i) co_await pinger.probe(nth(i));
                seen.push_back((microseconds() - began) * 1000 / n);
            }
            group.cancel();
        };
        co_await with_group(body);
    };
    run(loop);
    say("  in a loop, one after the other (a turn of the loop each)", median(seen), "ns");

    constexpr std::uint32_t many = 50'000;
    auto memory = [&]() -> awaitable<> {
        pretend_pinger pinger(answers::none);
        auto body = [&](task_group& group) -> awaitable<> {
            auto const before = heap_bytes();
            for (std::uint32_t i = 0; i < many; ++i) group.spawn(ask(pinger, nth(i), {}));
            say("an outstanding awaited probe, its task and engine state",
                static_cast<double>(heap_bytes() - before) / many, "B", "aim <= 1280");
            group.cancel();
            co_return;
        };
        co_await with_group(body);
    };
    run(memory);
}

// ---- the public interface on loopback ----

awaitable<std::uint64_t> swept(icmp::pinger& pinger) {
    icmp::sweep sweep(pinger, targets::parse("127.0.0.0/16"));
    for (auto batch = co_await sweep.next_batch(); !batch.empty();
         batch = co_await sweep.next_batch()) {
    }
    co_return sweep.progress().up;
}

awaitable<> count_one(icmp::pinger& pinger, asio::ip::address target, std::uint64_t& up,
                      limiter::ticket) {
    auto const reply = co_await pinger.probe(target);
    up += reply.has_value();
}

awaitable<std::uint64_t> probed(icmp::pinger& pinger) {
    std::uint64_t up = 0;
    limiter in_flight(1024);
    auto body = [&](task_group& group) -> awaitable<> {
        targets::cursor walk(targets::parse("127.0.0.0/16"));
        while (auto next = walk.next()) {
            auto place = co_await in_flight.acquire();
            group.spawn(count_one(pinger, *next->address, up, std::move(place)));
        }
    };
    co_await with_group(body);
    co_return up;
}

void loopback() {
    constexpr double n = 65536;
    std::vector<double> bulk, each;
    auto body = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        icmp::pinger pinger(executor);
        for (int round = 0; round < rounds; ++round) {
            auto before = microseconds();
            auto const up = co_await swept(pinger);
            bulk.push_back((microseconds() - before) / n);
            before = microseconds();
            auto const up_too = co_await probed(pinger);
            each.push_back((microseconds() - before) / n);
            if (up != 65536 || up_too != 65536)
                fmt::print("round {}: {} and {} of 65,536 up\n", round, up, up_too);
        }
    };
    try {
        run(body);
    } catch (error const& e) {
        fmt::print("loopback: {}\n", e.what());
        return;
    }
    say("127.0.0.0/16 swept: CPU for each target", median(bulk), "us");
    say("  with a coroutine and co_await probe() for each", median(each), "us",
        fmt::format("aim <= {:.2f}", 1.1 * median(bulk)).c_str());
}

} // namespace

int main(int count, char** words) {
    auto const wanted = [&](std::string_view part) {
        return count < 2 || std::find(words + 1, words + count, part) != words + count;
    };
    if (wanted("bulk")) bulk();
    if (wanted("awaited")) awaited();
    if (wanted("loopback")) loopback();
}
