#include "cli/login.hpp"

#include "cli/prompt.hpp"

#include <trawl/net.hpp>
#include <trawl/ssh_agent.hpp>
#include <trawl/ssh_config.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <pwd.h>
#include <sstream>
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

/// Asks for the passphrase of an encrypted key that was named.
ssh::private_key load_named_key(fs::path const& file) {
    try {
        return ssh::load_private_key(file);
    } catch (error const& bad) {
        if (bad.code() != ssh::errc::bad_passphrase) throw;
        auto const typed = ask_secret("passphrase of " + file.string() + ": ");
        if (!typed) throw;
        return ssh::load_private_key(file, *typed);
    }
}

/// The keys of -i; without it (and without a password) the usual ones that can be read.
std::vector<ssh::private_key> find_identities(login_words const& w, observer& log) {
    std::vector<ssh::private_key> keys;
    try {
        for (auto const& file : w.identities) add_key(keys, load_named_key(file), file);
    } catch (error const& bad) {
        throw no_secret(bad.what());
    }
    if (!keys.empty() || !w.password_file.empty()) return keys;
    for (auto const* name : {"id_ed25519", "id_ecdsa", "id_rsa"}) {
        auto const file = home_folder() / ".ssh" / name;
        try {
            if (fs::exists(file)) add_key(keys, ssh::load_private_key(file), file);
        } catch (error const& bad) {
            log.log(severity::warning, "ssh", std::string(bad.what()) + ", not used");
        }
    }
    return keys;
}

std::shared_ptr<net::secret const> find_password(login_words const& w) {
    if (w.password_file.empty()) return {};
    try {
        return std::make_shared<net::secret>(net::read_secret_file(w.password_file));
    } catch (error const& bad) {
        throw no_secret(bad.what());
    }
}

std::string read_if_there(fs::path const& file, observer& log) {
    std::error_code unknown;
    if (!fs::exists(file, unknown)) return {};
    std::ifstream in(file, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    if (!in) log.log(severity::warning, "ssh known_hosts " + file.string(), "cannot be read");
    return text.str();
}

/// Everything that blocks: keys, secrets, known_hosts. Runs on the pool before the first
/// connection.
ssh::options prepare(login_words const& w, observer& log, offload_pool& blocking) {
    ssh::options how{.host = {}};
    if (w.port != 0) how.port = w.port;
    how.user = w.user.empty() ? local_user() : w.user;
    how.password = find_password(w);
    how.identities = find_identities(w, log);
    if (!w.policy.empty()) how.policy = policies.at(w.policy);
    if (w.known_hosts.empty())
        how.known = read_known_hosts(
            {(home_folder() / ".ssh" / "known_hosts").string(), "/etc/ssh/ssh_known_hosts"}, log,
            blocking);
    else
        how.known = read_known_hosts({w.known_hosts}, log, blocking);
    if (w.timeout > 0) {
        std::chrono::milliseconds const limit(static_cast<std::int64_t>(w.timeout * 1000));
        how.timeouts.connect = how.timeouts.handshake = how.timeouts.auth = how.timeouts.exec =
            limit;
    }
    return how;
}

} // namespace

fs::path home_folder() {
    if (char const* set = std::getenv("HOME"); set && *set) return set;
    auto const* entry = ::getpwuid(::geteuid());
    return entry ? entry->pw_dir : "/";
}

std::string local_user() {
    auto const* entry = ::getpwuid(::geteuid());
    return entry ? entry->pw_name : "";
}

void add_key(std::vector<ssh::private_key>& to, ssh::private_key key, fs::path const& file) {
    auto certificate = file;
    certificate += "-cert.pub";
    if (fs::exists(certificate)) to.push_back(ssh::with_certificate(key, certificate));
    to.push_back(std::move(key));
}

std::shared_ptr<ssh::host_keys> read_known_hosts(std::vector<std::string> const& files,
                                                 observer& log, offload_pool& blocking) {
    ssh::host_keys::options how;
    how.blocking = &blocking;
    how.log = &log;
    auto const first = files.empty() || files[0] == "none" ? std::string() : files[0];
    how.file = first;
    auto known = std::make_shared<ssh::host_keys>(how);
    for (std::size_t i = 1; i < files.size(); ++i)
        known->parse(read_if_there(files[i], log), files[i]);
    return known;
}

void add_login(CLI::App& verb, login_words& into) {
    verb.add_option("-u,--user", into.user, "User to log in as; default: your own name");
    verb.add_option("-i,--identity", into.identities,
                    "Private key file, may be given several times; default: ~/.ssh/id_ed25519, "
                    "id_ecdsa, id_rsa and the agent's")
        ->allow_extra_args(false);
    verb.add_option("-p,--port", into.port, "Port of targets that name none (22)")
        ->check(CLI::Range(1, 65535));
    verb.add_option("-t,--timeout", into.timeout,
                    "Seconds for each step: connecting, handshake, login, command")
        ->check(CLI::PositiveNumber);
    verb.add_option("--host-key", into.policy,
                    "Unknown host keys: strict (refuse), accept-new, warn, auto-add")
        ->check(CLI::IsMember(&policies));
    verb.add_option("--known-hosts", into.known_hosts,
                    "File of known host keys; default: ~/.ssh/known_hosts");
    verb.add_option("--password-file", into.password_file, "File whose first line is the password");
    verb.add_option("-F,--config", into.config,
                    "OpenSSH configuration file, or none; default: ~/.ssh/config and "
                    "/etc/ssh/ssh_config");
    verb.add_option("-J,--jump", into.jump,
                    "Go through [USER@]HOST[:PORT],...: one connection for all targets; none: "
                    "not even if the configuration says so");
    verb.add_option("-o,--option", into.settings,
                    "KEYWORD=VALUE of ssh_config(5), before the configuration files; may be given "
                    "several times")
        ->allow_extra_args(false);
}

void check_login(login_words const& given) {
    if (!ssh::parse_jump(given.jump.empty() ? "none" : given.jump))
        throw usage_error("--jump: not [USER@]HOST[:PORT],...: " + given.jump);
}

awaitable<ssh::options> prepare_login(login_words w, environment& here) {
    kept_log said;
    auto& blocking = here.blocking();
    auto work = [&] { return prepare(w, said, blocking); };
    auto how = co_await blocking.run(std::move(work));
    said.hand_over(here.log());
    how.log = &here.log();
    how.known->log_to(&here.log());
    auto agent = std::make_shared<ssh::agent>(here.io().get_executor(), ssh::agent::options());
    bool const others_named = !w.identities.empty() || !w.password_file.empty();
    if (agent->there() && !others_named) how.agent = std::move(agent);
    co_return how;
}

} // namespace trawl::cli
