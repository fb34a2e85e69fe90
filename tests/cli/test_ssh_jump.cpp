#include "cli/ssh_fixture.hpp"

using namespace trawl;
using namespace trawl::test;

namespace {

/// Two servers: `gate` may be gone through, `inner` lets nobody in but from where the gate's
/// connections come from.
struct two_servers {
    two_servers() {
        text = "Host *\n  IdentityFile " + inner.file("user").string() + "\n  IdentityFile " +
               gate.file("user").string() + "\n  UserKnownHostsFile " + known +
               "\n  StrictHostKeyChecking accept-new\n  User " + sshd::user() +
               "\nHost web*\n  HostName 127.0.0.1\n  Port " + std::to_string(inner.port()) +
               "\nHost gate*\n  HostName 127.0.0.1\n  Port " + std::to_string(gate.port()) + "\n";
    }

    ended run(texts words, std::string const& before = {}, bool json = true) const {
        write_text(folder / "config", before + text);
        words.insert(words.begin(), {"-F", (folder / "config").string()});
        return trawl_ssh(words, {"echo", "in"}, {.json = json});
    }
    std::size_t logins(sshd const& at) const {
        auto const log = at.log();
        std::size_t count = 0;
        for (auto i = log.find("Accepted publickey"); i != log.npos;
             i = log.find("Accepted publickey", i + 1))
            ++count;
        return count;
    }

    sshd gate{"LogLevel INFO"}, inner{"LogLevel INFO"};
    scratch folder;
    std::string known = (folder / "known_hosts").string(), text;
};

std::string message(boost::json::object const& record) {
    return std::string(record.at("error").at("message").as_string());
}

} // namespace

TEST_CASE("ProxyJump of the configuration leads to all hosts behind it, with one login",
          "[cli][ssh][jump]") {
    two_servers here;
    auto const done = here.run({"web[1-12]"}, "Host web*\n  ProxyJump gate1\n");
    CHECK(done.code == cli::all_well);
    CHECK(done.err.empty());
    auto const records = done.records();
    REQUIRE(records.size() == 13);
    for (std::size_t i = 0; i < 12; ++i) {
        CHECK(records[i].at("stdout") == "in\n");
        CHECK(records[i].at("address").is_null());
    }
    CHECK(here.logins(here.gate) == 1);
    CHECK(here.logins(here.inner) == 12);
}

TEST_CASE("-J goes before the configuration, over several hops", "[cli][ssh][jump]") {
    two_servers here;
    auto const done =
        here.run({"-J", "gate1,web9,gate2", "web[1-3]"}, "Host web*\n  ProxyJump no\n");
    CHECK(done.code == cli::all_well);
    CHECK(here.logins(here.gate) == 2);
    CHECK(here.logins(here.inner) == 4);
    auto const none = here.run({"-J", "none", "web1"}, "Host web*\n  ProxyJump nowhere.invalid\n");
    CHECK(none.code == cli::all_well);
    CHECK(here.logins(here.gate) == 2);
}

TEST_CASE("a jump host has a jump of its own where the configuration says so", "[cli][ssh][jump]") {
    two_servers here;
    auto const done =
        here.run({"web[1-2]"}, "Host web*\n  ProxyJump gate2\nHost gate2\n  ProxyJump gate1\n");
    CHECK(done.code == cli::all_well);
    CHECK(here.logins(here.gate) == 2);
}

TEST_CASE("a jump host that is reached through itself is refused", "[cli][ssh][jump]") {
    two_servers here;
    auto const done = here.run({"web1"}, "ProxyJump gate1\n");
    CHECK(done.code == cli::nothing_reached);
    CHECK(message(done.records().at(0)).find("is reached through itself") != std::string::npos);
}

TEST_CASE("the hop that fails is named, with the host it was for", "[cli][ssh][jump]") {
    two_servers here;
    auto const stranger = here.gate.file("stranger").string();
    auto const gate = "127.0.0.1:" + std::to_string(here.gate.port());

    auto const denied = here.run({"-i", stranger, "-J", "gate1", "web[1-3]"});
    CHECK(denied.code == cli::bad_secret);
    for (std::size_t i = 0; i < 3; ++i) {
        auto const record = denied.records().at(i);
        auto const said = message(record), target = std::string(record.at("target").as_string());
        CHECK(said.starts_with("ssh " + gate + " auth: permission denied"));
        CHECK(said.find("jump host for " + target) != said.npos);
    }
    CHECK(here.gate.log().find("Failed publickey") == std::string::npos); // offered, not signed

    auto const away = here.run({"-J", "127.0.0.1:" + std::to_string(free_port()), "web1"});
    CHECK(away.code == cli::nothing_reached);
    CHECK(away.records().at(0).at("error").at("phase") == "connect");
    CHECK(message(away.records().at(0)).find("refused; jump host for web1") != std::string::npos);

    auto const port = std::to_string(free_port());
    auto const behind = here.run({"-p", port, "-J", "gate1", "web1"});
    CHECK(message(behind.records().at(0)) == "ssh 127.0.0.1:" + port +
                                                 " connect: connection failed (through " + gate +
                                                 ": Connection refused)");
}

TEST_CASE("--jump that makes no sense is a mistake of the command line", "[cli][ssh][jump]") {
    auto const done = trawl_ssh({"-F", "none", "--jump", "gate:0", "web1"}, {"true"});
    CHECK(done.code == cli::usage);
    CHECK(done.err == "--jump: not [USER@]HOST[:PORT],...: gate:0\n");
}
