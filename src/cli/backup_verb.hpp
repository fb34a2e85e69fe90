#pragma once

#include "cli/login.hpp"
#include "cli/verb.hpp"

#include <trawl/backup.hpp>
#include <trawl/backup_store.hpp>

#include <boost/json/array.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

// What the verbs of `trawl backup` have in common; one file per verb.
namespace trawl::cli {

void add_backup_run(CLI::App& backup, action& chosen);
void add_backup_restore(CLI::App& backup, action& chosen);
void add_backup_verify(CLI::App& backup, action& chosen);
void add_backup_list(CLI::App& backup, action& chosen);
void add_backup_cat(CLI::App& backup, action& chosen);
void add_backup_diff(CLI::App& backup, action& chosen);
void add_backup_extract(CLI::App& backup, action& chosen);
void add_backup_import(CLI::App& backup, action& chosen);
void add_backup_prune(CLI::App& backup, action& chosen);
void add_backup_keygen(CLI::App& backup, action& chosen);

/// The place, the name and the moment that most of these verbs take.
struct backup_words {
    std::string archives, name, at;
    login_words login; ///< to a place on a server
    std::string key;   ///< a file; empty: the backups are not encrypted

    std::optional<std::chrono::system_clock::time_point> moment() const;
};
/// Declares DEST and the way there.
void add_place(CLI::App& verb, backup_words& into);
/// The same, --name and --key.
void add_archives(CLI::App& verb, backup_words& into);
void add_at(CLI::App& verb, backup_words& into);
void add_excludes(CLI::App& verb, backup::exclusions& into);

/// YYYYMMDD or YYYY-MM-DD: the end of that day; with _HHMMSS, THH:MM:SS or " HH:MM:SS": that
/// second. Local time. Throws usage_error that names `option`.
std::chrono::system_clock::time_point moment_of(std::string const& text, char const* option);

/// "512 B", "1.5 MB": powers of 1,000.
std::string size_text(std::uint64_t bytes);

boost::json::array errors_of(std::vector<backup::problem> const& problems);

/// The exit code for an error of the library.
int exit_code_of(std::error_code failure);

using place_work = std::function<awaitable<int>(std::shared_ptr<backup::store>)>;
/// `verb` with options of its own, whose place is set when it is known.
template <class Options>
place_work with_store(environment& here, Options chosen,
                      awaitable<int> (*verb)(environment&, Options)) {
    return [&here, chosen = std::move(chosen), verb](std::shared_ptr<backup::store> place) {
        auto at = chosen;
        at.store = std::move(place);
        return verb(here, std::move(at));
    };
}
/// Awaits `work` with the place that `words` name, connected for so long; nullptr: it is a plain
/// folder. `words` outlive the call.
awaitable<int> at_place(environment& here, backup_words const& words, place_work work);

/// Awaits `work` and turns what it throws into a line on stderr and an exit code; the summary comes
/// last.
awaitable<int> with_summary(environment& here, awaitable<int> work);

} // namespace trawl::cli
