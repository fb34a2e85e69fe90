// What plain threads cost, under the labels of bench-async: a thread for a task, a mutex and a condition variable for a queue.
// Medians of several rounds.
#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

using clock = std::chrono::steady_clock;

constexpr int rounds = 7;

double nanoseconds(int n, std::function<void(int)> const& body) {
    std::vector<double> seen;
    for (int round = 0; round < rounds; ++round) {
        auto const began = clock::now();
        body(n);
        seen.push_back(std::chrono::duration<double, std::nano>(clock::now() - began).count() / n);
    }
    std::nth_element(seen.begin(), seen.begin() + rounds / 2, seen.end());
    return seen[rounds / 2];
}

void say(char const* what, double value, char const* unit) {
    std::printf("%-64s %10.1f %s\n", what, value, unit);
}

template <class T>
class queue {
public:
    explicit queue(std::size_t limit) : limit_(limit) {}
    void push(T value) {
        std::unique_lock held(door_);
        room_.wait(held, [&] { return all_.size() < limit_; });
        all_.push_back(std::move(value));
        some_.notify_one();
    }
    T pop() {
        std::unique_lock held(door_);
        some_.wait(held, [&] { return !all_.empty(); });
        return take();
    }
    std::optional<T> pop_until(clock::time_point deadline) {
        std::unique_lock held(door_);
        if (!some_.wait_until(held, deadline, [&] { return !all_.empty(); })) return std::nullopt;
        return take();
    }

private:
    T take() {
        T value = std::move(all_.front());
        all_.pop_front();
        room_.notify_one();
        return value;
    }
    std::size_t limit_;
    std::mutex door_;
    std::condition_variable some_, room_;
    std::deque<T> all_;
};

void spawned(int n) {
    for (int i = 0; i < n; ++i) std::thread([] {}).join();
}

void push_pop(int n) {
    queue<int> line(64);
    for (int i = 0; i < n; ++i) line.push(i), line.pop();
}

/// One element to and fro between two threads, so that every pop waits.
void handover(int n, bool timed) {
    queue<int> there(1), back(1);
    auto const pop = [&](queue<int>& from) {
        return timed ? from.pop_until(clock::now() + std::chrono::hours(1)).value_or(-1)
                     : from.pop();
    };
    std::thread echo([&] {
        for (int value; (value = pop(there)) >= 0;) back.push(value);
    });
    for (int i = 0; i < n / 2; ++i) there.push(i), pop(back);
    there.push(-1);
    echo.join();
}

void offloads(int n) {
    queue<std::packaged_task<int()>> jobs(64);
    std::array<std::thread, 2> workers;
    for (auto& one : workers)
        one = std::thread([&] {
            for (auto job = jobs.pop(); job.valid(); job = jobs.pop()) job();
        });
    for (int i = 0; i < n; ++i) {
        std::packaged_task<int()> job([] { return 1; });
        auto answer = job.get_future();
        jobs.push(std::move(job));
        answer.get();
    }
    for (std::size_t i = 0; i < workers.size(); ++i) jobs.push({});
    for (auto& one : workers) one.join();
}

double resident_bytes() {
    double whole = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> whole >> resident;
    return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

/// What a waiting thread takes in user space; the kernel has its stack of 16 KiB and more besides.
double idle_thread() {
    constexpr int n = 2000;
    std::mutex door;
    std::condition_variable leave;
    bool over = false;
    std::vector<std::thread> all;
    all.reserve(n);
    auto const before = resident_bytes();
    for (int i = 0; i < n; ++i)
        all.emplace_back([&] {
            std::unique_lock held(door);
            leave.wait_for(held, std::chrono::hours(1), [&] { return over; });
        });
    auto const each = (resident_bytes() - before) / n;
    {
        std::lock_guard const held(door);
        over = true;
    }
    leave.notify_all();
    for (auto& one : all) one.join();
    return each;
}

} // namespace

int main() {
    constexpr int n = 20'000;
    say("a task spawned and joined", nanoseconds(n / 10, spawned), "ns");
    auto const bare = nanoseconds(n, [](int k) { handover(k, false); });
    say("a wait that is woken (queue hand-over)", bare, "ns");
    say("a deadline armed and cancelled in such a wait",
        nanoseconds(n, [](int k) { handover(k, true); }) - bare, "ns");
    say("queue push + pop, nobody waits", nanoseconds(n * 10, push_pop), "ns");
    say("an offload round trip", nanoseconds(n / 4, offloads) / 1000, "us");
    say("an idle child of a task_group, with its deadline", idle_thread(), "B");
}
