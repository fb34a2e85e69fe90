#pragma once

#include "cli/verb.hpp"
#include "peers/sshd.hpp"
#include "test.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace trawl::test {

using texts = std::vector<std::string>;

/// How a verb ended and what it printed.
struct ended {
    int code = 0; ///< 1000 and the signal that killed it
    std::string out, err;

    std::vector<boost::json::object> records() const {
        std::vector<boost::json::object> found;
        std::istringstream lines(out);
        for (std::string line; std::getline(lines, line);)
            found.push_back(boost::json::parse(line).as_object());
        return found;
    }
};

struct run_as {
    bool json = false, quiet = false;
    texts command = {};              ///< what follows "--"
    std::function<bool()> stop = {}; ///< it gets a SIGINT when this says so
    std::function<bool(std::string const& out)> meanwhile =
        {};                 ///< asked with its output so far until it says true
    std::string input = {}; ///< its stdin
};

/// What main does with the words of one verb.
inline int verb_main(std::string const& name, void (*add)(CLI::App&, cli::action&), texts words,
                     run_as const& how) {
    try {
        cli::action chosen;
        CLI::App app;
        add(app, chosen);
        words.insert(words.begin(), name);
        std::reverse(words.begin(), words.end()); // as CLI11 wants a vector
        app.parse(words);
        cli::settings said;
        said.json = how.json;
        said.quiet = how.quiet;
        said.command = how.command;
        cli::environment here(said);
        return chosen(here);
    } catch (cli::usage_error const& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return cli::usage;
    } catch (CLI::ParseError const& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return cli::usage;
    } catch (std::exception const& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 99;
    }
}

/// Runs a verb in a process of its own; `add` declares it.
inline ended run_verb(std::string const& name, void (*add)(CLI::App&, cli::action&), texts words,
                      run_as how = {}) {
    scratch folder;
    auto const out = folder / "out", err = folder / "err", in = folder / "in";
    write_text(in, how.input);
    std::fflush(nullptr);
    pid_t const pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        int const to = ::open(out.c_str(), O_WRONLY | O_CREAT, 0600),
                  also = ::open(err.c_str(), O_WRONLY | O_CREAT, 0600);
        ::dup2(::open(in.c_str(), O_RDONLY), 0), ::dup2(to, 1), ::dup2(also, 2);
        // Nothing of whoever runs the tests.
        ::setenv("HOME", folder.path().c_str(), 1), ::unsetenv("SSH_AUTH_SOCK");
        int const code = verb_main(name, add, std::move(words), how);
        std::fflush(nullptr);
        ::_exit(code);
    }
    if (how.stop) {
        while (!how.stop()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        ::kill(pid, SIGINT);
    }
    while (how.meanwhile && !how.meanwhile(read_text(out)))
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    int status = 0;
    ::waitpid(pid, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), read_text(out),
            read_text(err)};
}

} // namespace trawl::test
