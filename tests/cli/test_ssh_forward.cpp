#include "cli/ssh_fixture.hpp"
#include "cli/ssh_forward.hpp"

using namespace trawl;
using namespace trawl::test;

namespace {

/// Prints the banner of what answers at `port` of the loopback, after `first` has been sent and as
/// many bytes dropped as `skip` says. The server's loopback is this machine's, too.
texts banner_at(std::uint16_t port, std::string const& first = {}, int skip = 0) {
    auto script = "exec 3<>/dev/tcp/127.0.0.1/" + std::to_string(port) + ";";
    if (!first.empty())
        script +=
            " printf '" + first + "' >&3; head -c " + std::to_string(skip) + " <&3 >/dev/null;";
    return {"bash -c \"" + script + " read -r line <&3; echo \\$line\""};
}

std::string hex(unsigned byte) {
    char text[8];
    std::snprintf(text, sizeof text, "\\x%02x", byte & 0xff);
    return text;
}

std::string to(std::uint16_t port) { return ":127.0.0.1:" + std::to_string(port); }

} // namespace

TEST_CASE("-L, -R and -D forward while the command runs", "[cli][ssh][forward]") {
    known_lab here;
    auto const inner = here.server.port();
    auto const port = free_port();
    auto const at = std::to_string(port);
    auto const local = trawl_ssh(here.with({"-L", at + to(inner), "127.0.0.1"}), banner_at(port));
    CHECK(local.err.empty());
    CHECK(local.code == cli::all_well);
    CHECK(local.out.find("SSH-2.0-OpenSSH") != std::string::npos);
    auto const remote = trawl_ssh(here.with({"-R", at + to(inner), "127.0.0.1"}), banner_at(port));
    CHECK(remote.err.empty());
    CHECK(remote.out.find("SSH-2.0-OpenSSH") != std::string::npos);
    auto const wish =
        "\\x05\\x01\\x00\\x05\\x01\\x00\\x01\\x7f\\x00\\x00\\x01" + hex(inner >> 8u) + hex(inner);
    auto const dynamic =
        trawl_ssh(here.with({"-D", "localhost:" + at, "127.0.0.1"}), banner_at(port, wish, 12));
    CHECK(dynamic.err.empty());
    CHECK(dynamic.out.find("SSH-2.0-OpenSSH") != std::string::npos);
}

TEST_CASE("-N forwards until it is stopped", "[cli][ssh][forward]") {
    known_lab here;
    auto const port = free_port();
    run_as how;
    how.stop = [&] { return accepts(port); };
    auto const at = "127.0.0.1:" + std::to_string(port);
    auto const done =
        trawl_ssh(here.with({"-N", "-L", at + to(here.server.port()), "127.0.0.1"}), {}, how);
    CHECK(done.code == cli::interrupted);
    CHECK(done.out.empty());
    CHECK_FALSE(accepts(port));
}

TEST_CASE("a port that the server chooses is told", "[cli][ssh][forward]") {
    known_lab here;
    auto const done = trawl_ssh(here.with({"-R", "0:localhost:22", "127.0.0.1"}), {"true"});
    CHECK(done.code == cli::all_well);
    CHECK(done.err.starts_with("the server's port "));
    CHECK(done.err.ends_with(" leads to localhost:22\n"));
}

TEST_CASE("a port that cannot be had ends the run before the command", "[cli][ssh][forward]") {
    known_lab here;
    auto const taken = std::to_string(here.server.port());
    auto const local = trawl_ssh(here.with({"-L", taken + ":x:1", "127.0.0.1"}), {"echo", "ran"});
    CHECK(local.code == cli::some_failed);
    CHECK(local.out.empty());
    CHECK(local.err.find("listen at 127.0.0.1:" + taken + ": Address already in use") !=
          std::string::npos);
    auto const remote = trawl_ssh(
        here.with({"-R", "127.0.0.1:" + taken + ":127.0.0.1:1", "127.0.0.1"}), {"echo", "ran"});
    CHECK(remote.code == cli::some_failed);
    CHECK(remote.out.empty());
    CHECK(remote.err.find("(127.0.0.1:" + taken) != std::string::npos);
}

TEST_CASE("what -L, -R, -D and -N do not take is told", "[cli][ssh][forward]") {
    known_lab here;
    auto const told = [&](texts words, texts command = {"true"}) {
        auto const done = trawl_ssh(here.with(std::move(words)), std::move(command));
        CHECK(done.code == cli::usage);
        return done.err;
    };
    CHECK(told({"-L", "1:a:2", "127.0.0.1", "127.0.0.2"}) ==
          "-L, -R and -D are for one target, not 2\n");
    CHECK(told({"-N", "127.0.0.1"}, {}) == "-N is for -L, -R or -D\n");
    CHECK(told({"-N", "-D", "1080", "127.0.0.1"}) == "-N is without a command\n");
    CHECK(told({"-D", "1080", "127.0.0.1"}, {}) == "no command: trawl ssh TARGET... -- COMMAND\n");
    CHECK(told({"-L", "80:host", "127.0.0.1"}) == "-L 80:host: not [BIND:]PORT:HOST:HOSTPORT\n");
    CHECK(told({"-D", "a:b:c", "127.0.0.1"}) == "-D a:b:c: not [BIND:]PORT\n");
    CHECK(told({"-R", "x:host:80", "127.0.0.1"}) == "-R x:host:80: x is no port\n");
    CHECK(told({"-L", "80:host:0", "127.0.0.1"}) == "-L 80:host:0: 0 is no port\n");
    CHECK(told({"-L", "80:host:65536", "127.0.0.1"}) == "-L 80:host:65536: 65536 is no port\n");
    CHECK(told({"-L", "80::1", "127.0.0.1"}) == "-L 80::1: no host\n");
    CHECK(told({"-D", "here:1080", "127.0.0.1"}) ==
          "-D here:1080: here is no address to listen at: an address, localhost or *\n");
}

TEST_CASE("the words of a forwarding are read as ssh(1) reads them", "[cli][ssh][forward]") {
    cli::forward_words words;
    words.local = {"8080:web:80", "*:1:h:2", ":1:h:2", "[::1]:1:[fe80::1]:2", "127.0.0.2:1:h:2"};
    words.remote = {"0:localhost:22", "name.example:1:h:2"};
    words.dynamic = {"1080", "[::1]:1080"};
    auto const all = cli::parse_forwards(words);
    REQUIRE(all.size() == 9);
    CHECK(all[0].bind.empty());
    CHECK(all[0].port == 8080);
    CHECK(all[0].host == "web");
    CHECK(all[0].host_port == 80);
    CHECK(all[1].bind == "*");
    CHECK(all[2].bind == "*");
    CHECK(all[3].bind == "::1");
    CHECK(all[3].host == "fe80::1");
    CHECK(all[4].bind == "127.0.0.2");
    CHECK(all[5].port == 0);
    CHECK(all[6].bind == "name.example");
    CHECK(all[7].port == 1080);
    CHECK(all[8].bind == "::1");
}
