#pragma once

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

// What the threaded programs share: who runs the work of N items, and how they are told.
//
//     PROGRAM [--threads per-host|N] ...
//
// "per-host" (the default) is a thread for each item, all at once; N is a pool of so many that take the next item each.

namespace bench {

/// nullopt: a thread for each item.
using pool_size = std::optional<std::size_t>;

/// Takes "--threads per-host|N" from the front of the words. Ends the program when N is no number above 0.
inline pool_size take_threads(std::vector<std::string>& words) {
    if (words.size() < 2 || words[0] != "--threads") return std::nullopt;
    auto const value = words[1];
    words.erase(words.begin(), words.begin() + 2);
    if (value == "per-host") return std::nullopt;
    char* end = nullptr;
    auto const threads = std::strtoul(value.c_str(), &end, 10);
    if (*end == '\0' && threads > 0) return threads;
    std::fprintf(stderr, "--threads %s: not \"per-host\" or a number above 0\n", value.c_str());
    std::exit(2);
}

inline std::vector<std::string> read_lines() {
    std::vector<std::string> all;
    for (std::string line; std::getline(std::cin, line);) all.push_back(line);
    return all;
}

/// Lines of several threads, each whole.
class output {
public:
    void line(std::string const& text) {
        std::lock_guard const one(door_);
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::fputc('\n', stdout);
    }

private:
    std::mutex door_;
};

/// Runs work(i) for i < count on threads as `size` says and returns when all have ended. When the system gives no more
/// threads, those that run go on, and the rest is given to no_thread(i, why).
inline void run_crowd(pool_size size, std::size_t count,
                      std::function<void(std::size_t)> const& work,
                      std::function<void(std::size_t, std::string const&)> const& no_thread) {
    std::vector<std::thread> threads;
    std::atomic<std::size_t> next = 0;
    auto const take_turns = [&] {
        for (std::size_t i; (i = next++) < count;) work(i);
    };
    std::size_t const wanted = size ? std::min(*size, count) : count;
    threads.reserve(wanted);
    std::string refusal;
    while (threads.size() < wanted && refusal.empty()) {
        try {
            if (size)
                threads.emplace_back(take_turns);
            else
                threads.emplace_back([&work, i = threads.size()] { work(i); });
        } catch (std::system_error const& why) {
            refusal = why.code().message();
        }
    }
    auto const started = threads.size();
    for (auto& one : threads) one.join();
    if (size && started > 0) return; // fewer threads did it all
    for (auto i = started; i < count; ++i) no_thread(i, refusal);
}

} // namespace bench
