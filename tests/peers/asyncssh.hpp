#pragma once

#include "peers/sshd.hpp"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace trawl::test {

/// A server of asyncssh's on 127.0.0.1 (asyncssh_server.py).
class asyncssh {
public:
    asyncssh() {
        auto const* const source = std::getenv("TRAWL_SOURCE");
        if (!source) skip("needs TRAWL_SOURCE, the folder of the sources");
        auto const python = "/usr/bin/python3"; // Debian's
        int status = 0;
        ::waitpid(spawn({python, "-c", "import asyncssh"}, file("log")), &status, 0);
        if (status != 0) skip("needs python3-asyncssh");
        make_key(folder_, "host", "ed25519");
        make_key(folder_, "user", "ed25519");
        auto const script = std::filesystem::path(source) / "tests/peers/asyncssh_server.py";
        auto const words = [&](std::uint16_t port) {
            return std::vector<std::string>{python, script.string(), std::to_string(port),
                                            file("host").string(), file("user.pub").string()};
        };
        process_.start(words, file("log"));
    }

    std::uint16_t port() const noexcept { return process_.port(); }
    std::string user() const { return "peer"; }
    static constexpr std::size_t commands_at_once = 10;
    /// Not in the middle of output: 2.10 sends on behind its KEXINIT, against RFC 4253 §7.1, and
    /// libssh refuses that.
    static constexpr bool renews_keys = false;
    std::filesystem::path file(std::string const& name) const { return folder_ / name; }

    std::string known_hosts_line() const {
        return test::known_hosts_line(port(), read_text(file("host.pub")));
    }

private:
    scratch folder_;
    server_process process_; // ends before the folder
};

} // namespace trawl::test
