#include "cli/backup_verb.hpp"

#include <trawl/plan_sftp_store.hpp>

#include <trawl/backup_import.hpp>

#include <CLI/Option.hpp>

#include <fmt/format.h>

#include <memory>

namespace trawl::cli {

namespace {

struct words {
    backup::import_options to;
    std::vector<std::string> archives;
};

void show(environment& here, backup::import_report const& done) {
    if (here.words().json) {
        here.out().record(json::record("import", "backup")
                              .field("file", done.made.file.string())
                              .field("manifest", done.made.manifest.string())
                              .field("agreed", done.agreed)
                              .field("forgotten", done.forgotten)
                              .field("errors", errors_of(done.errors)));
        return;
    }
    here.out().line(escaped(
        fmt::format("{}: {} files as the hashes say, {} deleted since, {} errors",
                    done.made.file.string(), done.agreed, done.forgotten, done.errors.size())));
}

awaitable<int> bring_in(environment& here, backup::import_options chosen) {
    auto const done = co_await backup::import_md5(here.cpu(), std::move(chosen));
    show(here, done);
    co_return done.errors.empty() && done.made.errors.empty() ? all_well : backup_incomplete;
}

} // namespace

void add_backup_import(CLI::App& backup, action& chosen) {
    auto const w = std::make_shared<words>();
    auto* verb = backup.add_subcommand(
        "import-md5", "Make a full backup, to go on from with run --hash md5, out of old tar "
                      "archives and their JSON object of paths and MD5 hashes");
    verb->fallthrough();
    verb->add_option("OLD.json", w->to.hashes, "{\"PATH\": \"MD5\", ...}, the last state")
        ->required();
    verb->add_option("SOURCE", w->to.source, "The folder that was backed up")->required();
    verb->add_option("DEST", w->to.destination, "The folder for the new archive")->required();
    verb->add_option("ARCHIVE", w->archives, "The old archives, from old to new")->required();
    verb->add_option("--name", w->to.name, "NAME of the files; default: SOURCE's last component");
    verb->add_flag("--zstd", w->to.zstd, "Zstandard (.tar.zst) instead of gzip");
    verb->callback([w, &chosen] {
        chosen = [w](environment& here) {
            auto o = w->to;
            if (plan::parse_sftp_place(o.destination.string()))
                throw usage_error("import-md5 makes its backup in a folder, not on a server");
            o.archives.assign(w->archives.begin(), w->archives.end());
            o.watch = &here.log();
            return here.run(with_summary(here, bring_in(here, std::move(o))));
        };
    });
}

} // namespace trawl::cli
