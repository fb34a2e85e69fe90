#include <trawl/backup_extract.hpp>

#include "backup/extracting.hpp"
#include "backup/steps.hpp"

namespace trawl::backup {

awaitable<extract_report> extract(offload_pool& cpu, extract_options configuration) {
    auto* const watch = configuration.watch;
    auto const where = "extract to " + configuration.target.string();
    auto work = std::make_unique<detail::extracting>(std::move(configuration));
    extract_report done;
    auto body = [&](detail::extracting& all) -> awaitable<> {
        co_await detail::step_through(cpu, all, watch);
        done = std::move(all).result();
    };
    co_await detail::with_work(cpu, work, body);
    detail::warn(watch, where, done.notes);
    detail::warn(watch, where, done.errors);
    co_return done;
}

} // namespace trawl::backup
