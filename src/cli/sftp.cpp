#include "cli/sftp_copy.hpp"
#include "cli/sftp_job.hpp"
#include "cli/sftp_words.hpp"
#include "cli/verb.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trawl::cli {
namespace {

namespace fs = std::filesystem;

enum class direction { put, get };

/// Local sources to one place on every host.
sftp_work put_work(sftp_words const& w, std::string remote) {
    std::vector<fs::path> const local(w.names.begin(), w.names.end() - 1);
    return [local, remote](sftp::client& files, sftp_copy how, targets::target) {
        return copy_to(files, std::move(how), local, remote);
    };
}

/// Files of every host into one folder, or a folder for each.
sftp_work get_work(sftp_round const& all, std::vector<std::string> remote) {
    fs::path const local = all.words.names.back();
    bool const apart = all.targets > 1; // else the hosts' files would replace each other
    return [local, apart, remote](sftp::client& files, sftp_copy how, targets::target at) {
        return copy_from(files, std::move(how), remote, apart ? local / at.host() : local, apart);
    };
}

awaitable<int> visit_all(fan_out& round, std::vector<host_errand> errands, sftp_round& all) {
    auto const totals = co_await round.run(std::move(errands), nullptr);
    if (all.here.words().json)
        all.here.out().record(json::record("summary", "sftp")
                                  .field("targets", totals.targets)
                                  .field("ok", totals.ok)
                                  .field("failed", totals.failed)
                                  .field("unfinished", totals.unfinished())
                                  .field("files", all.files)
                                  .field("bytes", all.bytes)
                                  .field("elapsed", totals.elapsed)
                                  .field("exit", totals.exit_code));
    else
        tell_totals(all.here, totals);
    co_return totals.exit_code;
}

int run(environment& here, sftp_words const& w, direction way) {
    check_login(w.login);
    auto const wanted =
        way == direction::put ? std::vector<sftp_errand>{put_errand(w)} : get_errands(w);
    sftp_round all{here, w};
    for (auto const& next : wanted) all.targets += next.hosts.size();
    std::vector<host_errand> errands;
    for (auto const& next : wanted) {
        auto work =
            way == direction::put ? put_work(w, next.remote.front()) : get_work(all, next.remote);
        auto job = [&all, work](targets::target const& at) { return make_sftp_job(all, work, at); };
        errands.push_back({next.hosts, std::move(job)});
    }
    ssh_login login(here, w.login);
    fan_out round(here, login, w.pace);
    return here.run(visit_all(round, std::move(errands), all));
}

} // namespace

void add_sftp(CLI::App& app, action& chosen) {
    auto* verb = app.add_subcommand("sftp", "Copy files to or from many hosts over SSH");
    auto const w = std::make_shared<sftp_words>();
    verb->require_subcommand(1);
    verb->add_option("--exclude", w->excludes, "Targets to leave out")->allow_extra_args(false);
    verb->add_flag("-r,--recursive", w->recursive, "Folders with all that is in them");
    verb->add_flag("--preserve", w->preserve, "Keep permissions and times");
    verb->add_flag("--resume", w->resume,
                   "Go on with what an interrupted copy with --resume has left");
    verb->add_flag("--fsync", w->sync, "To the disk before a file gets its name");
    add_pace(*verb, w->pace);
    add_login(*verb, w->login);
    auto const add = [&](char const* name, char const* words, char const* what, direction way) {
        auto* way_verb = verb->add_subcommand(name, what);
        way_verb->fallthrough();
        way_verb->add_option(words, w->names, what)->required()->expected(2, 1'000'000);
        way_verb->callback([w, way, &chosen] {
            chosen = [w, way](environment& here) { return run(here, *w, way); };
        });
    };
    add("put", "NAMES", "LOCAL... TARGET:REMOTE", direction::put);
    add("get", "NAMES", "TARGET:REMOTE... LOCAL; of several hosts into LOCAL/HOST/",
        direction::get);
}

} // namespace trawl::cli
