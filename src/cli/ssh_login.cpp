#include "cli/ssh_login.hpp"

#include <trawl/error.hpp>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace trawl::cli {
namespace {

namespace fs = std::filesystem;

/// Keywords that change nothing here, or that distributions set for everybody.
constexpr std::string_view harmless[] = {
    "sendenv",        "setenv",        "hashknownhosts",    "gssapiauthentication",
    "forwardagent",   "forwardx11",    "forwardx11trusted", "gssapidelegatecredentials",
    "compression",    "controlmaster", "controlpath",       "controlpersist",
    "addkeystoagent", "loglevel",      "visualhostkey",     "requesttty",
    "tcpkeepalive",   "escapechar",    "updatehostkeys",    "batchmode",
};

void tell_problems(ssh::config const& config, observer& log) {
    for (auto const& one : config.problems()) {
        auto const keyword = one.text.substr(0, one.text.find(' '));
        bool const minor = std::ranges::find(harmless, keyword) != std::end(harmless);
        log.log(minor ? severity::debug : severity::warning, "ssh config " + one.where, one.text);
    }
}

ssh::host_key_policy policy_of(std::string const& checking) {
    if (checking == "accept-new") return ssh::host_key_policy::accept_new;
    if (checking == "no") return ssh::host_key_policy::warn;
    return ssh::host_key_policy::strict; // yes; and ask, for nobody is there to be asked
}

} // namespace

ssh_login::ssh_login(environment& here, login_words const& words)
    : here_(here), words_(words), jumps_(here.io().get_executor(), [this](ssh::jump_host hop) {
          return options_for_hop(std::move(hop));
      }) {}

awaitable<> ssh_login::prepare() {
    base_ = co_await prepare_login(words_, here_);
    auto const home = home_folder();
    std::vector<fs::path> files{home / ".ssh/config", "/etc/ssh/ssh_config"};
    if (!words_.config.empty()) files = {words_.config};
    if (words_.config == "none") files.clear();
    ssh::config::local const me{local_user(), home.string()};
    auto work = [&] {
        return std::make_unique<ssh::config const>(ssh::load_config(files, me, words_.settings));
    };
    config_ = co_await here_.blocking().run(std::move(work));
    tell_problems(*config_, here_.log());
}

awaitable<ssh::options> ssh_login::options_for(targets::target const& target) {
    std::optional<std::string> user;
    if (!words_.user.empty()) user = words_.user;
    auto const said = config_->lookup(target.host(), user);
    auto how = base_;
    how.host = said.host_name.value_or(target.host());
    if (said.user) how.user = *said.user;
    if (words_.port == 0) how.port = said.port.value_or(22);
    if (target.port) how.port = *target.port;
    co_await obey(said, how);
    auto const jump = words_.jump.empty() ? said.proxy_jump.value_or("none") : words_.jump;
    how.jump = co_await jumps_.to(jump, target.to_string());
    co_return how;
}

/// As OpenSSH's: what the command line says of user and port is the target's, and so is the
/// password.
awaitable<ssh_jumps::hop_login> ssh_login::options_for_hop(ssh::jump_host hop) {
    auto const said = config_->lookup(hop.host, hop.user);
    ssh_jumps::hop_login found{base_, said.proxy_jump.value_or("none")};
    auto& how = found.how;
    how.host = said.host_name.value_or(hop.host);
    how.user = said.user.value_or(local_user());
    how.port = hop.port.value_or(said.port.value_or(22));
    how.password.reset();
    co_await obey(said, how);
    co_return found;
}

/// What the configuration says, where the command line says nothing.
awaitable<> ssh_login::obey(ssh::host_config const& said, ssh::options& how) {
    if (said.strict_host_key_checking && words_.policy.empty())
        how.policy = policy_of(*said.strict_host_key_checking);
    if (said.connect_timeout && words_.timeout <= 0)
        how.timeouts.connect = how.timeouts.handshake = *said.connect_timeout;
    bool const others_named = !words_.identities.empty() || !words_.password_file.empty();
    if (!others_named && !said.identity_files.empty())
        how.identities = co_await keys_of(said.identity_files);
    if (said.identities_only.value_or(false)) how.agent.reset();
    if (said.known_hosts_files && words_.known_hosts.empty())
        how.known = co_await known_of(*said.known_hosts_files);
    if (said.server_alive_interval) how.keepalive.interval = *said.server_alive_interval;
    if (said.server_alive_count_max) how.keepalive.unanswered = *said.server_alive_count_max;
    how.algorithms.ciphers = said.ciphers.value_or("");
    how.algorithms.key_exchanges = said.kex_algorithms.value_or("");
    how.algorithms.macs = said.macs.value_or("");
    how.algorithms.host_keys = said.host_key_algorithms.value_or("");
    how.rekey.bytes = said.rekey_bytes.value_or(0);
    how.rekey.time = said.rekey_time.value_or(std::chrono::seconds(0));
    for (auto const& name : ssh::unsupported_names(how.algorithms))
        if (mentioned_.insert(name).second)
            here_.log().log(severity::warning, "ssh config",
                            "the algorithm " + name + " is not supported and left out");
}

/// A file that is missing or cannot be used is left out, as OpenSSH does.
awaitable<ssh_login::key_list> ssh_login::keys_of(std::vector<std::string> const& files) {
    key_list all;
    for (auto const& file : files) {
        if (!keys_.contains(file)) {
            std::string trouble;
            auto work = [&] {
                key_list loaded;
                try {
                    if (fs::exists(file)) add_key(loaded, ssh::load_private_key(file), file);
                } catch (error const& bad) {
                    trouble = bad.what();
                }
                return loaded;
            };
            auto loaded = co_await here_.blocking().run(std::move(work));
            bool const first = keys_.emplace(file, std::move(loaded)).second;
            if (first && !trouble.empty())
                here_.log().log(severity::warning, "ssh", trouble + ", not used");
        }
        auto const& keys = keys_.at(file);
        all.insert(all.end(), keys.begin(), keys.end());
    }
    co_return all;
}

/// New keys go to the first of the files.
awaitable<ssh_login::index> ssh_login::known_of(std::vector<std::string> const& files) {
    if (auto const found = known_.find(files); found != known_.end()) co_return found->second;
    kept_log said;
    auto& blocking = here_.blocking();
    auto work = [&] { return read_known_hosts(files, said, blocking); };
    auto read = co_await blocking.run(std::move(work));
    auto const [place, fresh] = known_.emplace(files, std::move(read));
    if (fresh) {
        said.hand_over(here_.log());
        place->second->log_to(&here_.log());
    }
    co_return place->second;
}

} // namespace trawl::cli
