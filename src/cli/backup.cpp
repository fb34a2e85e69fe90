#include "cli/verb.hpp"

#include <trawl/backup.hpp>

#include <fmt/format.h>

#include <boost/json/array.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trawl::cli {

namespace {

namespace bj = boost::json;

/// What the command line said.
struct words {
    std::string source, archives, target, name, at;
    std::string hash = "sha256", level = "default", full_on = "mon";
    std::vector<std::string> paths;
    bool full = false, incremental = false, zstd = false;
};

int code_of(std::error_code failure) {
    if (failure == backup::errc::no_such_archive) return no_such_archive;
    if (failure == backup::errc::locked) return locked;
    if (failure == backup::errc::corrupt) return corrupt;
    if (failure == backup::errc::incomplete) return backup_incomplete;
    if (failure == backup::errc::bad_name || failure == backup::errc::bad_source) return usage;
    return some_failed;
}

std::string size_text(std::uint64_t bytes) {
    constexpr std::array<char const*, 5> units{"B", "KB", "MB", "GB", "TB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1000 && unit + 1 < units.size(); ++unit) value /= 1000;
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

bj::array errors_of(std::vector<backup::problem> const& problems) {
    bj::array list;
    for (auto const& p : problems)
        list.push_back(
            bj::object{{"path", json::text(p.path)}, {"message", json::text(p.message)}});
    return list;
}

void show(environment& here, backup::report const& made, time_point began) {
    auto const word = made.made == backup::kind::full ? "full" : "incr";
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

awaitable<int> make(environment& here, backup::options chosen) {
    auto const began = clock::now();
    auto const made = co_await backup::run(here.cpu(), std::move(chosen));
    show(here, made, began);
    co_return made.errors.empty() ? all_well : backup_incomplete;
}

awaitable<int> put_back(environment& here, backup::restore_options chosen) {
    auto const began = clock::now();
    auto const target = chosen.target.string();
    auto const done = co_await backup::restore(here.cpu(), std::move(chosen));
    show(here, done, target, began);
    if (done.corrupt) co_return corrupt;
    co_return done.errors.empty() ? all_well : backup_incomplete;
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
                              .field("errors", errors_of(seen.errors)));
        return;
    }
    auto const seconds = std::chrono::duration<double>(clock::now() - began).count();
    here.out().line(escaped(fmt::format(
        "{}: {} manifests and {} archives are whole, {} files, {}, {:.2f} s{}", archives,
        seen.manifests, seen.archives, seen.files, size_text(seen.bytes), seconds,
        seen.errors.empty() ? "" : fmt::format(", {} errors", seen.errors.size()))));
}

awaitable<int> check(environment& here, backup::verify_options chosen) {
    auto const began = clock::now();
    auto const archives = chosen.archives.string();
    auto const seen = co_await backup::verify(here.cpu(), std::move(chosen));
    show(here, seen, archives, began);
    co_return seen.errors.empty() ? all_well : corrupt;
}

/// Awaits `work` and turns what it throws into a line on stderr and an exit code; the summary comes
/// last.
awaitable<int> with_summary(environment& here, awaitable<int> work) {
    auto const began = clock::now();
    int code = some_failed;
    try {
        code = co_await std::move(work);
    } catch (std::system_error const& failure) {
        if (!is_cancelled(failure)) here.log().log(severity::error, "", failure.what());
        code = code_of(failure.code());
    }
    code = here.outcome(code);
    if (here.words().json) {
        bool const ok = code == all_well;
        here.out().record(json::record("summary", "backup")
                              .field("targets", 1)
                              .field("ok", ok ? 1 : 0)
                              .field("failed", ok ? 0 : 1)
                              .field("elapsed", clock::now() - began)
                              .field("exit", code));
    }
    co_return code;
}

/// YYYYMMDD or YYYY-MM-DD: the end of that day; with _HHMMSS, THH:MM:SS or " HH:MM:SS": that
/// second. Local time.
std::chrono::system_clock::time_point moment(std::string const& text) {
    struct form {
        char const* pattern;
        bool with_time;
    };
    constexpr std::array<form, 5> forms{{{"%Y%m%d_%H%M%S", true},
                                         {"%Y-%m-%dT%H:%M:%S", true},
                                         {"%Y-%m-%d %H:%M:%S", true},
                                         {"%Y-%m-%d", false},
                                         {"%Y%m%d", false}}};
    for (auto const& [pattern, with_time] : forms) {
        std::tm parts{};
        auto const* end = ::strptime(text.c_str(), pattern, &parts);
        if (!end || *end != '\0') continue;
        parts.tm_isdst = -1;
        if (!with_time) parts.tm_mday += 1; // mktime carries over
        // The clock counts nanoseconds in 64 bits: after April 2262 it is simply late.
        constexpr auto latest = std::chrono::floor<std::chrono::seconds>(
            std::chrono::system_clock::duration::max() - std::chrono::seconds(2));
        auto const seconds = std::min<std::time_t>(std::mktime(&parts), latest.count());
        auto const at = std::chrono::system_clock::from_time_t(seconds);
        auto const whole = with_time ? std::chrono::seconds(1) : std::chrono::seconds(0);
        return at + whole - std::chrono::nanoseconds(1);
    }
    throw usage_error("--at: not a date: " + text);
}

std::map<std::string, backup::hash> const hashes{{"sha256", backup::hash::sha256},
                                                 {"md5", backup::hash::md5}};
std::map<std::string, backup::level> const levels{{"fast", backup::level::fast},
                                                  {"default", backup::level::standard},
                                                  {"best", backup::level::best}};
std::map<std::string, unsigned> const weekdays{{"sun", 0}, {"mon", 1}, {"tue", 2}, {"wed", 3},
                                               {"thu", 4}, {"fri", 5}, {"sat", 6}};

void add_make(CLI::App& verb, std::shared_ptr<words> const& w, action& chosen) {
    auto* run = verb.add_subcommand("run", "Back SOURCE up into DEST: full on Mondays or without a "
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

void add_restore(CLI::App& verb, std::shared_ptr<words> const& w, action& chosen) {
    auto* restore = verb.add_subcommand("restore", "Put a state from DEST back into TARGET");
    restore->fallthrough();
    restore->add_option("DEST", w->archives, "The folder with the archives")->required();
    restore->add_option("TARGET", w->target, "The folder to fill, new or existing")->required();
    restore->add_option("PATH", w->paths, "Only these, relative to the source");
    restore->add_option("--name", w->name, "NAME of the backup; default: the only one in DEST");
    restore->add_option("--at", w->at,
                        "The state at the end of this day: YYYYMMDD or YYYY-MM-DD, "
                        "or at a second of it: YYYY-MM-DDTHH:MM:SS");
    restore->callback([w, &chosen] {
        chosen = [w](environment& here) {
            backup::restore_options o;
            o.archives = w->archives;
            o.target = w->target;
            o.name = w->name;
            o.paths = w->paths;
            if (!w->at.empty()) o.at = moment(w->at);
            o.watch = &here.log();
            return here.run(with_summary(here, put_back(here, std::move(o))));
        };
    });
}

void add_verify(CLI::App& verb, std::shared_ptr<words> const& w, action& chosen) {
    auto* verify = verb.add_subcommand("verify", "Read all archives and manifests in DEST and name "
                                                 "what is damaged");
    verify->fallthrough();
    verify->add_option("DEST", w->archives, "The folder with the archives")->required();
    verify->add_option("--name", w->name, "NAME of the backup; default: the only one in DEST");
    verify->callback([w, &chosen] {
        chosen = [w](environment& here) {
            backup::verify_options o;
            o.archives = w->archives;
            o.name = w->name;
            o.watch = &here.log();
            return here.run(with_summary(here, check(here, std::move(o))));
        };
    });
}

} // namespace

void add_backup(CLI::App& app, action& chosen) {
    auto* verb = app.add_subcommand("backup", "Full and incremental backups as plain tar archives");
    verb->require_subcommand(1);
    auto const w = std::make_shared<words>();
    add_make(*verb, w, chosen);
    add_restore(*verb, w, chosen);
    add_verify(*verb, w, chosen);
}

} // namespace trawl::cli
