#include "cli/login.hpp"
#include "cli/targets.hpp"
#include "cli/verb.hpp"

#include <trawl/dns.hpp>
#include <trawl/limiter.hpp>
#include <trawl/ssh.hpp>
#include <trawl/task_group.hpp>

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

namespace trawl::cli {
namespace {

/// What the command line said.
struct words {
    std::vector<std::string> targets, excludes;
    login_words login;
    std::size_t jobs = 64;
    std::size_t max_output = 1024 * 1024;
};

class fan_out {
public:
    fan_out(environment& here, words const& w, std::string command)
        : here_(here), words_(w), command_(std::move(command)), places_(w.jobs),
          resolver_(here.io().get_executor()) {}

    awaitable<int> run(targets::list hosts) {
        targets_ = hosts.size();
        int hindered = all_well;
        try {
            how_ = co_await prepare_login(words_.login, here_);
            auto all = [this, &hosts](task_group& group) -> awaitable<> {
                targets::cursor walk(hosts);
                while (auto next = walk.next()) {
                    auto place = co_await places_.acquire();
                    group.spawn(one(std::move(*next), std::move(place)));
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
    awaitable<> one(targets::target target, [[maybe_unused]] limiter::ticket place) {
        auto const began = clock::now();
        auto how = how_;
        how.host = target.host();
        if (target.port) how.port = *target.port;
        std::optional<ssh::failure> failed;
        std::optional<ssh::completed> done;
        std::optional<asio::ip::address> address = target.address;
        try {
            if (address)
                how.addresses = {*address};
            else
                how.addresses = co_await addresses_of(target);
            if (how.addresses.size() == 1) address = how.addresses.front();
            ssh::session host(here_.io().get_executor(), how);
            ssh::exec_options limits;
            limits.max_output = words_.max_output;
            try {
                co_await host.connect();
                done = co_await host.exec(command_, limits);
            } catch (...) {
                if (host.address()) address = host.address();
                throw;
            }
            address = host.address();
        } catch (ssh::failure const& reason) {
            failed = reason;
        } catch (error const& reason) { // of the known_hosts file
            failed.emplace(reason.code(), ssh::phase::host_key, target.to_string(), reason.said());
        }
        auto const elapsed = clock::now() - began;
        if (!failed && !done->exit_status) failed = without_status(target, *done);
        count(failed, done);
        if (here_.words().json)
            show_record(target, address, failed, done, elapsed);
        else
            show_text(target, failed, done);
        here_.log().progress("hosts", ok_ + failed_, targets_);
    }

    awaitable<std::vector<asio::ip::address>> addresses_of(targets::target target) {
        try {
            co_return co_await resolver_.addresses(target.name);
        } catch (error const& unknown) {
            throw ssh::failure(unknown.code(), ssh::phase::resolve, target.to_string(),
                               unknown.said());
        }
    }

    static ssh::failure without_status(targets::target const& target, ssh::completed const& done) {
        auto said = done.exit_signal.empty() ? std::string("the command ended without a status")
                                             : "the command was ended by SIG" + done.exit_signal;
        return {ssh::errc::no_status, ssh::phase::exec, target.to_string(), std::move(said)};
    }

    void count(std::optional<ssh::failure> const& failed,
               std::optional<ssh::completed> const& done) {
        if (failed) {
            ++failed_;
            denied_ += failed->code() == ssh::errc::auth_denied;
            unreached_ += failed->at() <= ssh::phase::connect;
        } else {
            ++ok_;
            nonzero_ += done->exit_status != 0;
        }
    }

    void show_record(targets::target const& target, std::optional<asio::ip::address> const& address,
                     std::optional<ssh::failure> const& failed,
                     std::optional<ssh::completed> const& done, duration elapsed) {
        namespace bj = boost::json;
        auto const or_null = [](auto const& value) {
            return value ? bj::value(*value) : bj::value();
        };
        bj::value reason, at, signal;
        if (failed)
            reason = bj::object{{"code", json::text(failed->word())},
                                {"phase", json::text(ssh::name(failed->at()))},
                                {"message", json::text(failed->what())}};
        if (address) at = json::text(address->to_string());
        if (done && !done->exit_signal.empty()) signal = json::text(done->exit_signal);
        auto const nothing = ssh::completed();
        auto const& seen = done ? *done : nothing;
        here_.out().record(json::record("host", "ssh")
                               .field("target", target.to_string())
                               .field("address", at)
                               .field("status", failed ? "failed" : "ok")
                               .field("exit_status", or_null(seen.exit_status))
                               .field("exit_signal", signal)
                               .field("stdout", seen.out)
                               .field("stderr", seen.err)
                               .field("stdout_truncated", bj::value(seen.out_truncated))
                               .field("stderr_truncated", bj::value(seen.err_truncated))
                               .field("error", reason)
                               .field("elapsed", elapsed));
    }

    void show_text(targets::target const& target, std::optional<ssh::failure> const& failed,
                   std::optional<ssh::completed> const& done) {
        auto const name = target.to_string();
        if (done) {
            std::string text;
            add_stream(text, name, "OUT", done->out);
            add_stream(text, name, "ERROR", done->err);
            if (!text.empty()) here_.out().raw(text); // one write: hosts do not mix
            if (done->out_truncated || done->err_truncated)
                here_.log().log(severity::warning, name,
                                fmt::format("more output than {} bytes, the rest was dropped",
                                            words_.max_output));
            if (done->exit_status.value_or(0) != 0)
                here_.log().log(severity::error, name,
                                fmt::format("exit status {}", *done->exit_status));
        }
        if (failed) here_.log().log(severity::error, "", failed->what());
    }

    static void add_stream(std::string& text, std::string const& name, char const* kind,
                           std::string const& bytes) {
        if (bytes.empty()) return;
        text += fmt::format("[{}]{}:\n", name, kind);
        text += bytes;
        if (bytes.back() != '\n') text += '\n';
    }

    int summarise(int hindered) {
        auto const reached = ok_ + failed_ - unreached_;
        int code = all_well;
        if (hindered != all_well)
            code = hindered;
        else if (failed_ > 0 && denied_ == targets_)
            code = bad_secret;
        else if (reached == 0)
            code = nothing_reached;
        else if (failed_ > 0 || nonzero_ > 0)
            code = some_failed;
        code = here_.outcome(code);
        if (here_.words().json)
            here_.out().record(json::record("summary", "ssh")
                                   .field("targets", targets_)
                                   .field("ok", ok_)
                                   .field("failed", failed_)
                                   .field("unfinished", targets_ - ok_ - failed_)
                                   .field("nonzero", nonzero_)
                                   .field("elapsed", clock::now() - began_)
                                   .field("exit", code));
        else if (here_.was_interrupted() || here_.words().verbosity > 0)
            here_.log().log(severity::error, "",
                            fmt::format("{} of {} hosts ok, {} failed, {} unfinished", ok_,
                                        targets_, failed_, targets_ - ok_ - failed_));
        return code;
    }

    environment& here_;
    words const& words_;
    std::string command_;
    ssh::options how_{.host = {}};
    limiter places_;
    dns::resolver resolver_;
    time_point began_ = clock::now();
    std::uint64_t targets_ = 0, ok_ = 0, failed_ = 0, denied_ = 0, unreached_ = 0, nonzero_ = 0;
};

int run(environment& here, words const& w) {
    std::string command;
    for (auto const& word : here.words().command) command += (command.empty() ? "" : " ") + word;
    if (command.empty()) throw usage_error("no command: trawl ssh TARGET... -- COMMAND");
    auto hosts = read_targets(w.targets, w.excludes);
    if (hosts.empty()) throw usage_error("no target is left");
    fan_out work(here, w, std::move(command));
    return here.run(work.run(std::move(hosts)));
}

} // namespace

void add_ssh(CLI::App& app, action& chosen) {
    auto* verb =
        app.add_subcommand("ssh", "Run a command on many hosts: trawl ssh TARGET... -- COMMAND");
    auto const w = std::make_shared<words>();
    verb->add_option("TARGET", w->targets, "Hosts: names, addresses, ranges, node[01-20], @FILE, -")
        ->required();
    verb->add_option("--exclude", w->excludes, "Targets to leave out")->allow_extra_args(false);
    verb->add_option("-j,--jobs", w->jobs, "Hosts at once (64)")->check(CLI::Range(1, 100'000));
    verb->add_option("--max-output", w->max_output,
                     "Bytes kept of each output stream of a host (1 MiB)");
    add_login(*verb, w->login);
    verb->callback([w, &chosen] { chosen = [w](environment& here) { return run(here, *w); }; });
}

} // namespace trawl::cli
