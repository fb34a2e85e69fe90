#pragma once

#include "report.hpp"

#include <trawl/backup.hpp>
#include <trawl/observer.hpp>

#include <string>

/// The threads of the service, and who hears of its work. They outlive the nights.
struct helpers {
    trawl::offload_pool& cpu;      ///< hashes and compresses
    trawl::offload_pool& blocking; ///< waits for files
    trawl::observer& watch;
};

/// Saves the folder: in full on Mondays or when there is no base, else what has changed.
inline awaitable<std::string> save(plan const& p, helpers with) {
    trawl::backup::options what;
    what.source = p.source;
    what.destination = p.backups;
    what.watch = &with.watch;
    auto const made = co_await trawl::backup::run(with.cpu, what);
    std::string text = "saved " + std::to_string(made.entries) + " entries in " +
                       made.file.filename().string() + " (" + made.reason + ")\n";
    for (auto const& one : made.errors) text += "FAIL " + one.path + ": " + one.message + "\n";
    co_return text;
}

/// One night: the hosts are asked and the folder is saved at the same time, then one letter goes
/// out. Returns its receipt.
inline awaitable<smtp::receipt> night(plan const& p, helpers with) {
    hosts up(64);
    answers found(64);
    std::string asked, saved;
    auto how = co_await login(p, with.blocking);
    how.log = &with.watch;
    auto const keep = [&]() -> awaitable<> { saved = co_await save(p, with); };
    auto const body = [&](trawl::task_group& group) -> awaitable<> {
        group.spawn(find_hosts(p.targets, up));
        group.spawn(inspect_all(up, how, p.command, found));
        group.spawn(keep());
        asked = co_await gather(found);
    };
    co_await trawl::with_group(body);
    co_return co_await mail_report(p, asked + saved);
}
