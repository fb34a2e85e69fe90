#pragma once

#include "cli/environment.hpp"

#include <trawl/observer.hpp>
#include <trawl/ssh.hpp>

#include <CLI/App.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::cli {

/// How to log in to SSH hosts, as the command line says it.
struct login_words {
    std::string user, password_file, known_hosts;
    std::string config; // a file, "none", or empty for the usual ones
    std::vector<std::string> identities;
    std::string jump;                  // empty: what the configuration says
    std::vector<std::string> settings; // lines of a configuration file before it
    std::string policy;                // empty: not said, strict
    std::uint16_t port = 0;            // 0: not said, 22
    double timeout = 0;                // seconds; 0: the library's bounds
};

/// Declares -u -i -p -t -F -J -o --host-key --known-hosts --password-file.
void add_login(CLI::App& verb, login_words& into);
/// Throws usage_error for a jump that is none.
void check_login(login_words const& given);

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

/// A secret or key that the run cannot do without: exit code 12.
struct no_secret : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Reads keys, secret and known_hosts on the pool; the host's name and addresses are left for the
/// caller. Throws no_secret, or error when the known_hosts file cannot be read.
awaitable<ssh::options> prepare_login(login_words w, environment& here);

/// Of the user who runs the command.
std::filesystem::path home_folder();
std::string local_user();

/// The key with its certificate where there is one beside `file`, and the bare key, as OpenSSH
/// does. Blocks.
void add_key(std::vector<ssh::private_key>& to, ssh::private_key key,
             std::filesystem::path const& file);

/// The index of several files; new keys go to the first. Blocks. Throws error when that one cannot
/// be read.
std::shared_ptr<ssh::host_keys> read_known_hosts(std::vector<std::string> const& files,
                                                 observer& log, offload_pool& blocking);

} // namespace trawl::cli
