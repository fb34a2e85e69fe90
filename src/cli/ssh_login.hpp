#pragma once

#include "cli/environment.hpp"
#include "cli/login.hpp"
#include "cli/ssh_jump.hpp"

#include <trawl/ssh.hpp>
#include <trawl/ssh_config.hpp>
#include <trawl/targets.hpp>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace trawl::cli {

/// How to log in to each host: what the command line says, then the configuration files, then the
/// defaults. Keys and known_hosts files are read once for all hosts. Outlives its calls.
class ssh_login {
public:
    ssh_login(environment& here, login_words const& words);

    /// Reads everything that is for all hosts. Throws as prepare_login does.
    awaitable<> prepare();

    /// Options for a target. With a jump, that is connected when they are there; without one the
    /// addresses are left to the caller, who looks up options.host. Throws ssh::failure of the
    /// jump, error for a known_hosts file that cannot be read.
    awaitable<ssh::options> options_for(targets::target const& target);

    /// While it lives, options may be asked for; then the jumps are left, for the loop ends only
    /// when nothing is connected.
    class in_use {
    public:
        explicit in_use(ssh_login& login) noexcept : login_(login) {}
        in_use(in_use const&) = delete;
        in_use& operator=(in_use const&) = delete;
        ~in_use() { login_.jumps_.leave(); }

    private:
        ssh_login& login_;
    };

private:
    using key_list = std::vector<ssh::private_key>;
    using index = std::shared_ptr<ssh::host_keys>;

    awaitable<> obey(ssh::host_config const& said, ssh::options& how);
    awaitable<ssh_jumps::hop_login> options_for_hop(ssh::jump_host hop);
    awaitable<key_list> keys_of(std::vector<std::string> const& files);
    awaitable<index> known_of(std::vector<std::string> const& files);

    environment& here_;
    login_words const& words_;
    ssh::options base_{.host = {}};
    std::unique_ptr<ssh::config const> config_;
    std::map<std::string, key_list> keys_;
    std::map<std::vector<std::string>, index> known_;
    std::set<std::string> mentioned_;
    ssh_jumps jumps_;
};

} // namespace trawl::cli
