#include "cli/fping.hpp"
#include "cli/fping_sweep.hpp"
#include "cli/sendmail.hpp"
#include "cli/verb.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <vector>

namespace {

using namespace trawl::cli;

// In the order of --help.
constexpr void (*verbs[])(CLI::App&, action&){
    add_ping, add_trace,  add_merge, add_dns, add_ssh,  add_sftp,
    add_mail, add_backup, add_run,   add_lab, add_demo, add_doctor,
};

/// Thousands of sockets at once, a reader that may go away, and no core file that could hold a
/// secret.
void prepare_process() {
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &files);
    }
    rlimit const none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    std::signal(SIGPIPE, SIG_IGN);
}

void add_common(CLI::App& app, settings& words) {
    app.add_flag("--json", words.json, "One JSON object a line on stdout");
    app.add_flag("-q,--quiet", words.quiet, "No warnings and no progress");
    app.add_flag("-v,--verbose", words.verbosity, "Say more on stderr; -vv says even more");
    app.add_flag("--stats", words.stats,
                 "How well the event loop was kept (hold and lag), on stderr at the end");
}

int run(int argc, char** argv) {
    settings words;
    action chosen;
    CLI::App app("Ping sweeps, SSH fan-out, mail and backups on one event loop", "trawl");
    app.set_version_flag("--version", "trawl " TRAWL_VERSION);
    app.require_subcommand(1);
    app.fallthrough();
    add_common(app, words);
    for (auto add : verbs) add(app, chosen);
    app.add_subcommand("sendmail", "Hand a message to a mail server, as sendmail(8) would");
    for (auto* verb : app.get_subcommands(nullptr)) verb->fallthrough();
    // CLI11 does not tell where "--" stood; what follows it is the command of `trawl ssh`.
    auto** const mark = std::find_if(argv + std::min(argc, 1), argv + argc, [](char const* word) {
        return std::string_view(word) == "--";
    });
    if (mark != argv + argc) words.command.assign(mark + 1, argv + argc);
    try {
        app.parse(static_cast<int>(mark - argv), argv);
        if (mark != argv + argc && !app.got_subcommand("ssh"))
            throw CLI::ParseError("-- COMMAND is for trawl ssh", usage);
    } catch (CLI::Success const& e) { // --help, --version
        return app.exit(e);
    } catch (CLI::ParseError const& e) {
        std::fprintf(stderr, "trawl: %s; see trawl --help\n", e.what());
        return usage;
    }
    environment here(words);
    return chosen(here);
}

} // namespace

int main(int argc, char** argv) {
    prepare_process();
    try {
        if (auto const words = fping_command({argv, argv + argc})) return run_fping(*words);
        if (is_sendmail({argv, argv + argc})) return run_sendmail({argv, argv + argc});
        return run(argc, argv);
    } catch (usage_error const& e) {
        std::fprintf(stderr, "trawl: %s\n", e.what());
        return usage;
    } catch (std::exception const& e) {
        std::fprintf(stderr, "trawl: %s\n", e.what());
        return some_failed;
    }
}
