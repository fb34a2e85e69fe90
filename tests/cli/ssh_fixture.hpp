#pragma once

#include "cli/verb.hpp"
#include "peers/sshd.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>
#include <cstdio>
#include <functional>

namespace trawl::test {

using texts = std::vector<std::string>;

struct ended {
    int code = 0;
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
    bool json = false;
    std::function<bool()> stop = {}; ///< it gets a SIGINT when this says so
    std::function<bool(std::string const& out)> meanwhile =
        {};                 ///< asked with its output so far until it says true
    std::string input = {}; ///< its stdin
};

/// Runs the verb in a process of its own, as main does.
inline ended trawl_ssh(texts words, texts command, run_as how = {}) {
    scratch folder;
    auto const out = folder / "out", err = folder / "err", in = folder / "in";
    write_text(in, how.input);
    std::fflush(nullptr);
    pid_t const pid = ::fork();
    if (pid == 0) {
        int const to = ::open(out.c_str(), O_WRONLY | O_CREAT, 0600),
                  also = ::open(err.c_str(), O_WRONLY | O_CREAT, 0600);
        ::dup2(::open(in.c_str(), O_RDONLY), 0), ::dup2(to, 1), ::dup2(also, 2);
        // Nothing of whoever runs the tests.
        ::setenv("HOME", folder.path().c_str(), 1), ::unsetenv("SSH_AUTH_SOCK");
        int code = 99;
        try {
            cli::action chosen;
            CLI::App app;
            cli::add_ssh(app, chosen);
            words.insert(words.begin(), "ssh");
            std::reverse(words.begin(), words.end()); // as CLI11 wants a vector
            app.parse(words);
            cli::settings said;
            said.json = how.json;
            said.command = command;
            cli::environment here(said);
            code = chosen(here);
        } catch (cli::usage_error const& e) {
            std::fprintf(stderr, "%s\n", e.what());
            code = cli::usage;
        } catch (std::exception const& e) {
            std::fprintf(stderr, "%s\n", e.what());
        }
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

struct lab {
    explicit lab(std::string const& more = {}) : server(more) {}

    sshd server;
    scratch folder;
    std::string known = (folder / "known_hosts").string();

    /// Options that get in, and then `more`.
    texts with(texts more) const {
        texts all{"-F",
                  "none",
                  "-i",
                  server.file("user").string(),
                  "-p",
                  std::to_string(server.port()),
                  "-u",
                  sshd::user(),
                  "--known-hosts",
                  known};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
};

} // namespace trawl::test
