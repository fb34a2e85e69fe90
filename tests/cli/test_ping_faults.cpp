#include "cli/ping_command.hpp"
#include "cli/scratch_folder.hpp"
#include "icmp/on_link.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <map>
#include <sstream>

using namespace trawl;
using test::ping;

namespace {

using strings = std::vector<std::string>;

/// Hosts by status, after a look at what every run must keep: each target has one record, the
/// summary counts them, and none is down that was not asked.
std::map<std::string, std::size_t> tally(test::result const& run, std::size_t targets) {
    auto const records = run.records();
    REQUIRE(records.size() == targets + 1);
    std::map<std::string, std::size_t> by_status{
        {"up", 0}, {"down", 0}, {"unreachable", 0}, {"unknown", 0}};
    std::map<std::string, int> seen;
    bool sound = true;
    for (auto const& host : std::span(records).first(targets)) {
        std::string const status(host.at("status").as_string());
        auto const sent = host.at("sent").as_int64(), received = host.at("received").as_int64();
        ++by_status[status];
        sound = sound && ++seen[std::string(host.at("target").as_string())] == 1;
        sound = sound && received <= sent && (received > 0) == (status == "up");
        sound = sound && (status != "down" || sent > 0);
        sound = sound && host.contains("error") == (status == "unreachable" || status == "unknown");
    }
    CHECK(sound);
    auto const& summary = records.back();
    CHECK(summary.at("targets").to_number<std::size_t>() == targets);
    for (auto const& [status, count] : by_status)
        CHECK(summary.at(status).to_number<std::size_t>() == count);
    return by_status;
}

/// Echo requests that have come in on this network namespace.
std::uint64_t requests() {
    std::ifstream file("/proc/thread-self/net/snmp");
    std::string line, names;
    while (std::getline(file, line)) {
        if (!line.starts_with("IcmpMsg:")) continue;
        if (names.empty()) {
            names = line;
            continue;
        }
        std::istringstream name(names), value(line);
        for (std::string n, v; name >> n && value >> v;)
            if (n == "InType8") return std::stoull(v);
    }
    return 0;
}

} // namespace

TEST_CASE("an interface that goes away ends a sweep, and no one it hid is called down",
          "[cli][icmp]") {
    auto const& targets = GENERATE(strings{"10.66.0.0/20", "10.67.0.0/22"}, // half are there
                                   strings{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"},
                                   strings{"--ring", "10.66.0.0/20", "10.67.0.0/22"});
    auto const fault = GENERATE("ip link set near down", "ip link del near");
    CAPTURE(targets, fault);
    test::on_link_network link;
    link.answer_for("10.66.0.0/20");
    link.answer_for("192.0.2.0/24");
    link.sh("ip route add default via 10.64.0.2");
    auto words = targets;
    auto const size = targets.size() == 3 && targets[0] != "--ring" ? 768u : 5120u;
    // All of it takes a second, the fault comes with the first answers.
    for (auto const* word : {"-t", "0.3", "--rate"}) words.push_back(word);
    words.push_back(std::to_string(size));
    auto const began = clock::now();
    auto const run = ping(words, {.json = true, .meanwhile = [&](pid_t) { link.sh(fault); }});
    CHECK(clock::now() - began < std::chrono::seconds(15));
    CHECK(run.code == cli::some_failed);
    CHECK(run.err.empty());
    auto const by_status = tally(run, size);
    CHECK(by_status.at("up") > 0);
    CHECK(by_status.at("up") < size / 2);
    CHECK(by_status.at("down") == 0);
    CHECK(by_status.at("unreachable") + by_status.at("unknown") > size / 2);
}

TEST_CASE("an interface that comes back is used again", "[cli][icmp]") {
    auto const kind = GENERATE("", "--ring");
    CAPTURE(kind);
    test::on_link_network link;
    link.answer_for("10.66.0.0/20");
    strings words{"10.66.0.0/20", "-t", "0.3", "--rate", "2048"};
    if (*kind) words.push_back(kind);
    auto const renew = [&](pid_t) {
        link.sh("ip link del near");
        link.connect();
    };
    auto const run = ping(words, {.json = true, .meanwhile = renew});
    tally(run, 4096);
    // Asked long after the other end was there again.
    CHECK(std::ranges::any_of(run.records(), [](auto const& r) {
        return r.contains("target") && r.at("target") == "10.66.15.255" && r.at("status") == "up";
    }));
}

TEST_CASE("without any route all targets are unreachable at once", "[cli][icmp]") {
    auto const& words = GENERATE(strings{"192.0.2.0/24", "2001:db8::/120"},
                                 strings{"192.0.2.0/24", "198.51.100.0/24"},
                                 strings{"192.0.2.0/24", "198.51.100.0/24", "--ring"});
    CAPTURE(words);
    test::network_namespace alone;
    auto const began = clock::now();
    auto const run = ping(words, {.json = true});
    CHECK(clock::now() - began < std::chrono::seconds(5));
    CHECK(run.code == cli::nothing_reached);
    CHECK(run.err.empty());
    CHECK(tally(run, 512).at("unreachable") == 512);
    CHECK(run.records()[0].at("error") == "Network is unreachable");
}

TEST_CASE("after Ctrl-C the same command asks the rest, and no one twice", "[cli][icmp][resume]") {
    test::network_namespace alone;
    test::scratch_folder const here;
    auto const state = (here / "state").string();
    strings const words{"127.0.0.0/19", "--resume", state, "--rate", "10000"};
    auto const stopped =
        ping(words, {.json = true, .meanwhile = [](pid_t child) { ::kill(child, SIGINT); }});
    CHECK(stopped.code == cli::interrupted);
    CHECK(stopped.err.find("the same command with --resume " + state + " goes on behind ") !=
          std::string::npos);
    auto first = stopped.records();
    auto const summary = first.back();
    first.pop_back();
    auto const number = [&](char const* name) { return summary.at(name).to_number<std::size_t>(); };
    CHECK(number("up") == first.size());
    CHECK(number("up") + number("unknown") == 8192);
    CHECK(std::filesystem::exists(state));

    auto const before = requests();
    auto const resumed = ping(words, {.json = true});
    CHECK(resumed.code == cli::all_well);
    auto second = resumed.records();
    CHECK(second.back().at("up").to_number<std::size_t>() == 8192); // of both
    second.pop_back();
    CHECK(requests() - before == 8192 - first.size());
    std::map<std::string, int> seen;
    for (auto const* part : {&first, &second})
        for (auto const& host : *part) ++seen[std::string(host.at("target").as_string())];
    CHECK(seen.size() == 8192);
    CHECK(first.size() + second.size() == 8192);
    CHECK_FALSE(std::filesystem::exists(state));
}
