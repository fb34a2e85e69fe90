#include "cli/backup_verb.hpp"

#include <CLI/Option.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <memory>

#include <unistd.h>

namespace trawl::cli {

namespace {

struct words : backup_words {
    std::string path;
};

/// To stdout as it is; on a thread of the pool.
void write_out(std::string_view bytes) {
    while (!bytes.empty()) {
        auto const n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw std::system_error(errno, std::system_category(), "stdout");
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

/// No summary and no records: stdout is the file's.
awaitable<int> hand_out(environment& here, backup::cat_options chosen) {
    int code = some_failed;
    try {
        auto const done = co_await backup::cat(here.cpu(), std::move(chosen), write_out);
        here.log().log(
            severity::info, done.manifest.string(),
            fmt::format("found after {:.2f} ms, {} in another {:.2f} ms",
                        std::chrono::duration<double, std::milli>(done.searching).count(),
                        size_text(done.bytes),
                        std::chrono::duration<double, std::milli>(done.reading).count()));
        code = all_well;
    } catch (std::system_error const& failure) {
        if (!is_cancelled(failure)) here.log().log(severity::error, "", failure.what());
        code = exit_code_of(failure.code());
    }
    co_return here.outcome(code);
}

} // namespace

void add_backup_cat(CLI::App& backup, action& chosen) {
    auto const w = std::make_shared<words>();
    auto* verb = backup.add_subcommand("cat", "Write one file of a backup to stdout");
    verb->fallthrough();
    add_archives(*verb, *w);
    verb->add_option("PATH", w->path, "The file, relative to the source")->required();
    add_at(*verb, *w);
    verb->callback([w, &chosen] {
        chosen = [w](environment& here) {
            backup::cat_options o;
            o.archives = w->archives;
            o.name = w->name;
            o.path = w->path;
            o.at = w->moment();
            return here.run(at_place(here, *w, with_store(here, std::move(o), hand_out)));
        };
    });
}

} // namespace trawl::cli
