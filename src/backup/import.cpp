#include <trawl/backup_extract.hpp>
#include <trawl/backup_import.hpp>

#include "backup/importing.hpp"
#include "backup/making.hpp"
#include "backup/steps.hpp"

namespace trawl::backup {

awaitable<import_report> import_md5(offload_pool& cpu, import_options configuration) {
    import_report done;
    auto work = std::make_unique<detail::importing>(configuration);
    auto body = [&](detail::importing& old) -> awaitable<> {
        auto prepare = [&old] { old.prepare(); };
        co_await cpu.run(prepare);
        extract_options from;
        from.archives = configuration.archives;
        from.target = old.folder();
        from.watch = configuration.watch;
        auto const extracted = co_await extract(cpu, std::move(from));
        done.errors = extracted.errors;
        auto sift = [&](std::stop_token stop) { old.sift(stop, done); };
        co_await cpu.run(sift);
        options to;
        to.source = old.tree();
        to.destination = configuration.destination;
        to.name = configuration.name.empty() ? configuration.source.filename().string()
                                             : configuration.name;
        to.what = kind::full;
        to.hash = hash::md5;
        to.level = configuration.level;
        to.zstd = configuration.zstd;
        to.ignore_file.clear();
        to.watch = configuration.watch;
        to.now = [when = old.when()] { return when; };
        auto const root = std::filesystem::absolute(configuration.source).lexically_normal();
        done.made = co_await detail::make(cpu, std::move(to), root.string());
    };
    co_await detail::with_work(cpu, work, body);
    detail::warn(configuration.watch, "backup import", done.errors);
    co_return done;
}

} // namespace trawl::backup
