#pragma once

#include "cli/environment.hpp"

#include <trawl/ssh.hpp>

#include <CLI/App.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace trawl::cli {

/// How to log in to SSH hosts, as the command line says it.
struct login_words {
    std::string user, password_file, known_hosts;
    std::vector<std::string> identities;
    std::string policy = "strict";
    std::uint16_t port = 22;
    double timeout = 0; // seconds; 0: the library's bounds
};

/// Declares -u -i -p -t --host-key --known-hosts --password-file.
void add_login(CLI::App& verb, login_words& into);

/// A secret or key that the run cannot do without: exit code 12.
struct no_secret : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Reads keys, secret and known_hosts on the pool; the host's name and addresses are left for the
/// caller. Throws no_secret, or error when the known_hosts file cannot be read.
awaitable<ssh::options> prepare_login(login_words w, environment& here);

} // namespace trawl::cli
