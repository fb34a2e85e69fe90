#include "cli/sftp_copy.hpp"
#include "cli/sftp_words.hpp"
#include "cli/verb.hpp"

#include <trawl/dns.hpp>
#include <trawl/limiter.hpp>
#include <trawl/sftp.hpp>
#include <trawl/task_group.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trawl::cli {
namespace {

namespace fs = std::filesystem;

enum class direction { put, get };

/// Why a host failed, for its record.
struct problem {
    std::string code, phase, message;
    bool denied = false, unreached = false;
};

problem problem_of(ssh::failure const& why) {
    return {std::string(why.word()), std::string(ssh::name(why.at())), why.what(),
            why.code() == ssh::errc::auth_denied, why.at() <= ssh::phase::connect};
}

/// What became of one host.
struct ending {
    std::optional<asio::ip::address> address;
    sftp::transferred done;
    std::optional<problem> failed;
};

class sftp_fan_out {
public:
    sftp_fan_out(environment& here, sftp_words const& w, direction way)
        : here_(here), words_(w), way_(way), places_(w.jobs), resolver_(here.io().get_executor()) {}

    awaitable<int> run(std::vector<sftp_errand> errands) {
        for (auto const& errand : errands) targets_ += errand.hosts.size();
        int hindered = all_well;
        try {
            how_ = co_await prepare_login(words_.login, here_);
            auto all = [this, &errands](task_group& group) -> awaitable<> {
                for (auto const& errand : errands) {
                    targets::cursor walk(errand.hosts);
                    while (auto next = walk.next()) {
                        auto place = co_await places_.acquire();
                        group.spawn(one(std::move(*next), errand.remote, std::move(place)));
                    }
                }
            };
            co_await with_group(all);
        } catch (no_secret const& why) {
            here_.log().log(severity::error, "", why.what());
            hindered = bad_secret;
        } catch (error const& why) { // the known_hosts file
            here_.log().log(severity::error, "", why.what());
            hindered = some_failed;
        } catch (std::system_error const& stopped) {
            // Ctrl-C: what was not finished is counted; anything else (stdout gone) ends the verb.
            if (!is_cancelled(stopped)) throw;
        }
        co_return summarise(hindered);
    }

private:
    awaitable<> one(targets::target target, std::vector<std::string> remote,
                    [[maybe_unused]] limiter::ticket place) {
        auto const began = clock::now();
        ending end;
        end.address = target.address;
        try {
            co_await visit(target, std::move(remote), end);
        } catch (ssh::failure const& why) {
            end.failed = problem_of(why);
        } catch (sftp::failure const& why) {
            end.failed = problem{std::string(why.word()), "sftp", why.what()};
        } catch (error const& why) {
            end.failed = problem{"system", "local", why.what()};
        } catch (fs::filesystem_error const& why) {
            end.failed = problem{"system", "local", why.what()};
        }
        count(end);
        if (here_.words().json)
            show_record(target, end, clock::now() - began);
        else
            show_text(target, end);
        if (targets_ > 1) here_.log().progress("hosts", ok_ + failed_, targets_);
    }

    awaitable<> visit(targets::target target, std::vector<std::string> remote, ending& end) {
        auto how = how_;
        how.host = target.host();
        if (target.address)
            how.addresses = {*target.address};
        else
            how.addresses = co_await addresses_of(target);
        ssh::session host(here_.io().get_executor(), how);
        std::exception_ptr failed;
        try {
            co_await host.connect();
            auto options = client_options();
            auto files = co_await sftp::open(host, std::move(options));
            co_await copy(files, target, std::move(remote), end);
        } catch (...) {
            failed = std::current_exception();
        }
        if (host.address()) end.address = host.address();
        if (failed) std::rethrow_exception(failed);
        co_await host.disconnect();
    }

    awaitable<> copy(sftp::client& files, targets::target const& target,
                     std::vector<std::string> remote, ending& end) {
        sftp_copy job;
        job.blocking = &here_.blocking();
        job.how.recursive = words_.recursive, job.how.preserve = words_.preserve;
        job.how.resume = words_.resume, job.how.sync = words_.sync;
        job.progress = [this, &end](sftp::transferred const& done) {
            end.done = done;
            if (targets_ == 1) here_.log().progress("bytes", done.bytes, 0);
        };
        if (way_ == direction::put) {
            std::vector<fs::path> local(words_.names.begin(), words_.names.end() - 1);
            co_await copy_to(files, std::move(job), std::move(local), remote.front());
            co_return;
        }
        fs::path local = words_.names.back();
        bool const apart = targets_ > 1; // else the hosts' files would replace each other
        if (apart) local /= target.host();
        co_await copy_from(files, std::move(job), std::move(remote), std::move(local), apart);
    }

    sftp::options client_options() {
        sftp::options how;
        how.blocking = &here_.blocking();
        if (how_.timeouts.exec.count() > 0) how.timeout = how_.timeouts.exec;
        // Bytes in flight are bounded over all hosts: 64 MiB, and no more than 2 MiB for one.
        constexpr std::uint64_t most = 2048;
        auto const hosts = std::min<std::uint64_t>(words_.jobs, targets_);
        how.requests = std::clamp<std::uint64_t>(most / hosts, 4, 64);
        return how;
    }

    awaitable<std::vector<asio::ip::address>> addresses_of(targets::target target) {
        try {
            co_return co_await resolver_.addresses(target.name);
        } catch (error const& unknown) {
            throw ssh::failure(unknown.code(), ssh::phase::resolve, target.to_string(),
                               unknown.said());
        }
    }

    void count(ending const& end) {
        files_ += end.done.files, bytes_ += end.done.bytes;
        if (end.failed)
            ++failed_, denied_ += end.failed->denied, unreached_ += end.failed->unreached;
        else
            ++ok_;
    }

    void show_record(targets::target const& target, ending const& end, duration elapsed) {
        namespace bj = boost::json;
        bj::value reason, at;
        if (end.failed)
            reason = bj::object{{"code", json::text(end.failed->code)},
                                {"phase", json::text(end.failed->phase)},
                                {"message", json::text(end.failed->message)}};
        if (end.address) at = json::text(end.address->to_string());
        here_.out().record(json::record("host", "sftp")
                               .field("target", target.to_string())
                               .field("address", at)
                               .field("status", end.failed ? "failed" : "ok")
                               .field("files", end.done.files)
                               .field("bytes", end.done.bytes)
                               .field("skipped", end.done.skipped)
                               .field("error", reason)
                               .field("elapsed", elapsed));
    }

    void show_text(targets::target const& target, ending const& end) {
        auto const name = target.to_string();
        if (end.done.skipped > 0)
            here_.log().log(severity::warning, name,
                            fmt::format("{} not copied: neither files nor folders, or links to "
                                        "folders",
                                        end.done.skipped));
        if (end.failed)
            here_.log().log(severity::error, name, end.failed->message);
        else
            here_.out().line(
                fmt::format("{}: {} files, {} bytes", name, end.done.files, end.done.bytes));
    }

    int summarise(int hindered) {
        int code = all_well;
        if (hindered != all_well)
            code = hindered;
        else if (failed_ > 0 && denied_ == targets_)
            code = bad_secret;
        else if (ok_ + failed_ == unreached_)
            code = nothing_reached;
        else if (failed_ > 0)
            code = some_failed;
        code = here_.outcome(code);
        auto const unfinished = targets_ - ok_ - failed_;
        if (here_.words().json)
            here_.out().record(json::record("summary", "sftp")
                                   .field("targets", targets_)
                                   .field("ok", ok_)
                                   .field("failed", failed_)
                                   .field("unfinished", unfinished)
                                   .field("files", files_)
                                   .field("bytes", bytes_)
                                   .field("elapsed", clock::now() - began_)
                                   .field("exit", code));
        else if (here_.was_interrupted() || here_.words().verbosity > 0)
            here_.log().log(severity::error, "",
                            fmt::format("{} of {} hosts ok, {} failed, {} unfinished", ok_,
                                        targets_, failed_, unfinished));
        return code;
    }

    environment& here_;
    sftp_words const& words_;
    direction way_;
    ssh::options how_{.host = {}};
    limiter places_;
    dns::resolver resolver_;
    time_point began_ = clock::now();
    std::uint64_t targets_ = 0, ok_ = 0, failed_ = 0, denied_ = 0, unreached_ = 0;
    std::uint64_t files_ = 0, bytes_ = 0;
};

int run(environment& here, sftp_words const& w, direction way) {
    std::vector<sftp_errand> errands;
    if (way == direction::put)
        errands.push_back(put_errand(w));
    else
        errands = get_errands(w);
    sftp_fan_out work(here, w, way);
    return here.run(work.run(std::move(errands)));
}

} // namespace

void add_sftp(CLI::App& app, action& chosen) {
    auto* verb = app.add_subcommand("sftp", "Copy files to or from many hosts over SSH");
    auto const w = std::make_shared<sftp_words>();
    verb->require_subcommand(1);
    verb->add_option("--exclude", w->excludes, "Targets to leave out")->allow_extra_args(false);
    verb->add_option("-j,--jobs", w->jobs, "Hosts at once (64)")->check(CLI::Range(1, 100'000));
    verb->add_flag("-r,--recursive", w->recursive, "Folders with all that is in them");
    verb->add_flag("--preserve", w->preserve, "Keep permissions and times");
    verb->add_flag("--resume", w->resume,
                   "Go on with what an interrupted copy with --resume has left");
    verb->add_flag("--fsync", w->sync, "To the disk before a file gets its name");
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
