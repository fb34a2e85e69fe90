#pragma once

#include "cli/verb.hpp"
#include "test.hpp"
#include "text.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <functional>
#include <string>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace trawl::test {

/// What came of a command.
struct result {
    int code = -1;
    std::string out, err;

    std::vector<std::string> lines() const { return test::lines(out); }
    std::vector<boost::json::object> records() const {
        std::vector<boost::json::object> all;
        for (auto const& line : lines()) all.push_back(boost::json::parse(line).as_object());
        return all;
    }
};

struct manner {
    bool json = false, quiet = false;
    std::function<void()> before = [] {};      ///< in the child
    std::function<void(pid_t)> meanwhile = {}; ///< here, when it has printed some results
};

inline int run_ping(std::vector<std::string> words, manner const& how) {
    how.before();
    try {
        CLI::App app("test", "trawl");
        cli::action chosen;
        cli::settings settings;
        settings.json = how.json;
        settings.quiet = how.quiet;
        cli::add_ping(app, chosen);
        words.insert(words.begin(), "ping");
        std::ranges::reverse(words);
        app.parse(words);
        cli::environment here(settings);
        return chosen(here);
    } catch (CLI::ParseError const&) {
        return cli::usage;
    } catch (cli::usage_error const&) {
        return cli::usage;
    } catch (std::exception const& e) {
        std::fprintf(stderr, "uncaught: %s\n", e.what());
        return 99;
    }
}

inline bool has_ended(pid_t child) {
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT);
    return info.si_pid == child;
}

/// Runs `trawl ping WORDS...` in a child process.
inline result ping(std::vector<std::string> words, manner how = {}) {
    auto* out = std::tmpfile();
    auto* err = std::tmpfile();
    REQUIRE((out && err));
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::alarm(60); // none takes as long, whatever happens to it
        ::dup2(::fileno(out), 1);
        ::dup2(::fileno(err), 2);
        ::_exit(run_ping(std::move(words), how));
    }
    if (how.meanwhile) {
        struct stat now {};
        while (::fstat(::fileno(out), &now) == 0 && now.st_size == 0 && !has_ended(child))
            ::usleep(1000);
        how.meanwhile(child);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFEXITED(status));
    auto const content = [](std::FILE* file) {
        std::string all;
        std::array<char, 65536> part;
        std::rewind(file);
        while (auto const length = std::fread(part.data(), 1, part.size(), file))
            all.append(part.data(), length);
        std::fclose(file);
        return all;
    };
    auto printed = content(out);
    return {WEXITSTATUS(status), std::move(printed), content(err)};
}

/// A case that needs ICMP sockets begins with this.
inline void need_icmp() {
    auto const tried = ping({"127.0.0.1"});
    if (tried.code == cli::nothing_reached) skip("needs the right to ICMP sockets");
}

} // namespace trawl::test
