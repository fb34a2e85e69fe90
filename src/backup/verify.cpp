#include <trawl/backup.hpp>

#include "backup/steps.hpp"
#include "backup/verifying.hpp"

namespace trawl::backup {

awaitable<verify_report> verify(offload_pool& cpu, verify_options configuration) {
    auto* const watch = configuration.watch;
    auto const where = "backup " + configuration.archives.string();
    auto work = std::make_unique<detail::verifying>(std::move(configuration));
    verify_report seen;
    auto body = [&](detail::verifying& all) -> awaitable<> {
        co_await detail::step_in_parallel(cpu, all, watch);
        seen = std::move(all).result();
    };
    co_await detail::with_work(cpu, work, body);
    detail::warn(watch, where, seen.notes);
    detail::warn(watch, where, seen.errors);
    detail::warn(watch, "the live tree", seen.live_errors);
    co_return seen;
}

} // namespace trawl::backup
