#pragma once

#include "test.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace trawl::test {

/// What a program wrote, and its exit code.
struct ran {
    int code = -1;
    std::string out, err;
};

inline bool fping_is_installed() { return std::system("command -v fping >/dev/null 2>&1") == 0; }

/// Runs the installed fping by the shell. Only on 127.0.0.0/8, or in a namespace of the test's own.
inline ran run_fping(std::string const& arguments, std::string const& before = "exec") {
    auto const file =
        (std::filesystem::temp_directory_path() / ("trawl-fping-" + std::to_string(::getpid())))
            .string();
    auto const content = [](std::string const& name) {
        std::ifstream in(name);
        std::string text(std::istreambuf_iterator<char>(in), {});
        std::filesystem::remove(name);
        return text;
    };
    auto const line =
        before + " fping " + arguments + " >" + file + ".out 2>" + file + ".err </dev/null";
    int const status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content(file + ".out"),
            content(file + ".err")};
}

} // namespace trawl::test
