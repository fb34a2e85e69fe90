#include <trawl/backup.hpp>

#include "backup/restoring.hpp"
#include "backup/steps.hpp"

namespace trawl::backup {

awaitable<restore_report> restore(offload_pool& cpu, restore_options configuration) {
    auto* const watch = configuration.watch;
    auto const where = "backup " + configuration.archives.string();
    auto work = std::make_unique<detail::restoring>(std::move(configuration));
    restore_report done;
    auto body = [&](detail::restoring& all) -> awaitable<> {
        co_await detail::step_in_parallel(cpu, all, watch);
        done = std::move(all).result();
    };
    co_await detail::with_work(cpu, work, body);
    detail::warn(watch, where, done.notes);
    detail::warn(watch, where, done.errors);
    co_return done;
}

} // namespace trawl::backup
