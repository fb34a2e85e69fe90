#include <trawl/backup.hpp>

#include "backup/restoring.hpp"

#include <asio/this_coro.hpp>

#include <exception>
#include <memory>

namespace trawl::backup {

namespace {

awaitable<> carry_out(offload_pool& cpu, detail::restoring& work, observer* watch) {
    auto lane = cpu.make_strand();
    auto prepare = [&work](std::stop_token stop) { work.prepare(stop); };
    co_await cpu.run(lane, prepare);
    auto advance = [&work](std::stop_token stop) { return work.advance(stop); };
    for (bool more = true; more;) {
        more = co_await cpu.run(lane, advance);
        if (watch) watch->progress("bytes", work.bytes_done(), work.bytes_wanted());
    }
}

} // namespace

awaitable<restore_report> restore(offload_pool& cpu, restore_options configuration) {
    auto* const watch = configuration.watch;
    auto const where = "backup " + configuration.archives.string();
    auto work = std::make_unique<detail::restoring>(std::move(configuration));
    std::exception_ptr failure;
    try {
        co_await carry_out(cpu, *work, watch);
    } catch (...) {
        failure = std::current_exception();
    }
    restore_report done;
    if (!failure) done = std::move(*work).result();
    // The manifest may have entries by the hundred thousand: not to be freed on the loop.
    co_await asio::this_coro::throw_if_cancelled(false);
    auto dispose = [&work] { work.reset(); };
    co_await shielded(cpu.run(dispose));
    co_await asio::this_coro::throw_if_cancelled(true);
    if (failure) std::rethrow_exception(failure);
    if (watch)
        for (auto const& p : done.errors)
            watch->log(severity::warning, where, p.path + ": " + p.message);
    co_return done;
}

} // namespace trawl::backup
