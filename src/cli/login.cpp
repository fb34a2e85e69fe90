#include "cli/login.hpp"

#include <trawl/net.hpp>

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

fs::path home() {
    if (char const* set = std::getenv("HOME"); set && *set) return set;
    auto const* entry = ::getpwuid(::geteuid());
    return entry ? entry->pw_dir : "/";
}

std::string local_user() {
    auto const* entry = ::getpwuid(::geteuid());
    return entry ? entry->pw_name : "";
}

/// The key of -i; without it (and without a password) the first of the usual ones that can be read.
ssh::private_key find_identity(login_words const& w, observer& log) {
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
    how.port = w.port;
    how.user = w.user.empty() ? local_user() : w.user;
    how.password = find_password(w);
    how.identity = find_identity(w, log);
    how.policy = policies.at(w.policy);
    ssh::host_keys::options keys;
    keys.file = w.known_hosts.empty() ? home() / ".ssh" / "known_hosts" : fs::path(w.known_hosts);
    keys.blocking = &blocking;
    keys.log = &log;
    how.known = std::make_shared<ssh::host_keys>(keys);
    if (w.known_hosts.empty()) {
        fs::path const global = "/etc/ssh/ssh_known_hosts";
        how.known->parse(read_if_there(global, log), global.native());
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

} // namespace

void add_login(CLI::App& verb, login_words& into) {
    verb.add_option("-u,--user", into.user, "User to log in as; default: your own name");
    verb.add_option("-i,--identity", into.identity,
                    "Private key file; default: ~/.ssh/id_ed25519, id_ecdsa, id_rsa");
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
}

awaitable<ssh::options> prepare_login(login_words w, environment& here) {
    kept_log said;
    auto& blocking = here.blocking();
    auto work = [&] { return prepare(w, said, blocking); };
    auto how = co_await blocking.run(std::move(work));
    said.hand_over(here.log());
    how.log = &here.log();
    how.known->log_to(&here.log());
    co_return how;
}

} // namespace trawl::cli
