#include "cli/backup_verb.hpp"

#include <CLI/Option.hpp>

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <memory>
#include <string_view>

namespace trawl::cli {

namespace {

/// What the command line said.
struct words : backup_words {
    backup::options to; ///< what needs no translation
    std::string hash = "sha256", level = "default", full_on = "mon", between = "incr";
    std::string rehash_part;
    unsigned full_every = 0;
    bool full = false, incremental = false, differential = false, rehash = false;
};

void show(environment& here, backup::report const& made, time_point began) {
    auto const word = backup::word(made.made);
    if (here.words().json) {
        here.out().record(json::record("archive", "backup")
                              .field("kind", word)
                              .field("reason", made.reason)
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
                              .field("renamed", made.renamed)
                              .field("appended", made.appended)
                              .field("rehashed", made.rehashed)
                              .field("excluded", made.excluded)
                              .field("notes", errors_of(made.notes)));
        return;
    }
    auto const seconds = std::chrono::duration<double>(clock::now() - began).count();
    here.out().line(escaped(fmt::format(
        "{}: {} ({}), {} entries, {} in, {} out, {:.2f} s{}", made.file.string(), word, made.reason,
        made.entries, size_text(made.bytes_in), size_text(made.bytes_out), seconds,
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
                                               {"thu", 4}, {"fri", 5}, {"sat", 6}, {"never", 7}};
std::map<std::string, backup::kind> const kinds{{"incr", backup::kind::incremental},
                                                {"diff", backup::kind::differential}};

/// "3/30": the third of thirty parts; "30": the one whose turn it is.
void read_part(std::string const& text, backup::options& into) {
    auto const number = [&](std::string_view digits) {
        std::uint32_t value = 0;
        auto const [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        bool const whole = ec == std::errc() && end == digits.data() + digits.size();
        return whole ? value : 0;
    };
    auto const slash = text.find('/');
    bool const by_day = slash == std::string::npos;
    into.rehash_parts = number(std::string_view(text).substr(by_day ? 0 : slash + 1));
    into.rehash_part = by_day ? 0 : number(std::string_view(text).substr(0, slash));
    if (into.rehash_parts == 0 || into.rehash_part > into.rehash_parts ||
        (!by_day && into.rehash_part == 0))
        throw usage_error("--rehash-part: " + text + " is neither N nor I/N with I from 1 to N");
}

backup::options options_of(words const& w) {
    auto o = w.to;
    if (w.full) o.what = backup::kind::full;
    if (w.incremental) o.what = backup::kind::incremental;
    if (w.differential) o.what = backup::kind::differential;
    o.between = kinds.at(w.between);
    o.hash = hashes.at(w.hash);
    o.level = levels.at(w.level);
    o.full_on = std::nullopt;
    if (w.full_on != "never") o.full_on = std::chrono::weekday(weekdays.at(w.full_on));
    o.full_every = std::chrono::days(w.full_every);
    if (w.rehash) o.rehash_part = o.rehash_parts = 1;
    if (!w.rehash_part.empty()) read_part(w.rehash_part, o);
    return o;
}

void add_kind(CLI::App& run, words& w) {
    auto* full = run.add_flag("--full", w.full, "Everything, whatever the day");
    auto* incremental =
        run.add_flag("--incr", w.incremental, "What changed since the last backup")->excludes(full);
    run.add_flag("--diff", w.differential, "What changed since the last full one")
        ->excludes(full)
        ->excludes(incremental);
    run.add_option("--full-on", w.full_on,
                   "Weekday of the full one: mon (default), tue, ..., or never; when it was "
                   "missed, the next run is full")
        ->check(CLI::IsMember(&weekdays));
    run.add_option("--full-every", w.full_every, "Full when the last one is N days old")
        ->check(CLI::Range(1u, 36'500u));
    run.add_option("--full-after", w.to.full_after, "Full after N backups on the last one")
        ->check(CLI::PositiveNumber);
    run.add_option("--full-over", w.to.full_over_percent,
                   "Full when the backups on the last one are more than PERCENT of its size")
        ->check(CLI::PositiveNumber);
    run.add_option("--between", w.between, "What else is made: incr (default) or diff")
        ->check(CLI::IsMember(&kinds));
}

} // namespace

void add_backup_run(CLI::App& backup, action& chosen) {
    auto const w = std::make_shared<words>();
    auto* run =
        backup.add_subcommand("run", "Back SOURCE up into DEST: full on Mondays or without a "
                                     "base, else what changed");
    run->fallthrough();
    run->add_option("SOURCE", w->to.source, "The folder to back up")->required();
    add_place(*run, *w);
    run->add_option("--name", w->to.name, "NAME of the files; default: SOURCE's last component");
    add_kind(*run, *w);
    run->add_option("--hash", w->hash, "sha256 (default) or md5")->check(CLI::IsMember(&hashes));
    run->add_option("--level", w->level, "fast, default or best")->check(CLI::IsMember(&levels));
    run->add_option("--encrypt", w->key,
                    "Encrypt archives and manifests with KEYFILE, of trawl backup keygen");
    run->add_flag("--zstd", w->to.zstd, "Zstandard (.tar.zst) instead of gzip");
    run->add_flag("--append-delta", w->to.append_delta,
                  "Of files that grew at their end an increment has the tail only, for tar as "
                  "PATH.trawl-tail@OFFSET");
    auto* all =
        run->add_flag("--rehash", w->rehash, "Read every file, also those that look unchanged");
    run->add_option(
           "--rehash-part", w->rehash_part,
           "I/N: read one part of N of those that look unchanged, to find rot; N: the part "
           "whose turn it is by the day")
        ->excludes(all);
    add_excludes(*run, w->to);
    run->callback([w, &chosen] {
        chosen = [w](environment& here) {
            auto o = options_of(*w);
            o.watch = &here.log();
            o.destination = w->archives;
            return here.run(
                with_summary(here, at_place(here, *w, with_store(here, std::move(o), make))));
        };
    });
}

} // namespace trawl::cli
