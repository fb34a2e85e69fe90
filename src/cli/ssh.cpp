#include "cli/prompt.hpp"
#include "cli/ssh_forward.hpp"
#include "cli/ssh_job.hpp"
#include "cli/targets.hpp"
#include "cli/verb.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace trawl::cli {
namespace {

/// What the command line said.
struct words {
    std::vector<std::string> targets, excludes;
    std::string script, only, sudo_password_file;
    bool stream = false, group = false, feed_stdin = false, as_root = false;
    login_words login;
    fan_out_options pace;
    forward_words ports;
    std::size_t max_output = 1024 * 1024;
};

std::shared_ptr<ssh_input const> read_script(std::string const& name, environment& here) {
    int const file = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) throw error(std::error_code(errno, std::generic_category()), "--script " + name);
    return std::make_shared<ssh_input>(file, name, here.blocking());
}

std::shared_ptr<ssh_input const> read_stdin(environment& here) {
    int const file = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    if (file < 0)
        throw error(std::error_code(errno, std::generic_category()), "read standard input");
    return std::make_shared<ssh_input>(file, "standard input", here.blocking());
}

std::string joined(std::vector<std::string> const& all) {
    std::string text;
    for (auto const& word : all) text += (text.empty() ? "" : " ") + word;
    return text;
}

/// From the file, else from the user; none where there is neither: sudo may not ask.
std::shared_ptr<net::secret const> find_sudo_password(words const& w) {
    if (!w.sudo_password_file.empty())
        return std::make_shared<net::secret>(net::read_secret_file(w.sudo_password_file));
    auto typed = ask_secret("sudo password for all hosts (empty: none): ");
    if (!typed || typed->empty()) return {};
    return std::make_shared<net::secret>(std::move(*typed));
}

ssh_command find_command(words const& w, environment& here) {
    ssh_command what{.line = joined(here.words().command)};
    what.max_output = w.max_output;
    if (!w.script.empty()) {
        // The words become the script's parameters.
        what.line = what.line.empty() ? "/bin/sh -s" : "/bin/sh -s -- " + what.line;
        what.input = read_script(w.script, here);
    }
    if (w.ports.alone) return what;
    if (what.line.empty()) throw usage_error("no command: trawl ssh TARGET... -- COMMAND");
    what.as_root = w.as_root || !w.sudo_password_file.empty();
    if (what.as_root) what.sudo_password = find_sudo_password(w);
    if (w.feed_stdin) what.input = read_stdin(here);
    return what;
}

std::unique_ptr<ssh_writer> find_writer(words const& w, environment& here) {
    if (here.words().json) return make_ssh_json(here, w.stream);
    if (w.stream) return make_ssh_stream(here);
    if (w.group) return make_ssh_group(here);
    return make_ssh_text(here, w.max_output);
}

void check(words const& w, environment& here) {
    if (w.targets.empty() && w.only.empty()) throw usage_error("no target");
    if (w.feed_stdin && std::ranges::count(w.targets, "-") + std::ranges::count(w.excludes, "-"))
        throw usage_error("--stdin: standard input is the list of targets");
    check_login(w.login);
    if (w.group && here.words().json) throw usage_error("--group is for text, not for --json");
    if (w.ports.alone && !w.ports.any()) throw usage_error("-N is for -L, -R or -D");
    bool const command = !here.words().command.empty() || !w.script.empty();
    if (w.ports.alone && (command || w.feed_stdin || w.as_root || !w.sudo_password_file.empty()))
        throw usage_error("-N is without a command");
}

int run(environment& here, words const& w) {
    check(w, here);
    std::unique_ptr<earlier_results> only;
    if (!w.only.empty()) only = std::make_unique<earlier_results>(w.only);
    auto hosts = read_targets(w.targets, w.excludes);
    if (only && w.targets.empty()) hosts = only->list();
    if (hosts.empty() && !only) throw usage_error("no target is left");
    auto const rules = parse_forwards(w.ports);
    if (!rules.empty() && hosts.size() != 1)
        throw usage_error(fmt::format("-L, -R and -D are for one target, not {}", hosts.size()));
    auto const what = find_command(w, here);
    auto const writer = find_writer(w, here);
    auto job = [&](targets::target const& at) {
        auto command = make_command_job(at, what, *writer);
        if (rules.empty()) return command;
        return make_forward_job(here, rules, w.ports.alone, std::move(command));
    };
    std::vector<host_errand> errands{{std::move(hosts), std::move(job)}};
    ssh_login login(here, w.login);
    fan_out round(here, login, w.pace);
    auto whole = [&]() -> awaitable<int> {
        auto const totals = co_await round.run(std::move(errands), only.get());
        writer->finish(totals);
        co_return totals.exit_code;
    };
    return here.run(whole());
}

void add_output(CLI::App& verb, words& into) {
    auto* stream =
        verb.add_flag("--stream", into.stream, "Each line as it comes, behind its host's name");
    verb.add_flag("--group", into.group,
                  "Equal answers once, others as their difference to the majority, at the end")
        ->excludes(stream);
    verb.add_option("--max-output", into.max_output,
                    "Bytes kept of each output stream of a host (1 MiB); no bound with --stream");
}

void add_input(CLI::App& verb, words& into) {
    auto* script = verb.add_option("--script", into.script,
                                   "File to run as a shell script; COMMAND becomes its parameters");
    verb.add_flag("--stdin", into.feed_stdin, "Standard input for every host's command")
        ->excludes(script);
    verb.add_flag("--become", into.as_root,
                  "Run it as root with sudo; asks once at the terminal for its password");
    verb.add_option("--become-password-file", into.sudo_password_file,
                    "--become with the password in the first line of a file");
}

} // namespace

void add_ssh(CLI::App& app, action& chosen) {
    auto* verb =
        app.add_subcommand("ssh", "Run a command on many hosts: trawl ssh TARGET... -- COMMAND");
    auto const w = std::make_shared<words>();
    verb->add_option("TARGET", w->targets,
                     "Hosts: names, addresses, ranges, node[01-20], @FILE, -");
    verb->add_option("--exclude", w->excludes, "Targets to leave out")->allow_extra_args(false);
    verb->add_option(
        "--only", w->only,
        "failed@FILE, nonzero@FILE, unfinished@FILE: of the hosts of an earlier --json");
    add_pace(*verb, w->pace);
    add_output(*verb, *w);
    add_input(*verb, *w);
    add_forwards(*verb, w->ports);
    add_login(*verb, w->login);
    verb->callback([w, &chosen] { chosen = [w](environment& here) { return run(here, *w); }; });
}

} // namespace trawl::cli
