#include "cli/sftp_copy.hpp"
#include "cli/sftp_job.hpp"
#include "cli/sftp_list.hpp"
#include "cli/sftp_source.hpp"
#include "cli/sftp_sync.hpp"
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

/// Local sources to one place on every host.
sftp_work put_work(sftp_round& all, std::vector<std::string> remote) {
    auto const& names = all.words.names;
    std::vector<fs::path> const local(names.begin(), names.end() - 1);
    return [local, remote = remote.front()](sftp::client& files, sftp_copy how, targets::target) {
        return copy_to(files, std::move(how), local, remote);
    };
}

/// Files of every host into one folder, or a folder for each.
sftp_work get_work(sftp_round& all, std::vector<std::string> remote) {
    fs::path const local = all.words.names.back();
    bool const apart = all.targets > 1; // else the hosts' files would replace each other
    return [local, apart, remote](sftp::client& files, sftp_copy how, targets::target at) {
        return copy_from(files, std::move(how), remote, apart ? local / at.host() : local, apart);
    };
}

/// Files of one host to every other.
awaitable<> copy_from_source(sftp_source& source, sftp::client& to, sftp_copy how,
                             std::string remote) {
    auto* const from = co_await source.files();
    co_await copy_between(*from, source.paths(), to, std::move(how), std::move(remote));
}

struct at_exit {
    sftp_round& all;
    ~at_exit() {
        if (all.at_end) all.at_end();
    }
};

awaitable<int> visit_all(fan_out& round, std::vector<host_errand> errands, sftp_round& all) {
    at_exit const leave{all};
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

/// Makes the work on a host of the paths that its errand names.
using work_maker = std::function<sftp_work(sftp_round&, std::vector<std::string>)>;

int visit(sftp_round& all, std::vector<sftp_errand> const& wanted, work_maker const& make) {
    auto& here = all.here;
    auto const& w = all.words;
    for (auto const& next : wanted) all.targets += next.hosts.size();
    std::vector<host_errand> errands;
    for (auto const& next : wanted) {
        auto work = make(all, next.remote);
        auto job = [&all, work](targets::target const& at) { return make_sftp_job(all, work, at); };
        errands.push_back({next.hosts, std::move(job)});
    }
    ssh_login login(here, w.login);
    fan_out round(here, login, w.pace);
    all.round = &round;
    return here.run(visit_all(round, std::move(errands), all));
}

int run_put(environment& here, sftp_words const& w) {
    sftp_round all{here, w};
    return visit(all, {put_errand(w)}, put_work);
}

int run_get(environment& here, sftp_words const& w) {
    sftp_round all{here, w};
    return visit(all, get_errands(w), get_work);
}

int run_sync(environment& here, sftp_words const& w) {
    sftp_round all{here, w};
    auto const of = parse_sync(w);
    auto const make = [&of](sftp_round& round, auto const&) { return sync_work(round, of); };
    return visit(all, {of.where}, make);
}

int run_copy(environment& here, sftp_words const& w) {
    if (w.resume) throw usage_error("copy has no --resume");
    sftp_round all{here, w};
    sftp_source source(all, get_errands(w));
    all.at_end = [&source] { source.leave(); };
    auto const make = [&source](sftp_round&, std::vector<std::string> remote) -> sftp_work {
        return
            [&source, remote = remote.front()](sftp::client& to, sftp_copy how, targets::target) {
                return copy_from_source(source, to, std::move(how), remote);
            };
    };
    return visit(all, {put_errand(w)}, make);
}

int run_list(environment& here, sftp_words const& w) {
    sftp_round all{here, w};
    all.lists = true;
    return visit(all, read_errands(w, w.names.size()), list_work);
}

} // namespace

void add_sftp(CLI::App& app, action& chosen) {
    auto* verb = app.add_subcommand("sftp", "Files of many hosts over SSH");
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
    auto const add = [&](char const* name, char const* words, char const* what, int least,
                         int (*run)(environment&, sftp_words const&)) {
        auto* way = verb->add_subcommand(name, what);
        way->fallthrough();
        way->add_option("NAMES", w->names, words)->required()->expected(least, 1'000'000);
        way->callback([w, run, &chosen] {
            chosen = [w, run](environment& here) {
                check_login(w->login);
                return run(here, *w);
            };
        });
        return way;
    };
    add("put", "LOCAL... TARGET:REMOTE", "Copy files to every host", 2, run_put);
    add("get", "TARGET:REMOTE... LOCAL", "Copy files from every host; of several into LOCAL/HOST/",
        2, run_get);
    auto* sync = add("sync", "LOCAL TARGET:REMOTE or TARGET:REMOTE LOCAL",
                     "Make a folder like another by copying what differs", 2, run_sync);
    sync->add_flag("--delete", w->remove, "Remove what the source does not have");
    sync->add_flag("-n,--dry-run", w->dry_run, "Tell what would be done, and do nothing");
    add("copy", "SOURCE:REMOTE... TARGET:REMOTE",
        "Copy files of one host to every other, through this one", 2, run_copy);
    auto* list = add("ls", "TARGET:REMOTE...", "List files of every host", 1, run_list);
    list->add_flag("-l,--long", w->details, "Mode, owner, group, size and time of each");
}

} // namespace trawl::cli
