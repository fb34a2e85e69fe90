#pragma once

#include <trawl/async.hpp>
#include <trawl/backup.hpp>
#include <trawl/offload_pool.hpp>

#include <trawl/task_group.hpp>

#include <asio/this_coro.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

// What the coroutines of this module have in common: plain work that runs as pool jobs.
namespace trawl::backup::detail {

/// prepare, then advance until it says false; progress after each slice. `work` outlives the call.
template <class Work>
awaitable<> step_through(offload_pool& cpu, Work& work, observer* watch) {
    auto const lane = cpu.make_strand();
    auto prepare = [&work](std::stop_token stop) { work.prepare(stop); };
    co_await cpu.run(lane, prepare);
    auto advance = [&work](std::stop_token stop) { return work.advance(stop); };
    for (bool more = true; more;) {
        more = co_await cpu.run(lane, advance);
        if (watch) watch->progress("bytes", work.bytes_done(), work.bytes_wanted());
    }
}

/// A lane of step_in_parallel: a job after the other until none is left.
template <class Work>
awaitable<> walk_lane(offload_pool& cpu, Work& work, observer* watch) {
    auto advance = [&work](std::stop_token stop) { return work.advance(stop); };
    while (co_await cpu.run(advance))
        if (watch) watch->progress("bytes", work.bytes_done(), work.bytes_wanted());
}

/// prepare, then phase by phase: advance, on as many threads as the pool has, until it says false
/// to all of them, then next_phase, until that says false. `work` outlives the call.
template <class Work>
awaitable<> step_in_parallel(offload_pool& cpu, Work& work, observer* watch) {
    auto prepare = [&work](std::stop_token stop) { work.prepare(stop); };
    co_await cpu.run(prepare);
    auto const lanes = cpu.stats().threads;
    std::function<awaitable<>(task_group&)> body = [&](task_group& group) -> awaitable<> {
        for (std::size_t i = 0; i < lanes; ++i) group.spawn(walk_lane(cpu, work, watch));
        co_return;
    };
    auto next_phase = [&work] { return work.next_phase(); };
    for (bool more = true; more;) {
        co_await with_group(body);
        more = co_await cpu.run(next_phase);
    }
}

/// Awaits body(*work) and destroys `work` on the pool, whatever came of it: entries by the hundred
/// thousand and perhaps a large temporary file are not to be freed on the loop. Rethrows what
/// `body` threw.
template <class Work, class Body>
awaitable<> with_work(offload_pool& cpu, std::unique_ptr<Work>& work, Body& body) {
    std::exception_ptr failure;
    try {
        co_await body(*work);
    } catch (...) {
        failure = std::current_exception();
    }
    bool const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    auto free = [&work] { work.reset(); };
    co_await shielded(cpu.run(free));
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (failure) std::rethrow_exception(failure);
}

inline void warn(observer* watch, std::string const& where, std::vector<problem> const& problems) {
    if (!watch) return;
    for (auto const& p : problems)
        watch->log(severity::warning, where,
                   p.path.empty() ? p.message : p.path + ": " + p.message);
}

} // namespace trawl::backup::detail
