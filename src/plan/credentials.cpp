#include "plan/credentials.hpp"

#include <trawl/net.hpp>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace trawl::plan {
namespace {

std::string current_user() {
    if (auto const* entry = ::getpwuid(::geteuid())) return entry->pw_name;
    return std::to_string(::geteuid());
}

std::filesystem::path default_known_hosts() {
    auto const* home = std::getenv("HOME");
    return home ? std::filesystem::path(home) / ".ssh/known_hosts" : std::filesystem::path();
}

/// The first line that a shell command prints. Blocks.
ssh::secret from_command(std::string const& command) {
    auto const where = "password_command";
    auto* pipe = ::popen(command.c_str(), "re");
    if (!pipe) throw error({errno, std::generic_category()}, where);
    std::string line;
    for (int c; (c = std::fgetc(pipe)) != EOF && c != '\n' && line.size() < net::max_secret;)
        line += static_cast<char>(c);
    ssh::secret password(std::move(line));
    int const end = ::pclose(pipe);
    // A command that is still writing when its first line has been read may die of SIGPIPE.
    bool const ended_well =
        (WIFEXITED(end) && WEXITSTATUS(end) == 0) || (WIFSIGNALED(end) && WTERMSIG(end) == SIGPIPE);
    if (!ended_well) throw error(errc::password_command, where, "the command failed");
    if (password.empty()) throw error(errc::password_command, where, "it printed nothing");
    return password;
}

} // namespace

credentials load_credentials(ssh_section const& from, observer* log) {
    credentials all;
    all.user = from.user.empty() ? current_user() : from.user;
    if (!from.identity.empty()) all.identity = ssh::load_private_key(from.identity);
    if (!from.password_file.empty()) {
        auto const line = net::read_secret_file(from.password_file);
        all.password = std::make_shared<ssh::secret>(std::string(line.view()));
    } else if (!from.password_command.empty()) {
        all.password = std::make_shared<ssh::secret>(from_command(from.password_command));
    }
    ssh::host_keys::options keys;
    keys.file = from.known_hosts.empty() ? default_known_hosts() : from.known_hosts;
    keys.log = log;
    all.known = std::make_shared<ssh::host_keys>(keys);
    return all;
}

} // namespace trawl::plan
