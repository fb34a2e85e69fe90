#include <trawl/backup.hpp>

#include "backup/finding.hpp"
#include "backup/steps.hpp"

namespace trawl::backup {

awaitable<cat_report> cat(offload_pool& cpu, cat_options configuration,
                          std::function<void(std::string_view)> take) {
    cat_report done;
    auto work = std::make_unique<detail::finding>(std::move(configuration));
    auto body = [&](detail::finding& file) -> awaitable<> {
        auto const began = clock::now();
        auto find = [&file](std::stop_token stop) { file.find(stop); };
        co_await cpu.run(find);
        auto const found = clock::now();
        auto read = [&file, &take](std::stop_token stop) { file.read(stop, take); };
        co_await cpu.run(read);
        done.searching = found - began;
        done.reading = clock::now() - found;
        done.manifest = file.manifest_file();
        done.bytes = file.bytes();
    };
    co_await detail::with_work(cpu, work, body);
    co_return done;
}

} // namespace trawl::backup
