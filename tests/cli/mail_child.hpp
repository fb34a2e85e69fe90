#pragma once

#include "mail/peers.hpp"
#include "test.hpp"

#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace trawl::test {

struct result {
    int code = -1;
    std::string out, err;
};

/// Runs `program` in a child process with `input` as its standard input.
inline result in_child(std::function<int()> const& program, std::string const& input) {
    temporary_folder folder;
    auto const in = folder.path / "in", out = folder.path / "out", err = folder.path / "err";
    write_file(in, input);
    std::fflush(nullptr);
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        auto const redirect = [](std::filesystem::path const& path, int flags, int to) {
            ::dup2(::open(path.c_str(), flags, 0600), to);
        };
        redirect(in, O_RDONLY, 0);
        redirect(out, O_WRONLY | O_CREAT, 1);
        redirect(err, O_WRONLY | O_CREAT, 2);
        int const code = program();
        std::fflush(nullptr);
        ::_exit(code);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFEXITED(status));
    return {WEXITSTATUS(status), read_file(out), read_file(err)};
}

} // namespace trawl::test
