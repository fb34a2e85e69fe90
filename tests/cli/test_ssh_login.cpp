#include "cli/ssh_fixture.hpp"

using namespace trawl;
using namespace trawl::test;

namespace {

/// A server that a configuration file leads to, under the names web1, web2, ...
struct configured : lab {
    configured() {
        write("Host web*\n  HostName 127.0.0.1\n  Port " + std::to_string(server.port()) +
              "\n  User " + sshd::user() + "\n  IdentityFile " + server.file("user").string() +
              "\n  UserKnownHostsFile " + known + "\n  StrictHostKeyChecking accept-new\n");
    }
    void write(std::string const& text) const { write_text(file, text); }
    std::string text() const { return read_text(file); }

    ended run(texts words, bool json = true) const {
        words.insert(words.begin(), {"-F", file});
        return trawl_ssh(words, {"echo", "in"}, {.json = json});
    }

    std::string file = (folder / "config").string();
};

} // namespace

TEST_CASE("-F says where a host is and how to log in there", "[cli][ssh]") {
    configured here;
    auto const done = here.run({"web1"});
    auto const host = done.records().at(0);
    CHECK(host.at("status") == "ok");
    CHECK(host.at("target") == "web1");
    CHECK(host.at("address") == "127.0.0.1");
    CHECK(host.at("stdout") == "in\n");
    CHECK(read_text(here.known).find(":" + std::to_string(here.server.port())) !=
          std::string::npos);
    CHECK(done.err.empty());
}

TEST_CASE("the command line comes before the configuration", "[cli][ssh]") {
    configured here;
    CHECK(here.run({"-p", "1", "web1"}).records().at(0).at("error").at("phase") == "connect");
    CHECK(here.run({"web1:1"}).records().at(0).at("error").at("phase") == "connect");
    auto const other = here.run({"-i", here.server.file("stranger").string(), "web1"});
    CHECK(other.records().at(0).at("error").at("code") == "auth_denied");
    auto const strict = here.run(
        {"--host-key", "strict", "--known-hosts", (here.folder / "none").string(), "web1"});
    CHECK(strict.records().at(0).at("error").at("code") == "host_key_unknown");
}

TEST_CASE("what the configuration asks for in vain is said once", "[cli][ssh]") {
    configured here;
    here.write("ProxyCommand nc %h %p\nSendEnv LANG\nCiphers ^rot13\n" + here.text());
    auto const done = here.run({"-j", "1", "web[1-3]"}, false);
    CHECK(done.err == "trawl: ssh config " + here.file +
                          ":1: proxycommand is not supported\n"
                          "trawl: ssh config: the algorithm rot13 is not supported and left out\n");
    CHECK(done.code == cli::all_well);
}

TEST_CASE("-o goes before the configuration files", "[cli][ssh]") {
    configured here;
    here.write("Ciphers aes128-ctr\nServerAliveInterval 1\nRekeyLimit 1G 1h\n" + here.text());
    auto const good =
        here.run({"-o", "MACs=hmac-sha2-256", "-o", "HostKeyAlgorithms ssh-ed25519", "web1"});
    CHECK(good.code == cli::all_well);
    auto const bad = here.run({"-o", "Ciphers=aes256-cbc", "web1"});
    CHECK(std::string(bad.records().at(0).at("error").at("message").as_string())
              .find("key-exchange: key exchange failed (no common cipher; the server has ") !=
          std::string::npos);
    auto const wrong = here.run({"-o", "Prot=2", "web1"}, false);
    CHECK(wrong.err == "trawl: ssh config -o Prot=2:1: prot is not supported\n");
}

TEST_CASE("a configuration file that cannot be read ends the run", "[cli][ssh]") {
    configured here;
    auto const done = trawl_ssh({"-F", here.folder.path().string(), "web1"}, {"true"});
    CHECK(done.code == cli::some_failed);
    CHECK(done.err.find("ssh config " + here.folder.path().string()) != done.err.npos);
}
