#pragma once

#include "cli/verb.hpp"
#include "test.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace trawl::test {

/// How a verb ended and what it printed.
struct printed {
    int code = 0;
    std::string text;
};

/// Runs `trawl --quiet NAME WORDS...` in a child process; `add` is the verb's own.
inline printed run_verb(std::string const& name, void (*add)(CLI::App&, cli::action&),
                        std::vector<std::string> words, bool json) {
    auto* out = std::tmpfile();
    REQUIRE(out);
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::dup2(::fileno(out), 1);
        cli::settings how;
        how.json = json;
        how.quiet = true;
        cli::action chosen;
        CLI::App app;
        add(app, chosen);
        words.insert(words.begin(), name);
        std::ranges::reverse(words);
        int code = 99;
        try {
            app.parse(words);
            cli::environment here(how);
            code = chosen(here);
        } catch (CLI::ParseError const&) {
            code = cli::usage;
        }
        ::_exit(code);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFEXITED(status));
    printed seen{WEXITSTATUS(status), std::string(1 << 22, '\0')};
    std::rewind(out);
    seen.text.resize(std::fread(seen.text.data(), 1, seen.text.size(), out));
    std::fclose(out);
    return seen;
}

} // namespace trawl::test
