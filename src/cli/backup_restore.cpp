#include "cli/backup_verb.hpp"

#include <CLI/Option.hpp>

#include <fmt/format.h>

#include <memory>

namespace trawl::cli {

namespace {

/// What the command line said.
struct words : backup_words {
    std::string target;
    std::vector<std::string> paths;
};

void show(environment& here, backup::restore_report const& done, std::string const& target,
          time_point began) {
    if (here.words().json) {
        here.out().record(json::record("restore", "backup")
                              .field("target", target)
                              .field("manifest", done.manifest.string())
                              .field("entries", done.entries)
                              .field("bytes", done.bytes)
                              .field("errors", errors_of(done.errors)));
        return;
    }
    auto const seconds = std::chrono::duration<double>(clock::now() - began).count();
    here.out().line(escaped(
        fmt::format("{}: restored from {}, {} entries, {}, {:.2f} s{}", target,
                    done.manifest.string(), done.entries, size_text(done.bytes), seconds,
                    done.errors.empty() ? "" : fmt::format(", {} errors", done.errors.size()))));
}

awaitable<int> put_back(environment& here, backup::restore_options chosen) {
    auto const began = clock::now();
    auto const target = chosen.target.string();
    auto const done = co_await backup::restore(here.cpu(), std::move(chosen));
    show(here, done, target, began);
    if (done.corrupt) co_return corrupt;
    co_return done.errors.empty() ? all_well : backup_incomplete;
}

} // namespace

void add_backup_restore(CLI::App& backup, action& chosen) {
    auto const w = std::make_shared<words>();
    auto* verb = backup.add_subcommand("restore", "Put a state from DEST back into TARGET");
    verb->fallthrough();
    add_archives(*verb, *w);
    verb->add_option("TARGET", w->target, "The folder to fill, new or existing")->required();
    verb->add_option("PATH", w->paths,
                     "Only these, relative to the source, with all beneath; or patterns: "
                     "'etc/*.conf', '**/notes.txt'");
    add_at(*verb, *w);
    verb->callback([w, &chosen] {
        chosen = [w](environment& here) {
            backup::restore_options o;
            o.archives = w->archives;
            o.target = w->target;
            o.name = w->name;
            o.paths = w->paths;
            o.at = w->moment();
            o.watch = &here.log();
            return here.run(
                with_summary(here, at_place(here, *w, with_store(here, std::move(o), put_back))));
        };
    });
}

} // namespace trawl::cli
