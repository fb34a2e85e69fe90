#include "cli/fping_format.hpp"
#include "cli/fping_reference.hpp"
#include "cli/ping_events.hpp"
#include "icmp/namespaces.hpp"
#include "test.hpp"

#include <fmt/format.h>

#include <map>
#include <regex>
#include <sstream>

using namespace std::chrono_literals;
using namespace trawl::cli;
using trawl::test::fping_is_installed;
using trawl::test::ping_events;
using trawl::test::recorder;
using trawl::test::run_fping;
using trawl::test::skip;

namespace {

fping_options options(std::string const& line) {
    std::vector<std::string> argv{"fping"};
    std::istringstream in(line);
    for (std::string word; in >> word;) argv.push_back(word);
    auto result = parse_fping(argv);
    if (auto* early = std::get_if<fping_exit>(&result)) FAIL(line << ": " << early->err);
    return std::get<fping_options>(std::move(result));
}

std::chrono::system_clock::time_point noon() {
    std::tm when{};
    when.tm_year = 126, when.tm_mday = 2, when.tm_hour = 12, when.tm_min = 3, when.tm_sec = 4;
    return std::chrono::system_clock::from_time_t(std::mktime(&when)) + 56780us;
}

/// A run of fping with the options of a command line, whose words are the hosts.
struct play : recorder, fping_format, ping_events {
    explicit play(std::string const& line)
        : fping_format(options(line), *this, noon), ping_events(*this, {}) {
        for (auto const& word : options(line).words)
            ping_events::add(word, word == "localhost" ? "127.0.0.1" : word);
    }
    using ping_events::begin;
    using ping_events::finish;
    using ping_events::interval;
    using ping_events::snapshot;
};

/// What a measurement or the clock decides is made alike.
std::string masked(std::string text) {
    text = std::regex_replace(text, std::regex("\\[[0-9]{2}:[0-9]{2}:[0-9]{2}\\]"), "[T]");
    text = std::regex_replace(text, std::regex("\\[[0-9]+\\.[0-9]{5}\\]"), "[T]");
    text = std::regex_replace(text, std::regex("SET (min|avg|max) = [0-9]+"), "SET $1 = N");
    text = std::regex_replace(text, std::regex(" +[0-9]+\\.[0-9]{3} sec"), " N sec");
    return std::regex_replace(text, std::regex("([ (/])[0-9]+\\.[0-9]{1,3}(?![.0-9])"), "$1N");
}

/// The real fping and `events`, played to the writer, give the same on both streams, and the same
/// exit code.
template <class Events>
void same(std::string const& line, Events events, std::string const& before = "exec") {
    INFO("fping " << line);
    auto const theirs = run_fping(line, before);
    play ours(line);
    ours.begin();
    events(ours);
    ours.finish();
    CHECK(masked(ours.stdout_text) == masked(theirs.out));
    CHECK(masked(ours.stderr_text) == masked(theirs.err));
    if (before == "exec") CHECK(ours.exit_code() == theirs.code);
}

/// Every host answers every one of `count` echoes.
auto answers(unsigned count) {
    return [count](play& p) {
        for (unsigned i = 0; i < count; ++i)
            for (std::size_t h = 0; h < p.hosts.size(); ++h) p.reply(h, i);
    };
}
auto silences(unsigned count) {
    return [count](play& p) {
        for (unsigned i = 0; i < count; ++i)
            for (std::size_t h = 0; h < p.hosts.size(); ++h) p.silence(h, i);
    };
}

} // namespace

TEST_CASE("fping's output on loopback is reproduced byte for byte", "[cli][fping]") {
    if (!fping_is_installed()) skip("needs fping 5.1");
    std::string const two = " 127.0.0.1 127.0.0.22";
    for (std::string const flags : {"", "-e", "-a", "-ae", "-u", "-q", "-s", "-sq", "-x 1", "-x 3",
                                    "-x 2 -a", "-D", "-o", "-Q 1", "-N"})
        same(flags + two, answers(1));
    same("127.0.0.1", answers(1));
    for (std::string const flags :
         {"-c 2", "-c2 -q", "-C 2", "-C2 -q", "-c 2 -D", "-c2 -o", "-c2 -qo", "-c2 -s", "-c 2 -a",
          "-c 2 -e", "-C 2 -x 1", "-c 2 -qx 3", "-c 2 -Q 9", "-c 2 -u"})
        same(flags + " -p 40 -i 5" + two, answers(2));
    same("-c1 -b 0 127.0.0.1", [](play& p) { p.reply(0, 0, 50us, 8); });
    same("-c1 -b 1000 127.0.0.1", [](play& p) { p.reply(0, 0, 50us, 1008); });
}

TEST_CASE("fping's output about silent hosts is reproduced byte for byte", "[cli][fping]") {
    if (!fping_is_installed()) skip("needs fping 5.1");
    // A time-out of 0 makes loopback silent.
    for (std::string const flags : {"", "-a", "-u", "-q", "-x 1", "-e"})
        same(flags + " -r 0 -t 0 -i 5 127.0.0.1 127.0.0.22", silences(1));
}

TEST_CASE("fping's lines about lost echoes are reproduced byte for byte", "[cli][fping]") {
    if (!fping_is_installed()) skip("needs fping 5.1");
    for (std::string const flags : {"-c 2", "-C 2", "-C2 -q", "-c2 -q -o", "-c 2 -D", "-c2 -qx 1"})
        same(flags + " -t 0 -p 40 -i 5 127.0.0.1 127.0.0.22", silences(2));
}

TEST_CASE("fping's interval summaries and charts are reproduced byte for byte", "[cli][fping]") {
    if (!fping_is_installed()) skip("needs fping 5.1");
    auto const three = [](play& p) {
        for (unsigned i = 0; i < 3; ++i) {
            if (i == 2) p.interval();
            for (std::size_t h = 0; h < p.hosts.size(); ++h) p.reply(h, i);
        }
    };
    same("-c 3 -p 600 -i 5 -Q 1 -o 127.0.0.1 127.0.0.22", three);
    same("-c 3 -p 600 -i 5 -Q 1 -N 127.0.0.1 127.0.0.22", three);
}

TEST_CASE("fping -l shows its echoes even with -q, until it is interrupted", "[cli][fping]") {
    if (!fping_is_installed()) skip("needs fping 5.1");
    for (std::string const flags : {"-l", "-lq"})
        same(flags + " -p 400 127.0.0.1", answers(2), "exec timeout -s INT 0.7");
}

TEST_CASE("fping's words on silence, loss and ICMP errors of a network", "[cli][fping]") {
    if (!fping_is_installed()) skip("needs fping 5.1");
    trawl::test::far_network there;
    std::string const timing = " -p 200 -t 100 -i 5 ";
    auto const mixed = [](play& p) {
        p.reply(0, 0), p.silence(1, 0);
        p.reply(0, 1), p.silence(1, 1);
    };
    for (std::string const flags : {"-c 2", "-C 2 -q", "-c 2 -q -o"})
        same(flags + timing + "10.99.0.2 10.77.1.111", mixed);
    same("-r 0 -t 100 10.99.0.2 10.77.1.111", [](play& p) { p.reply(0, 0), p.silence(1, 0); });
    for (std::string const flags : {"-c 1", "-c 1 -q", "-r 0", "-r 0 -s", "-r 0 -a"})
        same(flags + timing + "10.78.0.1", [](play& p) { p.error(0, 0, 3, 1, "10.99.0.2"); });
    // No route at all: the kernel refuses to send.
    trawl::test::network_namespace::sh("ip route del default");
    auto const refused = std::make_error_code(std::errc::network_unreachable);
    for (std::string const flags : {"-r 0", "-c 1", "-C 1 -q", "-r 0 -s", "-r 0 -u"})
        same(flags + timing + "10.77.1.1", [&](play& p) { p.failure(0, 0, refused); });
}

TEST_CASE("fping shows a target as given, by address, by name, or by both", "[cli][fping]") {
    auto const shown = [](std::string const& flags, std::string const& target) {
        return fping_label(options(flags + " h"), target, asio::ip::make_address("127.0.0.1"),
                           "reverse.name");
    };
    CHECK(shown("", "given") == "given");
    CHECK(shown("-A", "given") == "127.0.0.1");
    CHECK(shown("-n", "given") == "given");
    CHECK(shown("-n", "127.0.0.1") == "reverse.name");
    CHECK(shown("-n", "127.1") == "reverse.name");
    CHECK(shown("-n", "::1") == "reverse.name");
    CHECK(shown("-d", "given") == "reverse.name");
    CHECK(shown("-A -n", "given") == "given (127.0.0.1)");
    CHECK(shown("-A -n", "127.0.0.1") == "reverse.name (127.0.0.1)");
    CHECK(shown("-d -A", "given") == "reverse.name (127.0.0.1)");
    CHECK(fping_label(options("-d -A h"), "10.0.0.9", asio::ip::make_address("10.0.0.9")) ==
          "10.0.0.9 (10.0.0.9)");
    CHECK_FALSE(wants_reverse_name(options("h"), "127.0.0.1"));
    CHECK_FALSE(wants_reverse_name(options("-n h"), "given"));
}

TEST_CASE("fping's times have three digits that count", "[cli][fping]") {
    play p("-C 9 -q 10.0.0.1");
    p.begin();
    unsigned i = 0;
    for (auto rtt : {0ns, 999'400ns, 1'000'000ns, 9'994'000ns, 12'340'000ns, 99'940'000ns,
                     123'456'000ns, 999'999'000'000ns, 1'000'000'000'000ns})
        p.reply(0, i++, rtt);
    p.finish();
    CHECK(p.stderr_text == "10.0.0.1 : 0.000 0.999 1.00 9.99 12.3 99.9 123 999999 1.000e+06\n");
}

TEST_CASE("fping's averages and losses are of what came so far", "[cli][fping]") {
    play p("-c 3 -D 10.0.0.1");
    p.begin();
    p.silence(0, 0);
    p.reply(0, 1, 12'800us);
    p.reply(0, 2, 1us);
    p.finish();
    auto const stamp = std::to_string(std::chrono::system_clock::to_time_t(noon()));
    CHECK(p.stdout_text ==
          "[" + stamp + ".05678] 10.0.0.1 : [0], timed out (NaN avg, 100% loss)\n" + "[" + stamp +
              ".05678] 10.0.0.1 : [1], 64 bytes, 12.8 ms (12.8 avg, 50% loss)\n" + "[" + stamp +
              ".05678] 10.0.0.1 : [2], 64 bytes, 0.001 ms (6.40 avg, 33% loss)\n");
    CHECK(p.stderr_text == "\n10.0.0.1 : xmt/rcv/%loss = 3/2/33%, min/avg/max = 0.001/6.40/12.8\n");
}

TEST_CASE("fping -C leaves a dash where no reply came, also in the middle", "[cli][fping]") {
    play p("-C 4 -q 10.0.0.1 10.0.0.22");
    p.begin();
    p.reply(0, 1, 2ms), p.silence(0, 0), p.silence(0, 2), p.reply(0, 3, 3ms);
    p.silence(1, 0); // then it was interrupted: the second one's further echoes have not ended
    p.finish();
    CHECK(p.stderr_text == "10.0.0.1  : - 2.00 - 3.00\n10.0.0.22 : -\n");
    CHECK(p.stdout_text.empty());
}

TEST_CASE("fping tells of duplicates on stderr, unless each echo has its line", "[cli][fping]") {
    auto const told = [](std::string const& line) {
        play p(line + " 10.0.0.1");
        p.begin();
        p.reply(0, 0), p.reply(0, 1);
        auto const before = p.stdout_text.size();
        p.stderr_text.clear();
        p.again(0, 1, 2ms, "10.0.0.1"), p.again(0, 1, 3ms, "10.0.0.7");
        return p.stderr_text + p.stdout_text.substr(before);
    };
    CHECK(told("-c 2 -q") == "10.0.0.1 : duplicate for [1], 64 bytes, 2.00 ms\n"
                             "10.0.0.1 : duplicate for [1], 64 bytes, 3.00 ms [<- 10.0.0.7]\n");
    CHECK(told("-c 2") == "");
    CHECK(told("").starts_with("10.0.0.1 : duplicate for [0], 64 bytes, 2.00 ms\n"));
    CHECK(told("-l -Q 1") == "");
    CHECK(told("-l").starts_with("10.0.0.1 : [1], 64 bytes, 2.00 ms (0.050 avg, 0% loss)\n"));
}

TEST_CASE("fping names every ICMP error and who sent it", "[cli][fping]") {
    auto const said = [](int type, int code, std::string const& host = "10.0.0.1") {
        play p("-r 0 " + host);
        p.begin();
        auto const from = p.hosts[0].address.is_v4() ? "10.9.9.9" : "fe80::9";
        p.error(0, 0, static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(code), from);
        auto const end = p.stderr_text.find(" from ");
        CHECK(p.stderr_text.substr(end) ==
              fmt::format(" from {} for ICMP Echo sent to {}\n", from, host));
        return p.stderr_text.substr(0, end);
    };
    CHECK(said(3, 0) == "ICMP Network Unreachable");
    CHECK(said(3, 3) == "ICMP Port Unreachable");
    CHECK(said(3, 4) == "ICMP Unreachable (Fragmentation Needed)");
    CHECK(said(3, 13) == "ICMP Unreachable (Communication Administratively Prohibited)");
    CHECK(said(3, 15) == "ICMP Unreachable (Precedence cutoff in effect)");
    CHECK(said(3, 16) == "ICMP Unreachable (Invalid Code)");
    CHECK(said(4, 0) == "ICMP Source Quench");
    CHECK(said(5, 1) == "ICMP Redirect");
    CHECK(said(11, 0) == "ICMP Time Exceeded");
    CHECK(said(12, 0) == "ICMP Parameter Problem");
    CHECK(said(1, 0, "fd00::1") == "ICMPv6 Unreachable (No Route)");
    CHECK(said(1, 6, "fd00::1") == "ICMPv6 Unreachable (Reject Route)");
    CHECK(said(1, 7, "fd00::1") == "ICMPv6 Unreachable (Invalid Code)");
    CHECK(said(3, 0, "fd00::1") == "ICMPv6 Time Exceeded");
}

TEST_CASE("fping says which names are not found, unless it is quiet", "[cli][fping]") {
    play p("-s 10.0.0.1"), quiet("-q 10.0.0.1");
    for (auto* one : {&p, &quiet}) {
        one->unresolved("no.such.host", "Name or service not known", 0);
        one->begin();
        one->reply(0, 0);
        one->finish();
        CHECK(one->exit_code() == 2);
    }
    CHECK(quiet.stderr_text.empty());
    CHECK(p.stdout_text == "10.0.0.1 is alive\n");
    CHECK(p.stderr_text == "no.such.host: Name or service not known\n"
                           "\n"
                           "       1 targets\n"
                           "       1 alive\n"
                           "       0 unreachable\n"
                           "       1 unknown addresses\n"
                           "\n"
                           "       0 timeouts (waiting for response)\n"
                           "       1 ICMP Echos sent\n"
                           "       1 ICMP Echo Replies received\n"
                           "       0 other ICMP received\n"
                           "\n"
                           " 0.050 ms (min round trip time)\n"
                           " 0.050 ms (avg round trip time)\n"
                           " 0.050 ms (max round trip time)\n"
                           "        1.234 sec (elapsed real time)\n"
                           "\n");
}

TEST_CASE("fping's totals count a reply that came too late", "[cli][fping]") {
    play p("-s -r 2 10.0.0.1");
    p.begin();
    silences(3)(p);
    p.end.late = 2;
    p.finish();
    CHECK(p.stderr_text.find("       3 timeouts (waiting for response)\n"
                             "       3 ICMP Echos sent\n"
                             "       2 ICMP Echo Replies received\n") != std::string::npos);
    CHECK(p.stderr_text.find(" 0.000 ms (avg round trip time)\n") != std::string::npos);
}

TEST_CASE("fping -X is satisfied by the last host that it needs", "[cli][fping]") {
    play p("-X 2 10.0.0.1 10.0.0.2 10.0.0.3");
    p.begin();
    p.reply(0, 0);
    CHECK_FALSE(p.satisfied());
    p.reply(2, 0);
    CHECK(p.satisfied());
    p.finish();
    CHECK(p.exit_code() == 0);
    CHECK(p.stdout_text == "Enough hosts reachable (required: 2, reachable: 2)\n");
    CHECK_FALSE(play("10.0.0.1").satisfied());
    CHECK_FALSE(play("-x 1 10.0.0.1").satisfied());
}

TEST_CASE("SIGQUIT shows fping's summary under the time, set off where echoes have lines",
          "[cli][fping]") {
    play p("-l 10.0.0.1"), charts("-l -N -Q 1 10.0.0.1");
    for (auto* one : {&p, &charts}) {
        one->begin();
        one->reply(0, 0, 1ms);
        one->snapshot();
        one->snapshot();
    }
    CHECK(p.stderr_text == "\n[12:03:04]\n"
                           "10.0.0.1 : xmt/rcv/%loss = 1/1/0%, min/avg/max = 1.00/1.00/1.00\n"
                           "\n[12:03:04]\n10.0.0.1 : xmt/rcv/%loss = 0/0/0%\n");
    CHECK(charts.stderr_text.starts_with("[12:03:04]\n"));
}

// ---- programs that read fping ----

namespace {

/// Three hosts, one of them silent, one with a loss.
std::string read_by_others(std::string const& flags, bool both_streams) {
    play p(flags + " 10.0.0.1 10.0.0.22 10.0.0.3");
    p.begin();
    for (unsigned i = 0; i < 3; ++i) {
        p.reply(0, i, std::chrono::milliseconds(i + 1));
        if (i == 1)
            p.error(1, i, 3, 1, "10.0.0.254");
        else
            p.reply(1, i, 250us);
        p.silence(2, i);
    }
    p.again(0, 1, 5ms, "10.0.0.1");
    p.finish();
    return both_streams ? p.stdout_text + p.stderr_text : p.stderr_text;
}

using times = std::vector<double>;

} // namespace

TEST_CASE("SmokePing reads the times of fping -C N -q", "[cli][fping]") {
    // Smokeping::probes::FPing: a line is one when /^\S+\s+:\s+[-\d\.]/; words that begin with a
    // digit are times.
    std::istringstream lines(read_by_others("-C 3 -q -B1 -r1 -4 -i10", false));
    std::map<std::string, times> read;
    for (std::string line; std::getline(lines, line);) {
        if (!std::regex_search(line, std::regex("^\\S+\\s+:\\s+[-\\d.]"))) continue;
        std::istringstream words(line);
        std::string host, word;
        words >> host >> word;
        REQUIRE(word == ":");
        for (read[host]; words >> word;)
            if (std::isdigit(static_cast<unsigned char>(word[0])))
                read[host].push_back(std::stod(word));
    }
    CHECK(read == std::map<std::string, times>{
                      {"10.0.0.1", {1, 2, 3}}, {"10.0.0.22", {0.25, 0.25}}, {"10.0.0.3", {}}});
    // Its self-test of the unit: the time of the echo's line and of the list are the same.
    play p("-C 1 localhost");
    p.begin(), p.reply(0, 0, 37us), p.finish();
    std::smatch units;
    auto const text = p.stdout_text + p.stderr_text;
    REQUIRE(std::regex_search(text, units,
                              std::regex("bytes, ([0-9.]+)\\sms\\s+.*\\n.*\\n.*:\\s+([0-9.]+)")));
    CHECK(units[1] == units[2]);
}

TEST_CASE("Zabbix reads the echoes and the list of fping -C N", "[cli][fping]") {
    // zbxicmpping: of both streams, a host's line is "ADDR ... : "; a '[' marks the echo of that
    // index as answered unless [<- stands behind, and the list holds the times in their places.
    std::istringstream lines(read_by_others("-C 3 -i 10", true));
    std::map<std::string, std::vector<bool>> answered;
    std::map<std::string, times> read;
    for (std::string line; std::getline(lines, line);) {
        auto const host = line.substr(0, line.find(' '));
        auto const colon = line.find(" : ");
        if (!host.starts_with("10.") || colon == std::string::npos) continue;
        if (line.find("duplicate for") != std::string::npos) continue;
        auto const rest = line.substr(colon + 3);
        auto& status = answered[host];
        status.resize(3);
        if (rest[0] == '[') {
            // Newer ones pass over "timed out"; see zbxicmpping's process_response_to_targeted_*.
            if (rest.find("timed out") == std::string::npos)
                status[static_cast<std::size_t>(std::atoi(rest.c_str() + 1))] = true;
            continue;
        }
        std::istringstream words(rest);
        std::string word;
        for (std::size_t i = 0; words >> word; ++i)
            if (status.at(i)) read[host].push_back(std::stod(word));
    }
    CHECK(read ==
          std::map<std::string, times>{{"10.0.0.1", {1, 2, 3}}, {"10.0.0.22", {0.25, 0.25}}});
}

TEST_CASE("scripts read the summary of fping -c N -q", "[cli][fping]") {
    auto const text = read_by_others("-c3 -q", false);
    std::regex const summary(
        "(\\S+)\\s*: xmt/rcv/%loss = (\\d+)/(\\d+)/(\\d+)%(?:, min/avg/max = ([\\d.]+)/([\\d.]+)/"
        "([\\d.]+))?");
    std::map<std::string, std::string> read;
    for (std::sregex_iterator at(text.begin(), text.end(), summary), end; at != end; ++at)
        read[(*at)[1]] = (*at)[4].str() + " " + (*at)[6].str();
    CHECK(read == std::map<std::string, std::string>{
                      {"10.0.0.1", "0 2.00"}, {"10.0.0.22", "33 0.250"}, {"10.0.0.3", "100 "}});
}

TEST_CASE("Netdata reads charts that are declared once and filled between BEGIN and END",
          "[cli][fping]") {
    play p("-N -R -b 56 -i 10 -r 0 -p 1000 -l -Q 5 10.0.0.1 localhost");
    p.begin();
    for (unsigned round = 0; round < 2; ++round) {
        p.reply(0, round, 1500us), p.silence(1, round);
        p.interval();
    }
    std::map<std::string, unsigned> declared, filled;
    std::map<std::string, std::string> set;
    std::string chart;
    std::istringstream lines(p.stdout_text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string verb, name, equals, number;
        words >> verb >> name;
        if (verb == "CHART") {
            ++declared[name];
            CHECK(line.ends_with(" 5"));
        } else if (verb == "BEGIN") {
            CHECK(chart.empty());
            CHECK(declared[name] == 1);
            ++filled[chart = name];
        } else if (verb == "SET") {
            words >> equals >> number;
            CHECK(equals == "=");
            set[chart + "." + name] = number;
        } else if (verb == "END") {
            chart.clear();
        } else {
            CHECK(verb == "DIMENSION");
        }
    }
    CHECK(p.stderr_text.empty());
    CHECK(declared.size() == 6);
    for (auto const& [name, times_filled] : filled) CHECK(times_filled == 2);
    CHECK(set["fping.10_0_0_1_packets.rcv"] == "1");
    CHECK(set["fping.10_0_0_1_latency.avg"] == "1500000");
    CHECK(set["fping.localhost_quality.returned"] == "0");
    CHECK(set.count("fping.localhost_latency.avg") == 0);
}
