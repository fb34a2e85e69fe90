#include "cli/backup_verb.hpp"

#include <CLI/Option.hpp>

#include <boost/json/value_from.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

namespace trawl::cli {

namespace {

struct words : backup_words {
    std::string live;
};

boost::json::array damage_of(std::vector<backup::damaged_file> const& damaged) {
    boost::json::array list;
    for (auto const& lost : damaged)
        list.push_back(boost::json::object{{"path", json::text(lost.path)},
                                           {"archive", json::text(lost.archive)},
                                           {"why", lost.why},
                                           {"manifests", boost::json::value_from(lost.manifests)}});
    return list;
}

void show(environment& here, backup::verify_report const& seen, std::string const& archives,
          time_point began) {
    if (here.words().json) {
        here.out().record(json::record("verify", "backup")
                              .field("target", archives)
                              .field("manifests", seen.manifests)
                              .field("archives", seen.archives)
                              .field("files", seen.files)
                              .field("bytes", seen.bytes)
                              .field("errors", errors_of(seen.errors))
                              .field("damaged", damage_of(seen.damaged))
                              .field("notes", errors_of(seen.notes))
                              .field("live_same", seen.live_same)
                              .field("live_changed", seen.live_changed)
                              .field("live_errors", errors_of(seen.live_errors)));
        return;
    }
    for (auto const& lost : seen.damaged)
        here.out().line(
            escaped(fmt::format("DAMAGED: {} in {}: {}; needed by {}", lost.path, lost.archive,
                                lost.why, fmt::join(lost.manifests, ", "))));
    auto const seconds = std::chrono::duration<double>(clock::now() - began).count();
    here.out().line(escaped(fmt::format(
        "{}: {} manifests and {} archives are whole, {} files, {}, {:.2f} s{}", archives,
        seen.manifests, seen.archives, seen.files, size_text(seen.bytes), seconds,
        seen.errors.empty() ? ""
                            : fmt::format(", {} errors, {} files damaged", seen.errors.size(),
                                          seen.damaged.size()))));
}

awaitable<int> check(environment& here, backup::verify_options chosen) {
    auto const began = clock::now();
    bool const live = chosen.live.has_value();
    auto const archives = chosen.archives.string();
    auto const seen = co_await backup::verify(here.cpu(), std::move(chosen));
    show(here, seen, archives, began);
    if (live && !here.words().json)
        here.out().line(fmt::format("live tree: {} files as in the backup, {} changed since, {} "
                                    "errors",
                                    seen.live_same, seen.live_changed, seen.live_errors.size()));
    bool const whole = seen.errors.empty() && seen.damaged.empty() && seen.live_errors.empty();
    co_return whole ? all_well : corrupt;
}

} // namespace

void add_backup_verify(CLI::App& backup, action& chosen) {
    auto const w = std::make_shared<words>();
    auto* verb = backup.add_subcommand("verify", "Read all archives and manifests in DEST and name "
                                                 "what is damaged");
    verb->fallthrough();
    add_archives(*verb, *w);
    verb->add_option("--live", w->live,
                     "Compare the files of this tree with the latest state, too");
    verb->callback([w, &chosen] {
        chosen = [w](environment& here) {
            backup::verify_options o;
            o.archives = w->archives;
            o.name = w->name;
            if (!w->live.empty()) o.live = w->live;
            o.watch = &here.log();
            return here.run(
                with_summary(here, at_place(here, *w, with_store(here, std::move(o), check))));
        };
    });
}

} // namespace trawl::cli
