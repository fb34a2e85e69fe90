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

TEST_CASE(
    "the rules of a backup are read: when a full is made, what is read again, what is left out",
    "[plan]") {
    auto const job = plan::parse(R"([[backup]]
source = "/home"
destination = "/backups"
kind = "differential"
full_on = "never"
full_every = 14
full_after = 30
full_over = 80
between = "differential"
rehash_parts = 30
append_delta = true
exclude = ["*.o", "/cache/"]
exclude_from = "patterns"
ignore_file = ".nobackup"
exclude_caches = true
exclude_nodump = true
one_file_system = true
exclude_larger_than = 4_000_000_000
[[backup]]
source = "/etc"
destination = "/backups"
exclude = "*.bak"
rehash = true
)",
                                 "p", "/plans");
    REQUIRE(job.backups.size() == 2);
    auto const& all = job.backups[0];
    CHECK(all.what == backup::kind::differential);
    CHECK_FALSE(all.full_on);
    CHECK(all.full_every == std::chrono::days(14));
    CHECK(all.full_after == 30);
    CHECK(all.full_over_percent == 80);
    CHECK(all.between == backup::kind::differential);
    CHECK(all.rehash_parts == 30);
    CHECK(all.append_delta);
    CHECK_FALSE(job.backups[1].append_delta);
    CHECK(all.rehash_part == 0);
    CHECK(all.exclude == std::vector<std::string>{"*.o", "/cache/"});
    CHECK(all.exclude_from == std::vector<std::filesystem::path>{"/plans/patterns"});
    CHECK(all.ignore_file == ".nobackup");
    CHECK(all.exclude_caches);
    CHECK(all.exclude_nodump);
    CHECK(all.one_file_system);
    CHECK(all.max_file_bytes == 4'000'000'000);
    auto const& few = job.backups[1];
    CHECK(few.what == backup::kind::automatic);
    CHECK(few.full_on == std::chrono::Monday);
    CHECK(few.full_every.count() == 0);
    CHECK(few.between == backup::kind::incremental);
    CHECK(few.rehash_parts == 1);
    CHECK(few.exclude == std::vector<std::string>{"*.bak"});
    CHECK(few.ignore_file == ".trawlignore");
    CHECK_FALSE(few.one_file_system);
    CHECK(few.max_file_bytes == 0);

    auto const of = [](char const* line) {
        return complaint("[[backup]]\nsource='/etc'\ndestination='d'\n" + std::string(line));
    };
    CHECK(contains(of("full_every = 0"), "full_every must be between 1 and 36500"));
    CHECK(contains(of("full_after = 'x'"), "full_after must be a number"));
    CHECK(contains(of("between = 'full'"), "between must be one of incremental, differential"));
    CHECK(contains(of("rehash = 'yes'"), "rehash must be true or false"));
    CHECK(contains(of("exclude = [1]"), "exclude must hold strings only"));
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
