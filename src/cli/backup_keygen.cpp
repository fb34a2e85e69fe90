#include "cli/backup_verb.hpp"

#include <CLI/Option.hpp>

#include <memory>

namespace trawl::cli {

namespace {

awaitable<int> make_key(environment& here, std::string file) {
    auto make = [&file] { backup::store_key::make(file); };
    co_await here.blocking().run(make);
    if (here.words().json)
        here.out().record(json::record("key", "backup").field("file", file));
    else
        here.out().line(escaped(file + ": a new key. Who loses it loses the backups"));
    co_return all_well;
}

} // namespace

void add_backup_keygen(CLI::App& backup, action& chosen) {
    auto const file = std::make_shared<std::string>();
    auto* verb = backup.add_subcommand("keygen", "Make a key for encrypted backups in a new file");
    verb->fallthrough();
    verb->add_option("FILE", *file,
                     "The new file, for run --encrypt FILE and --key FILE of the "
                     "other verbs")
        ->required();
    verb->callback([file, &chosen] {
        chosen = [file](environment& here) {
            return here.run(with_summary(here, make_key(here, *file)));
        };
    });
}

} // namespace trawl::cli
