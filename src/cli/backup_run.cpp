#include "cli/backup_verb.hpp"

#include <CLI/Option.hpp>

#include <fmt/format.h>

#include <map>
#include <memory>

namespace trawl::cli {

namespace {

/// What the command line said.
struct words {
    std::string source, archives, name;
    std::string hash = "sha256", level = "default", full_on = "mon";
    bool full = false, incremental = false, zstd = false;
};

void show(environment& here, backup::report const& made, time_point began) {
    auto const word = backup::word(made.made);
    if (here.words().json) {
        here.out().record(json::record("archive", "backup")
                              .field("kind", word)
                              .field("file", made.file.string())
                              .field("manifest", made.manifest.string())
                              .field("entries", made.entries)
                              .field("bytes_in", made.bytes_in)
                              .field("bytes_out", made.bytes_out)
                              .field("errors", errors_of(made.errors))
                              .field("added", made.added)
                              .field("changed", made.changed)
                              .field("metadata_only", made.metadata_only)
                              .field("deleted", made.deleted)
                              .field("unchanged", made.unchanged)
                              .field("notes", errors_of(made.notes)));
        return;
    }
    auto const seconds = std::chrono::duration<double>(clock::now() - began).count();
    here.out().line(escaped(fmt::format(
        "{}: {}, {} entries, {} in, {} out, {:.2f} s{}", made.file.string(), word, made.entries,
        size_text(made.bytes_in), size_text(made.bytes_out), seconds,
        made.errors.empty() ? "" : fmt::format(", {} could not be read", made.errors.size()))));
}

awaitable<int> make(environment& here, backup::options chosen) {
    auto const began = clock::now();
    auto const made = co_await backup::run(here.cpu(), std::move(chosen));
    show(here, made, began);
    co_return made.errors.empty() ? all_well : backup_incomplete;
}

std::map<std::string, backup::hash> const hashes{{"sha256", backup::hash::sha256},
                                                 {"md5", backup::hash::md5}};
std::map<std::string, backup::level> const levels{{"fast", backup::level::fast},
                                                  {"default", backup::level::standard},
                                                  {"best", backup::level::best}};
std::map<std::string, unsigned> const weekdays{{"sun", 0}, {"mon", 1}, {"tue", 2}, {"wed", 3},
                                               {"thu", 4}, {"fri", 5}, {"sat", 6}};

} // namespace

void add_backup_run(CLI::App& backup, action& chosen) {
    auto const w = std::make_shared<words>();
    auto* run =
        backup.add_subcommand("run", "Back SOURCE up into DEST: full on Mondays or without a "
                                     "base, else what changed");
    run->fallthrough();
    run->add_option("SOURCE", w->source, "The folder to back up")->required();
    run->add_option("DEST", w->archives, "The folder for the archives")->required();
    run->add_option("--name", w->name, "NAME of the files; default: SOURCE's last component");
    auto* full = run->add_flag("--full", w->full, "Everything, whatever the day");
    run->add_flag("--incr", w->incremental, "Only what changed")->excludes(full);
    run->add_option("--hash", w->hash, "sha256 (default) or md5")->check(CLI::IsMember(&hashes));
    run->add_option("--level", w->level, "fast, default or best")->check(CLI::IsMember(&levels));
    run->add_flag("--zstd", w->zstd, "Zstandard (.tar.zst) instead of gzip");
    run->add_option("--full-on", w->full_on, "Weekday of the full one: mon (default), tue, ...")
        ->check(CLI::IsMember(&weekdays));
    run->callback([w, &chosen] {
        chosen = [w](environment& here) {
            backup::options o;
            o.source = w->source;
            o.destination = w->archives;
            o.name = w->name;
            if (w->full) o.what = backup::kind::full;
            if (w->incremental) o.what = backup::kind::incremental;
            o.hash = hashes.at(w->hash);
            o.level = levels.at(w->level);
            o.full_on = std::chrono::weekday(weekdays.at(w->full_on));
            o.zstd = w->zstd;
            o.watch = &here.log();
            return here.run(with_summary(here, make(here, std::move(o))));
        };
    });
}

} // namespace trawl::cli
