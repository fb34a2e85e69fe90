#include "cli/backup_verb.hpp"

#include <CLI/Option.hpp>

#include <boost/json/value_from.hpp>
#include <fmt/format.h>

#include <ctime>
#include <memory>

namespace trawl::cli {

namespace {

struct words : backup_words {
    std::vector<std::string> paths;
    bool entries = false;
};

std::string time_text(std::time_t seconds) {
    std::tm parts{};
    ::localtime_r(&seconds, &parts);
    char text[32];
    return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts));
}

/// As ls(1) shows it: "drwxr-xr-x".
std::string mode_text(char type, std::uint32_t mode) {
    std::string text(1, type == 'f' ? '-' : type);
    for (unsigned i = 0; i < 9; ++i) text += mode >> (8 - i) & 1 ? "rwxrwxrwx"[i] : '-';
    auto const special = [&](std::uint32_t bit, std::size_t at, char letter) {
        if (mode & bit) text[at] = text[at] == 'x' ? letter : static_cast<char>(letter - 'a' + 'A');
    };
    special(04000, 3, 's'), special(02000, 6, 's'), special(01000, 9, 't');
    return text;
}

void show(environment& here, backup::archive_info const& found) {
    if (here.words().json) {
        here.out().record(json::record("backup", "backup")
                              .field("name", found.name)
                              .field("kind", backup::word(found.made))
                              .field("created", json::time(found.created))
                              .field("file", found.archive.string())
                              .field("manifest", found.manifest.string())
                              .field("bytes_out", found.bytes)
                              .field("stands_on", found.stands_on)
                              .field("damage", found.damage));
        return;
    }
    here.out().line(escaped(fmt::format(
        "{}  {}  {:>9}  {}{}", time_text(std::chrono::system_clock::to_time_t(found.created)),
        backup::word(found.made), size_text(found.bytes),
        (found.archive.empty() ? found.manifest : found.archive).filename().string(),
        found.damage.empty() ? "" : "  DAMAGED: " + found.damage)));
}

void show(environment& here, backup::entry_info const& e) {
    if (here.words().json) {
        json::record record("entry", "backup");
        record.field("path", e.path)
            .field("kind", std::string_view(&e.type, 1))
            .field("mode", e.mode)
            .field("uid", e.uid)
            .field("gid", e.gid)
            .field("size", e.size)
            .field("mtime_ns", e.mtime_ns)
            .field("link", e.link)
            .field("hard_link", e.hard_link)
            .field("hash", e.hash)
            .field("archive", e.archive)
            .field("unsettled", e.unsettled)
            .field("stale", e.stale)
            .field("partial", e.partial);
        if (!e.parts.empty()) record.field("parts", boost::json::value_from(e.parts));
        here.out().record(record);
        return;
    }
    auto const seconds = static_cast<std::time_t>(e.mtime_ns / 1'000'000'000);
    here.out().line(
        escaped(fmt::format("{} {:>5} {:>5} {:>11} {} {}{}", mode_text(e.type, e.mode), e.uid,
                            e.gid, e.size, time_text(seconds), e.path.empty() ? "." : e.path,
                            e.link.empty() ? "" : (e.hard_link ? " link to " : " -> ") + e.link)));
}

awaitable<int> list_archives(environment& here, backup::list_options chosen) {
    auto const found = co_await backup::list(here.cpu(), std::move(chosen));
    bool whole = true;
    for (auto const& each : found) {
        show(here, each);
        whole = whole && each.damage.empty();
    }
    co_return whole ? all_well : corrupt;
}

awaitable<int> list_entries(environment& here, backup::entries_options chosen) {
    auto each = [&here](backup::entry_info const& e) { show(here, e); };
    auto const errors = co_await backup::entries(here.cpu(), std::move(chosen), each);
    for (auto const& p : errors)
        here.log().log(severity::warning, "backup list", p.path + ": " + p.message);
    co_return errors.empty() ? all_well : backup_incomplete;
}

} // namespace

void add_backup_list(CLI::App& backup, action& chosen) {
    auto const w = std::make_shared<words>();
    auto* verb = backup.add_subcommand("list", "List the backups in DEST; with --entries, --at or "
                                               "PATH what is in one of them");
    verb->fallthrough();
    add_place(*verb, *w);
    verb->add_option("PATH", w->paths, "Only these, relative to the source, or patterns");
    verb->add_option("--name", w->name, "NAME of the backup; default: all, or the only one");
    verb->add_option("--key", w->key, "KEYFILE of encrypted backups");
    verb->add_flag("--entries", w->entries, "What is in the latest");
    add_at(*verb, *w);
    verb->callback([w, &chosen] {
        chosen = [w](environment& here) {
            if (w->entries || !w->at.empty() || !w->paths.empty()) {
                backup::entries_options o;
                o.archives = w->archives;
                o.name = w->name;
                o.at = w->moment();
                o.paths = w->paths;
                return here.run(with_summary(
                    here, at_place(here, *w, with_store(here, std::move(o), list_entries))));
            }
            backup::list_options o;
            o.archives = w->archives;
            o.name = w->name;
            return here.run(with_summary(
                here, at_place(here, *w, with_store(here, std::move(o), list_archives))));
        };
    });
}

} // namespace trawl::cli
