#include <trawl/backup.hpp>

#include "backup/pruning.hpp"
#include "backup/steps.hpp"

namespace trawl::backup {

awaitable<prune_report> prune(offload_pool& cpu, prune_options configuration) {
    auto* const watch = configuration.watch;
    auto work = std::make_unique<detail::pruning>(std::move(configuration));
    prune_report done;
    auto body = [&](detail::pruning& all) -> awaitable<> {
        co_await detail::step_through(cpu, all, watch);
        done = std::move(all).result();
    };
    co_await detail::with_work(cpu, work, body);
    co_return done;
}

} // namespace trawl::backup
