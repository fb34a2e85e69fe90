#include "cli/backup_verb.hpp"

#include <CLI/Option.hpp>

#include <fmt/format.h>

#include <array>
#include <memory>
#include <string_view>

namespace trawl::cli {

namespace {

struct words : backup_words {
    std::string from, to;
    backup::diff_options more; ///< what needs no translation
};

void show(environment& here, backup::change const& c) {
    constexpr std::array<std::string_view, 4> names{"added", "removed", "changed", "metadata"};
    auto const name = names[static_cast<std::size_t>(c.what)];
    if (here.words().json)
        here.out().record(json::record("change", "backup")
                              .field("path", c.path)
                              .field("change", name)
                              .field("kind", std::string_view(&c.type, 1))
                              .field("facts", c.facts));
    else
        here.out().line(escaped(fmt::format("{:<8} {}{}", name, c.path.empty() ? "." : c.path,
                                            c.facts.empty() ? "" : " (" + c.facts + ")")));
}

awaitable<int> compare(environment& here, backup::diff_options chosen) {
    auto each = [&here](backup::change const& c) { show(here, c); };
    auto const done = co_await backup::diff(here.cpu(), std::move(chosen), each);
    if (here.words().json)
        here.out().record(json::record("diff", "backup")
                              .field("from", done.from)
                              .field("to", done.to)
                              .field("added", done.added)
                              .field("removed", done.removed)
                              .field("changed", done.changed)
                              .field("metadata", done.metadata)
                              .field("errors", errors_of(done.errors)));
    else
        here.out().line(
            escaped(fmt::format("{} -> {}: {} added, {} removed, {} changed, {} in metadata only",
                                done.from, done.to.empty() ? "the live tree" : done.to, done.added,
                                done.removed, done.changed, done.metadata)));
    for (auto const& p : done.errors)
        here.log().log(severity::warning, "backup diff", p.path + ": " + p.message);
    co_return done.errors.empty() ? all_well : backup_incomplete;
}

} // namespace

void add_backup_diff(CLI::App& backup, action& chosen) {
    auto const w = std::make_shared<words>();
    auto* verb = backup.add_subcommand(
        "diff", "What is different between two states, or a state and the live tree");
    verb->fallthrough();
    add_archives(*verb, *w);
    verb->add_option("FROM", w->from, "The state at this date, as --at takes it; default: latest");
    verb->add_option("TO", w->to, "Against the state at this date; default: the live tree");
    verb->add_option("--live", w->more.live, "The live tree; default: where it was backed up");
    verb->add_flag("--rehash", w->more.rehash,
                   "Read all files of the live tree, also those that look unchanged");
    verb->add_option("--path", w->more.paths, "Only this, with all beneath, or a pattern")
        ->allow_extra_args(false);
    add_excludes(*verb, w->more);
    verb->callback([w, &chosen] {
        chosen = [w](environment& here) {
            auto o = w->more;
            o.archives = w->archives;
            o.name = w->name;
            if (!w->from.empty()) o.from = moment_of(w->from, "FROM");
            if (!w->to.empty()) o.to = moment_of(w->to, "TO");
            o.watch = &here.log();
            return here.run(
                with_summary(here, at_place(here, *w, with_store(here, std::move(o), compare))));
        };
    });
}

} // namespace trawl::cli
