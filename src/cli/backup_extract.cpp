#include "cli/backup_verb.hpp"

#include <trawl/backup_extract.hpp>

#include <CLI/Option.hpp>

#include <fmt/format.h>

#include <memory>

namespace trawl::cli {

namespace {

void show(environment& here, backup::extract_report const& done, std::string const& target) {
    if (here.words().json) {
        here.out().record(json::record("extract", "backup")
                              .field("target", target)
                              .field("entries", done.entries)
                              .field("bytes", done.bytes)
                              .field("errors", errors_of(done.errors))
                              .field("notes", errors_of(done.notes)));
        return;
    }
    here.out().line(escaped(
        fmt::format("{}: {} entries, {}{}", target, done.entries, size_text(done.bytes),
                    done.errors.empty() ? "" : fmt::format(", {} errors", done.errors.size()))));
}

awaitable<int> take_out(environment& here, backup::extract_options chosen, std::string key) {
    auto const target = chosen.target.string();
    auto read = [&key] {
        return std::make_shared<backup::store_key const>(backup::store_key::load(key));
    };
    if (!key.empty()) chosen.key = co_await here.blocking().run(read);
    auto const done = co_await backup::extract(here.cpu(), std::move(chosen));
    show(here, done, target);
    if (done.corrupt) co_return corrupt;
    co_return done.errors.empty() ? all_well : backup_incomplete;
}

} // namespace

void add_backup_extract(CLI::App& backup, action& chosen) {
    auto const files = std::make_shared<std::vector<std::string>>();
    auto const key = std::make_shared<std::string>();
    auto* verb = backup.add_subcommand(
        "extract", "Extract tar archives alone, when their manifests are lost: ARCHIVE... TARGET");
    verb->fallthrough();
    verb->add_option("FILE", *files, "Archives from old to new, and last the folder to fill")
        ->required()
        ->expected(2, 100'000);
    verb->add_option("--key", *key, "KEYFILE of encrypted archives");
    verb->callback([files, key, &chosen] {
        chosen = [files, key](environment& here) {
            backup::extract_options o;
            o.archives.assign(files->begin(), files->end() - 1);
            o.target = files->back();
            o.watch = &here.log();
            return here.run(with_summary(here, take_out(here, std::move(o), *key)));
        };
    });
}

} // namespace trawl::cli
