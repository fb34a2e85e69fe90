#include "cli/ping_command.hpp"
#include "icmp/namespaces.hpp"

#include <algorithm>
#include <csignal>
#include <set>
#include <unistd.h>

using namespace trawl;

namespace {

using test::need_icmp, test::ping;

std::vector<std::string> keys(boost::json::object const& o) {
    std::vector<std::string> all;
    for (auto const& [key, value] : o) all.emplace_back(key);
    return all;
}

using strings = std::vector<std::string>;

} // namespace

TEST_CASE("trawl ping 127.0.0.0/24 --json has 256 hosts and a summary", "[cli][icmp]") {
    need_icmp();
    auto const run = ping({"127.0.0.0/24"}, {.json = true});
    CHECK(run.code == 0);
    CHECK(run.err.empty());
    auto const records = run.records();
    REQUIRE(records.size() == 257);
    std::set<std::string> seen;
    for (std::size_t i = 0; i < 256; ++i) {
        auto const& host = records[i];
        CHECK(keys(host) == strings{"v", "type", "verb", "target", "address", "status", "rtt",
                                    "sent", "received"});
        CHECK(host.at("type") == "host");
        CHECK(host.at("status") == "up");
        CHECK(host.at("rtt").as_double() > 0);
        CHECK(host.at("sent").as_int64() == 1);
        seen.insert(std::string(host.at("address").as_string()));
    }
    CHECK(seen.size() == 256);
    auto const& summary = records.back();
    CHECK(keys(summary) == strings{"v", "type", "verb", "targets", "up", "down", "unreachable",
                                   "unknown", "elapsed", "exit", "shard", "seed", "list"});
    CHECK(summary.at("targets").to_number<int>() == 256);
    CHECK(summary.at("up").to_number<int>() == 256);
    CHECK(summary.at("exit").to_number<int>() == 0);
}

TEST_CASE("trawl ping 127.0.0.0/16 finds 65,536 of 65,536", "[cli][icmp]") {
    need_icmp();
    auto const run = ping({"127.0.0.0/16"});
    CHECK(run.code == 0);
    auto const lines = run.lines();
    CHECK(lines.size() == 65536);
    CHECK(std::ranges::all_of(lines,
                              [](auto const& l) { return l.find(": up ") != std::string::npos; }));
    CHECK(run.err.starts_with("65536 targets: 65536 up, 0 down, 0 unreachable, 0 unknown in "));
}

TEST_CASE("a user without rights finds them all too, and is told how", "[cli][icmp]") {
    test::network_namespace alone;
    alone.sh("sysctl net.ipv4.ping_group_range='0 2147483647'");
    if (::getuid() != 0) test::skip("needs to give up rights it has");
    auto const run = ping({"127.0.0.0/16"}, {.before = [] {
                              if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(98);
                          }});
    CHECK(run.code == 0);
    CHECK(run.lines().size() == 65536);
    CHECK(run.err.find("using an unprivileged one") != std::string::npos);
    CHECK(run.err.find("65536 targets: 65536 up") != std::string::npos);
}

TEST_CASE("without any right the reason is one line and the summary adds up", "[cli][icmp]") {
    test::network_namespace alone;
    if (::getuid() != 0) test::skip("needs to give up rights it has");
    auto const run = ping({"127.0.0.0/24"}, {.json = true, .before = [] {
                                                 if (::setgid(65534) != 0 || ::setuid(65534) != 0)
                                                     ::_exit(98);
                                             }});
    CHECK(run.code == cli::nothing_reached);
    CHECK(run.err ==
          "trawl: ping: icmp: no right to ICMP sockets (needs CAP_NET_RAW, or a group in "
          "net.ipv4.ping_group_range) (Permission denied)\n");
    REQUIRE(run.records().size() == 1);
    CHECK(run.records()[0].at("unknown").to_number<int>() == 256);
    CHECK(run.records()[0].at("exit").to_number<int>() == 4);
}

TEST_CASE("text is ADDRESS: STATUS, the summary goes to stderr, -q leaves it out", "[cli][icmp]") {
    test::network_namespace alone;
    alone.sh("sysctl net.ipv6.icmp.echo_ignore_all=1");
    auto const run =
        ping({"127.0.0.1", "::1", "192.0.2.1", "-t", "0.1"}); // which is behind no route here
    CHECK(run.code == cli::some_failed);
    auto lines = run.lines();
    std::ranges::sort(lines);
    REQUIRE(lines.size() == 3);
    CHECK(lines[0].starts_with("127.0.0.1: up 0."));
    CHECK(lines[0].ends_with(" ms"));
    CHECK(lines[1] == "192.0.2.1: unreachable (Network is unreachable)");
    CHECK(lines[2] == "::1: down");
    CHECK(run.err.starts_with("3 targets: 1 up, 1 down, 1 unreachable, 0 unknown in "));
    auto const quiet = ping({"127.0.0.1"}, {.quiet = true});
    CHECK(quiet.code == 0);
    CHECK(quiet.err.empty());
}

TEST_CASE("nothing reached is exit 4, and the silent are asked twice", "[cli][icmp]") {
    test::network_namespace alone;
    alone.sh("sysctl net.ipv4.icmp_echo_ignore_all=1");
    auto const run = ping({"127.0.0.0/30", "-t", "0.05"}, {.json = true});
    CHECK(run.code == cli::nothing_reached);
    for (auto const& record : run.records()) {
        if (record.at("type") == "summary") continue;
        CHECK(record.at("status") == "down");
        CHECK(record.at("rtt").is_null());
        CHECK(record.at("sent").as_int64() == 2);
        CHECK(record.at("received").as_int64() == 0);
    }
    auto const once = ping({"127.0.0.1", "-t", "0.05", "-r", "0"}, {.json = true}).records();
    CHECK(once.at(0).at("sent").as_int64() == 1);
    auto const counted = ping({"127.0.0.1", "-t", "0.05", "-c", "1"}, {.json = true}).records();
    CHECK(counted.at(0).at("sent").as_int64() == 1);
}

TEST_CASE("-c sends that many echoes to each", "[cli][icmp]") {
    need_icmp();
    auto const run = ping({"127.0.0.1-3", "-c", "2"});
    CHECK(run.code == 0);
    for (auto const& line : run.lines())
        CHECK(line.find(" ms (2/2), 0.0 % loss") != std::string::npos);
}

TEST_CASE("names are looked up beside the ranges, and one without address is unknown",
          "[cli][icmp]") {
    test::network_namespace alone; // so that no name server is asked
    auto const run = ping({"127.0.0.0/28", "localhost", "no-such-host.invalid"}, {.json = true});
    CHECK(run.code == cli::some_failed);
    auto const records = run.records();
    REQUIRE(records.size() == 19);
    auto const of = [&](std::string_view target) {
        return *std::ranges::find_if(records, [&](auto const& r) {
            return r.contains("target") && r.at("target").as_string() == target;
        });
    };
    CHECK(of("localhost").at("address") == "127.0.0.1");
    CHECK(of("localhost").at("status") == "up");
    CHECK(of("127.0.0.1").at("status") == "up");
    CHECK(of("no-such-host.invalid").at("address").is_null());
    CHECK(of("no-such-host.invalid").at("status") == "unknown");
    CHECK(run.err.find("no-such-host.invalid") != std::string::npos);
    auto const& summary = records.back();
    CHECK(summary.at("targets").to_number<int>() == 18);
    CHECK(summary.at("up").to_number<int>() == 17);
    CHECK(summary.at("unknown").to_number<int>() == 1);
}

TEST_CASE("--exclude leaves targets out", "[cli][icmp]") {
    need_icmp();
    auto const run =
        ping({"127.0.0.0/24", "--exclude", "127.0.0.128/25", "--exclude", "127.0.0.1"});
    CHECK(run.code == 0);
    CHECK(run.lines().size() == 127);
}

TEST_CASE("mistakes in the command line are exit 2", "[cli][icmp]") {
    for (auto const& words :
         {strings{}, strings{"127.0.0."}, strings{"127.0.0.1", "-c", "0"},
          strings{"127.0.0.1", "-t", "x"}, strings{"127.0.0.1", "--rate", "-1"},
          strings{"127.0.0.1", "--exclude", "127.0.0.0/8"}, strings{"127.0.0.1", "--no-such"}}) {
        auto const run = ping(words);
        CAPTURE(words, run.err);
        CHECK(run.code == cli::usage);
        CHECK(run.out.empty());
    }
}

TEST_CASE("Ctrl-C ends a sweep with a summary that adds up", "[cli][icmp]") {
    test::network_namespace alone;
    alone.sh("sysctl net.ipv4.icmp_echo_ignore_all=1");
    auto const run = ping({"127.0.0.0/12", "--rate", "2000", "-t", "0.05"},
                          {.json = true, .meanwhile = [](pid_t child) { ::kill(child, SIGINT); }});
    CHECK(run.code == cli::interrupted);
    auto const records = run.records();
    REQUIRE_FALSE(records.empty());
    auto const& summary = records.back();
    CHECK(summary.at("type") == "summary");
    CHECK(summary.at("exit").to_number<int>() == 130);
    auto const number = [&](char const* name) { return summary.at(name).to_number<std::size_t>(); };
    CHECK(number("targets") == 1u << 20);
    CHECK(number("down") == records.size() - 1);
    CHECK(number("up") + number("down") + number("unreachable") + number("unknown") ==
          number("targets"));
}

TEST_CASE("a part of the targets that is asked again and again is asked whole", "[cli][icmp]") {
    need_icmp();
    auto const run = ping({"127.0.0.0/28", "--shard", "1/2", "-c", "2", "-p", "0.01"});
    CHECK(run.code == 0);
    CHECK(run.lines().size() == 8);
    CHECK(run.err.starts_with("8 targets: 8 up, "));
}
