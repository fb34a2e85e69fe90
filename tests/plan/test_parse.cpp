#include "test.hpp"

#include <trawl/plan.hpp>

#include <string>

using namespace std::chrono_literals;
using namespace trawl;

namespace {

/// The message of the error that a plan text makes; empty when it makes none.
std::string complaint(std::string const& text) {
    try {
        plan::parse(text, "night.toml", "/plans");
    } catch (std::system_error const& e) {
        return e.what();
    }
    return {};
}

bool contains(std::string const& text, std::string const& part) {
    return text.find(part) != std::string::npos;
}

char const whole_plan[] = R"([sweep]
targets = ["127.7.0.0/28", "node[1-3].example"]
exclude = ["127.7.0.3"]
timeout = 0.5
retries = 2
rate = 1000
[ssh]
user = "ops"
port = 2222
identity = "id_ed25519"
host_key = "accept-new"
known_hosts = "/etc/known_hosts"
commands = ["uname -a", "df -h"]
jobs = 100
timeout = 7.5
[[backup]]
source = "/etc/security"
destination = "backups"
name = "security"
full_on = "sun"
[[backup]]
source = "home"
destination = "backups"
hash = "md5"
level = "fast"
zstd = true
[mail]
server = "127.0.0.1:2525"
tls = "none"
from = "Night run <ops@example.org>"
to = ["admin@example.org", "Zoë <z@example.org>"]
subject = "night run"
)";

} // namespace

TEST_CASE("every section of a plan is read, and relative paths are taken from its folder",
          "[plan]") {
    auto const job = plan::parse(whole_plan, "night.toml", "/plans");
    REQUIRE(job.sweep);
    CHECK(job.sweep->targets.size() == 15 + 3);
    CHECK(job.sweep->timeout == 500ms);
    CHECK(job.sweep->retries == 2);
    CHECK(job.sweep->rate == 1000);
    REQUIRE(job.ssh);
    CHECK(job.ssh->user == "ops");
    CHECK(job.ssh->port == 2222);
    CHECK(job.ssh->identity == "/plans/id_ed25519");
    CHECK(job.ssh->known_hosts == "/etc/known_hosts");
    CHECK(job.ssh->host_key == ssh::host_key_policy::accept_new);
    CHECK(job.ssh->commands == std::vector<std::string>{"uname -a", "df -h"});
    CHECK(job.ssh->jobs == 100);
    CHECK(job.ssh->timeout == 7500ms);
    REQUIRE(job.backups.size() == 2);
    CHECK(job.backups[0].source == "/etc/security");
    CHECK(job.backups[0].destination == "/plans/backups");
    CHECK(job.backups[0].name == "security");
    CHECK(job.backups[0].full_on == std::chrono::Sunday);
    CHECK(job.backups[1].source == "/plans/home");
    CHECK(job.backups[1].hash == backup::hash::md5);
    CHECK(job.backups[1].level == backup::level::fast);
    CHECK(job.backups[1].zstd);
    REQUIRE(job.mail);
    CHECK(job.mail->host == "127.0.0.1");
    CHECK(job.mail->port == 2525);
    CHECK(job.mail->tls == smtp::tls::none);
    CHECK(job.mail->to.size() == 2);
}

TEST_CASE("what is left out has safe defaults", "[plan]") {
    auto const job = plan::parse("[sweep]\ntargets = '127.0.0.1'\n[ssh]\n", "p", ".");
    CHECK(job.ssh->host_key == ssh::host_key_policy::strict);
    CHECK(job.ssh->port == 22);
    CHECK(job.ssh->jobs == 64);
    CHECK(job.backups.empty());
    CHECK_FALSE(job.mail);
}

TEST_CASE("a mistake in a plan is named with file, line and column", "[plan]") {
    CHECK(contains(complaint("[sweep]\ntargets = [\"10.0.0.1\"\n"), "night.toml:"));
    CHECK(contains(complaint("[sweep]\ntarget = ['10.0.0.1']\n"), "night.toml:2:1"));
    CHECK(contains(complaint("[sweep]\ntarget = ['10.0.0.1']\n"), "has no key target"));
    CHECK(contains(complaint("[sweeps]\n"), "sweeps is no section"));
    CHECK(contains(complaint("[sweep]\ntargets = 5\n"), "night.toml:2:11"));
    CHECK(contains(complaint("[sweep]\ntargets = ['a', 5]\n"), "must hold strings only"));
    CHECK(contains(complaint("[sweep]\ntargets = ['10.0.0.300']\n"), "10.0.0.300"));
    CHECK(contains(complaint("[sweep]\ntargets='127.0.0.1'\n[ssh]\nport = 70000\n"),
                   "port must be between 1 and 65535"));
    CHECK(contains(complaint("[sweep]\ntargets='127.0.0.1'\n[ssh]\nport = \"22\"\n"),
                   "port must be a number"));
    CHECK(contains(complaint("[sweep]\ntargets='127.0.0.1'\n[ssh]\nhost_key = 'yes'\n"),
                   "strict, accept-new, warn, auto-add"));
    CHECK(contains(complaint("[sweep]\ntargets='127.0.0.1'\n[ssh]\ntimeout = -1\n"),
                   "timeout must be between"));
    CHECK(contains(complaint("[[backup]]\nsource = '/etc'\n"), "needs destination"));
    CHECK(contains(complaint("[[backup]]\nsource='/etc'\ndestination='d'\nfull_on='monday'\n"),
                   "full_on must be one of mon"));
    CHECK(contains(complaint("[mail]\nfrom='a@b.example'\nto='c@d.example'\n"), "nothing to do"));
    CHECK(contains(
        complaint("[[backup]]\nsource='/etc'\ndestination='d'\n[mail]\nfrom='a@b.example'\n"),
        "needs to"));
    CHECK(contains(
        complaint("[[backup]]\nsource='/etc'\ndestination='d'\n[mail]\nfrom='a@@b'\nto='c'\n"),
        "a@@b"));
    CHECK(contains(complaint("[sweep]\ntargets='127.0.0.1:22'\n"), "night.toml:2:9"));
    CHECK(contains(complaint("[sweep]\ntargets='127.0.0.1:22'\n"), "take no port"));
    CHECK(contains(complaint("[ssh]\n"), "needs a [sweep]"));
    CHECK(contains(complaint(""), "nothing to do"));
}

TEST_CASE("a plan never takes a password itself", "[plan]") {
    CHECK(contains(complaint("[sweep]\ntargets='127.0.0.1'\n[ssh]\npassword = 'x'\n"),
                   "has no key password"));
}
