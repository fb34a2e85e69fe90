#include "cli/backup_verb.hpp"

namespace trawl::cli {

void add_backup(CLI::App& app, action& chosen) {
    auto* verb = app.add_subcommand("backup", "Full and incremental backups as plain tar archives");
    verb->require_subcommand(1);
    add_backup_run(*verb, chosen);
    add_backup_restore(*verb, chosen);
    add_backup_verify(*verb, chosen);
    add_backup_list(*verb, chosen);
    add_backup_cat(*verb, chosen);
    add_backup_diff(*verb, chosen);
    add_backup_extract(*verb, chosen);
    add_backup_import(*verb, chosen);
    add_backup_prune(*verb, chosen);
    add_backup_keygen(*verb, chosen);
}

} // namespace trawl::cli
