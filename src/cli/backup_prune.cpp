#include "cli/backup_verb.hpp"

#include <CLI/Option.hpp>

#include <boost/json/value_from.hpp>
#include <fmt/format.h>

#include <memory>

namespace trawl::cli {

namespace {

struct words : backup_words {
    backup::prune_rules rules;
    bool dry_run = false;
};

void show(environment& here, backup::prune_report const& done, std::string const& archives,
          bool dry_run) {
    if (here.words().json) {
        boost::json::array kept;
        for (auto const& k : done.kept)
            kept.push_back(
                boost::json::object{{"manifest", json::text(k.path)}, {"why", k.message}});
        here.out().record(json::record("prune", "backup")
                              .field("target", archives)
                              .field("kept", kept)
                              .field("removed", boost::json::value_from(done.removed))
                              .field("bytes", done.bytes)
                              .field("dry_run", dry_run));
        return;
    }
    for (auto const& k : done.kept)
        here.out().line(escaped(fmt::format("keep    {} ({})", k.path, k.message)));
    for (auto const& file : done.removed)
        here.out().line(escaped(fmt::format("{} {}", dry_run ? "would remove" : "removed", file)));
    here.out().line(escaped(
        fmt::format("{}: {} kept, {} {}, {} freed", archives, done.kept.size(), done.removed.size(),
                    dry_run ? "would be removed" : "removed", size_text(done.bytes))));
}

awaitable<int> remove_old(environment& here, backup::prune_options chosen) {
    auto const archives = chosen.archives.string();
    bool const dry_run = chosen.dry_run;
    auto const done = co_await backup::prune(here.cpu(), std::move(chosen));
    show(here, done, archives, dry_run);
    co_return all_well;
}

} // namespace

void add_backup_prune(CLI::App& backup, action& chosen) {
    auto const w = std::make_shared<words>();
    auto* verb = backup.add_subcommand(
        "prune", "Remove old backups; what a kept one stands on, and the newest, always stay");
    verb->fallthrough();
    add_archives(*verb, *w);
    verb->add_option("--keep-last", w->rules.keep_last, "The N newest");
    verb->add_option("--keep-daily", w->rules.keep_daily,
                     "The newest of each of the last N days that have one");
    verb->add_option("--keep-weekly", w->rules.keep_weekly, "The same for weeks, from Monday");
    verb->add_option("--keep-monthly", w->rules.keep_monthly, "The same for months");
    verb->add_flag("-n,--dry-run", w->dry_run, "Only say what would be removed");
    verb->callback([w, &chosen] {
        chosen = [w](environment& here) {
            backup::prune_options o;
            o.archives = w->archives;
            o.name = w->name;
            o.rules = w->rules;
            o.dry_run = w->dry_run;
            o.watch = &here.log();
            return here.run(
                with_summary(here, at_place(here, *w, with_store(here, std::move(o), remove_old))));
        };
    });
}

} // namespace trawl::cli
