#include "cli/targets.hpp"
#include "cli/verb.hpp"

#include <trawl/dns.hpp>
#include <trawl/limiter.hpp>
#include <trawl/net.hpp>
#include <trawl/ssh.hpp>
#include <trawl/task_group.hpp>

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <pwd.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace trawl::cli {
namespace {

namespace fs = std::filesystem;

std::map<std::string, ssh::host_key_policy> const policies{
    {"strict", ssh::host_key_policy::strict},
    {"accept-new", ssh::host_key_policy::accept_new},
    {"warn", ssh::host_key_policy::warn},
    {"auto-add", ssh::host_key_policy::auto_add},
};

/// What the command line said.
struct words {
    std::vector<std::string> targets, excludes;
    std::string user, identity, password_file, known_hosts;
    std::string policy = "strict";
    std::uint16_t port = 22;
    std::size_t jobs = 64;
    std::size_t max_output = 1024 * 1024;
    double timeout = 0;
};

fs::path home() {
    if (char const* set = std::getenv("HOME"); set && *set) return set;
    auto const* entry = ::getpwuid(::geteuid());
    return entry ? entry->pw_dir : "/";
}

std::string local_user() {
    auto const* entry = ::getpwuid(::geteuid());
    return entry ? entry->pw_name : "";
}

/// A secret or key that the run cannot do without.
struct no_secret : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The key of -i; without it (and without a password) the first of the usual ones that can be read.
ssh::private_key find_identity(words const& w, observer& log) {
    if (!w.identity.empty()) {
        try {
            return ssh::load_private_key(w.identity);
        } catch (error const& bad) {
            throw no_secret(bad.what());
        }
    }
    if (!w.password_file.empty()) return {};
    for (auto const* name : {"id_ed25519", "id_ecdsa", "id_rsa"}) {
        auto const file = home() / ".ssh" / name;
        try {
            if (fs::exists(file)) return ssh::load_private_key(file);
        } catch (error const& bad) {
            log.log(severity::warning, "ssh", std::string(bad.what()) + ", not used");
        }
    }
    return {};
}

std::shared_ptr<net::secret const> find_password(words const& w) {
    if (w.password_file.empty()) return {};
    try {
        return std::make_shared<net::secret>(net::read_secret_file(w.password_file));
    } catch (error const& bad) {
        throw no_secret(bad.what());
    }
}

std::string read_if_there(fs::path const& file) {
    std::error_code missing;
    auto const size = fs::file_size(file, missing);
    if (missing) return {};
    std::string text(size, '\0');
    auto* const in = std::fopen(file.c_str(), "re");
    if (!in) return {};
    text.resize(std::fread(text.data(), 1, text.size(), in));
    std::fclose(in);
    return text;
}

/// Everything that blocks: keys, secrets, known_hosts. Runs on the pool before the first
/// connection.
ssh::options prepare(words const& w, observer& log, offload_pool& blocking) {
    ssh::options how{.host = {}};
    how.port = w.port;
    how.user = w.user.empty() ? local_user() : w.user;
    how.password = find_password(w);
    how.identity = find_identity(w, log);
    how.policy = policies.at(w.policy);
    how.log = &log;
    ssh::host_keys::options keys;
    keys.file = w.known_hosts.empty() ? home() / ".ssh" / "known_hosts" : fs::path(w.known_hosts);
    keys.blocking = &blocking;
    keys.log = &log;
    how.known = std::make_shared<ssh::host_keys>(keys);
    if (w.known_hosts.empty()) {
        fs::path const global = "/etc/ssh/ssh_known_hosts";
        how.known->parse(read_if_there(global), global.native());
    }
    if (w.timeout > 0) {
        std::chrono::milliseconds const limit(static_cast<std::int64_t>(w.timeout * 1000));
        how.timeouts.connect = how.timeouts.handshake = how.timeouts.auth = how.timeouts.exec =
            limit;
    }
    return how;
}

/// Warnings of the pool's threads, handed to the observer when they are back on the loop.
class kept_log : public observer {
public:
    void log(severity level, std::string_view where, std::string_view text) override {
        lines_.push_back({level, std::string(where), std::string(text)});
    }
    void hand_over(observer& to) {
        for (auto const& l : lines_) to.log(l.level, l.where, l.text);
        lines_.clear();
    }

private:
    struct line {
        severity level;
        std::string where, text;
    };
    std::vector<line> lines_;
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
            co_await load();
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
    awaitable<> load() {
        kept_log said;
        auto work = [this, &said] { return prepare(words_, said, here_.blocking()); };
        how_ = co_await here_.blocking().run(std::move(work));
        said.hand_over(here_.log());
        how_.log = &here_.log();
    }

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
    verb->add_option("-u,--user", w->user, "User to log in as; default: your own name");
    verb->add_option("-i,--identity", w->identity,
                     "Private key file; default: ~/.ssh/id_ed25519, id_ecdsa, id_rsa");
    verb->add_option("-p,--port", w->port, "Port of targets that name none (22)")
        ->check(CLI::Range(1, 65535));
    verb->add_option("-j,--jobs", w->jobs, "Hosts at once (64)")->check(CLI::Range(1, 100'000));
    verb->add_option("-t,--timeout", w->timeout,
                     "Seconds for each step: connecting, handshake, login, command")
        ->check(CLI::PositiveNumber);
    verb->add_option("--host-key", w->policy,
                     "Unknown host keys: strict (refuse), accept-new, warn, auto-add")
        ->check(CLI::IsMember(&policies));
    verb->add_option("--known-hosts", w->known_hosts,
                     "File of known host keys; default: ~/.ssh/known_hosts");
    verb->add_option("--password-file", w->password_file, "File whose first line is the password");
    verb->add_option("--max-output", w->max_output,
                     "Bytes kept of each output stream of a host (1 MiB)");
    verb->callback([w, &chosen] { chosen = [w](environment& here) { return run(here, *w); }; });
}

} // namespace trawl::cli
