#include <trawl/backup.hpp>

#include "backup/differing.hpp"
#include "backup/steps.hpp"

namespace trawl::backup {

awaitable<diff_report> diff(offload_pool& cpu, diff_options configuration,
                            std::function<void(change const&)> each) {
    auto* const watch = configuration.watch;
    auto work = std::make_unique<detail::differing>(std::move(configuration));
    diff_report done;
    auto body = [&](detail::differing& all) -> awaitable<> {
        co_await detail::step_in_parallel(cpu, all, watch);
        auto slice = [&all] { return all.slice(); };
        for (;;) {
            auto const found = co_await cpu.run(slice);
            if (found.empty()) break;
            for (auto const& c : found) each(c);
        }
        done = std::move(all).result();
    };
    co_await detail::with_work(cpu, work, body);
    co_return done;
}

} // namespace trawl::backup
