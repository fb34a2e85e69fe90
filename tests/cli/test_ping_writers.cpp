#include "cli/ping_csv.hpp"
#include "cli/ping_events.hpp"
#include "cli/ping_json.hpp"
#include "cli/ping_prometheus.hpp"
#include "cli/ping_text.hpp"
#include "test.hpp"
#include "text.hpp"

#include <boost/json/parse.hpp>

#include <regex>
#include <set>
#include <sstream>

using namespace std::chrono_literals;
using namespace trawl::cli;
using trawl::icmp::status;
using trawl::test::lines;
using trawl::test::ping_events;
using trawl::test::recorder;
namespace icmp = trawl::icmp;

namespace {

std::vector<boost::json::object> records(std::string const& text) {
    std::vector<boost::json::object> all;
    for (auto const& line : lines(text)) all.push_back(boost::json::parse(line).as_object());
    return all;
}

std::chrono::system_clock::time_point moment() {
    return std::chrono::system_clock::time_point(1'700'000'000s + 45ms);
}

/// One host that answers twice of three times and once more, one silent, one unreachable.
void story(ping_events& events) {
    events.begin();
    events.reply(0, 0, 1ms), events.silence(0, 1), events.reply(0, 2, 3ms);
    events.again(0, 2, 4ms, "10.0.0.1");
    events.ended(0, status::up);
    events.silence(1, 0);
    events.ended(1, status::down);
    events.error(2, 0, 3, 1, "10.0.0.254");
    events.ended(2, status::unreachable, icmp::errc::unreachable);
}

} // namespace

// ---- CSV ----

TEST_CASE("CSV quotes what RFC 4180 asks to quote", "[cli][fping]") {
    CHECK(csv_field("plain text") == "plain text");
    CHECK(csv_field("") == "");
    CHECK(csv_field("a,b") == "\"a,b\"");
    CHECK(csv_field("say \"hi\"") == "\"say \"\"hi\"\"\"");
    CHECK(csv_field("two\nlines") == "\"two\nlines\"");
    CHECK(csv_field("\r") == "\"\r\"");
}

TEST_CASE("CSV has a row of names and a row for each host, all of one width", "[cli][fping]") {
    recorder to;
    ping_csv csv(to);
    CHECK_FALSE(csv.wants_echoes());
    ping_events events(csv, {"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    csv.unresolved("no,where", "not found", 0);
    story(events);
    events.finish();
    auto const rows = lines(to.stdout_text);
    REQUIRE(rows.size() == 5);
    CHECK(rows[0] == "target,address,status,sent,received,loss_percent,duplicates,rtt_min_ms,"
                     "rtt_avg_ms,rtt_max_ms,rtt_stddev_ms,jitter_ms,rtt_p50_ms,rtt_p90_ms,"
                     "rtt_p99_ms,error");
    CHECK(rows[1] == "\"no,where\",,unknown,0,0,,,,,,,,,,,not found");
    CHECK(rows[2].starts_with("10.0.0.1,10.0.0.1,up,3,2,33.33,1,1.000,2.000,3.000,1.000,2.000,"));
    CHECK(rows[3] == "10.0.0.2,10.0.0.2,down,1,0,100,0,,,,,,,,,");
    CHECK(rows[4].starts_with("10.0.0.3,10.0.0.3,unreachable,1,0,100,0,,,,,,,,,"));
    for (std::size_t i : {0u, 2u, 3u, 4u}) CHECK(std::ranges::count(rows[i], ',') == 15);
    CHECK(std::ranges::count(rows[1], ',') == 16); // one of them quoted
}

TEST_CASE("CSV of a sweep that counted no echoes has what the result knows", "[cli][fping]") {
    recorder to;
    ping_csv csv(to);
    icmp::result r;
    r.address = asio::ip::make_address("10.0.0.1");
    r.status = status::up, r.rtt = 500us, r.sent = r.received = 1;
    pinged_host h;
    h.name = "a";
    csv.host(h, r);
    CHECK(lines(to.stdout_text)[1] == "a,10.0.0.1,up,1,1,0,,,0.500,,,,,,,");
}

TEST_CASE("CSV of nothing is the row of names", "[cli][fping]") {
    recorder to;
    ping_csv csv(to);
    csv.finish({}, {});
    CHECK(lines(to.stdout_text).size() == 1);
}

// ---- JSON ----

TEST_CASE("JSON tells each host with its statistics, then the summary", "[cli][fping]") {
    recorder to;
    ping_json json(false, to, moment);
    ping_events events(json, {"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    json.unresolved("nowhere", "not found", 0);
    story(events);
    events.end.targets = 5, events.end.exit_code = 1;
    events.finish();
    auto const all = records(to.stdout_text);
    REQUIRE(all.size() == 5);
    CHECK(lines(to.stdout_text)[0] ==
          R"({"v":1,"type":"host","verb":"ping","target":"nowhere","address":null,)"
          R"("status":"unknown","rtt":null,"sent":0,"received":0,"error":"not found"})");
    auto const& up = all[1];
    CHECK(up.at("type") == "host");
    CHECK(up.at("status") == "up");
    CHECK(up.at("rtt").as_double() == 0.002);
    CHECK(up.at("sent") == 3);
    CHECK(up.at("received") == 2);
    CHECK(up.at("loss").as_double() == Approx(100.0 / 3));
    CHECK(up.at("duplicates") == 1);
    CHECK(up.at("rtt_min").as_double() == 0.001);
    CHECK(up.at("rtt_max").as_double() == 0.003);
    CHECK(up.at("rtt_stddev").as_double() == 0.001);
    CHECK(up.at("jitter").as_double() == 0.002);
    CHECK(up.at("rtt_p99").as_double() == 0.003);
    CHECK(up.at("longest_loss") == 1);
    CHECK_FALSE(up.contains("error"));
    CHECK(all[2].at("rtt").is_null());
    CHECK(all[2].at("rtt_p50").is_null());
    CHECK(all[3].at("error").is_string());
    CHECK(lines(to.stdout_text)[4] ==
          R"({"v":1,"type":"summary","verb":"ping","targets":5,"up":1,"down":1,"unreachable":1,)"
          R"("unknown":2,"elapsed":1.234E0,"exit":1})");
}

TEST_CASE("a host whose echoes nobody counted has the fields that it always had", "[cli][fping]") {
    recorder to;
    ping_json json(false, to);
    icmp::result r;
    r.address = asio::ip::make_address("::1");
    r.status = status::down, r.sent = 2;
    pinged_host h;
    h.name = "six", h.address = r.address;
    json.host(h, r);
    CHECK(to.stdout_text == R"({"v":1,"type":"host","verb":"ping","target":"six","address":"::1",)"
                            R"("status":"down","rtt":null,"sent":2,"received":0})"
                            "\n");
}

TEST_CASE("JSON tells each echo when it is asked to", "[cli][fping]") {
    recorder to;
    ping_json json(true, to, moment);
    CHECK(json.wants_echoes());
    ping_events events(json, {"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    story(events);
    auto const all = lines(to.stdout_text);
    REQUIRE(all.size() == 9);
    CHECK(all[0] == R"({"v":1,"type":"echo","verb":"ping","target":"10.0.0.1",)"
                    R"("address":"10.0.0.1","index":0,"status":"up","rtt":1E-3,)"
                    R"("from":"10.0.0.1","ttl":63,"bytes":64,"duplicate":false,)"
                    R"("time":"2023-11-14T22:13:20.045Z"})");
    CHECK(all[1].find(R"("index":1,"status":"down","rtt":null,"from":null,"ttl":null,"bytes":0)") !=
          std::string::npos);
    CHECK(all[3].find(R"("duplicate":true)") != std::string::npos);
    auto const error = boost::json::parse(all[7]).as_object();
    CHECK(error.at("from") == "10.0.0.254");
    CHECK(error.at("icmp_type") == 3);
    CHECK(error.at("icmp_code") == 1);
    CHECK(error.at("error").is_string());
    recorder silent;
    ping_json hosts_only(false, silent, moment);
    ping_events more(hosts_only, {"10.0.0.1"});
    more.reply(0, 0);
    CHECK(silent.stdout_text.empty());
}

TEST_CASE("JSON tells an interval of what came since the last", "[cli][fping]") {
    recorder to;
    ping_json json(false, to, moment);
    ping_events events(json, {"10.0.0.1"});
    events.reply(0, 0, 1ms);
    events.interval();
    events.silence(0, 1);
    events.snapshot();
    auto const all = records(to.stdout_text);
    REQUIRE(all.size() == 2);
    CHECK(all[0].at("type") == "interval");
    CHECK(all[0].at("received") == 1);
    CHECK(all[1].at("sent") == 1);
    CHECK(all[1].at("received") == 0);
    CHECK(all[1].at("loss").as_double() == 100);
    CHECK(all[1].at("time") == "2023-11-14T22:13:20.045Z");
}

// ---- Prometheus ----

TEST_CASE("the Prometheus exposition has the names and labels of the exporters", "[cli][fping]") {
    recorder to;
    ping_prometheus metrics("10.9.9.9", to);
    ping_events events(metrics, {"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    metrics.unresolved("nowhere", "not found", 0);
    story(events);
    CHECK(to.stdout_text.empty());
    events.finish();
    auto const& text = to.stdout_text;
    auto const has = [&](std::string const& line) {
        INFO(line << " in " << text);
        CHECK(("\n" + text).find("\n" + line + "\n") != std::string::npos);
    };
    std::string const one = R"(ip="10.0.0.1",host="10.0.0.1",source="10.9.9.9")";
    has("# TYPE smokeping_requests_total counter");
    has("smokeping_requests_total{" + one + "} 3");
    has("# TYPE smokeping_response_duration_seconds histogram");
    has("smokeping_response_duration_seconds_bucket{" + one + ",le=\"5e-05\"} 0");
    has("smokeping_response_duration_seconds_bucket{" + one + ",le=\"0.0008\"} 0");
    has("smokeping_response_duration_seconds_bucket{" + one + ",le=\"0.0016\"} 1");
    has("smokeping_response_duration_seconds_bucket{" + one + ",le=\"0.0032\"} 2");
    has("smokeping_response_duration_seconds_bucket{" + one + ",le=\"26.2144\"} 2");
    has("smokeping_response_duration_seconds_bucket{" + one + ",le=\"+Inf\"} 2");
    has("smokeping_response_duration_seconds_sum{" + one + "} 0.004");
    has("smokeping_response_duration_seconds_count{" + one + "} 2");
    has("smokeping_response_duplicates_total{" + one + "} 1");
    has("smokeping_response_ttl{" + one + "} 63");
    has("probe_success{" + one + "} 1");
    has(R"(probe_success{ip="10.0.0.2",host="10.0.0.2",source="10.9.9.9"} 0)");
    has(R"(probe_success{ip="",host="nowhere",source="10.9.9.9"} 0)");
    has("probe_icmp_duration_seconds{" + one + ",phase=\"rtt\"} 0.003");
    CHECK(text.find("ttl{ip=\"10.0.0.2\"") == std::string::npos);
}

TEST_CASE("the Prometheus exposition is well formed", "[cli][fping]") {
    recorder to;
    ping_prometheus metrics("", to);
    ping_events events(metrics, {"10.0.0.1", "10.0.0.2", "10.0.0.1", "::1"});
    events.add("odd \"name\\\n", "10.0.0.9");
    events.begin();
    for (std::size_t h = 0; h < events.hosts.size(); ++h)
        events.reply(h, 0, 1us), events.reply(h, 1, 30s), events.silence(h, 2);
    events.finish();
    CHECK(to.stdout_text.find(R"(host="odd \"name\\\n")") != std::string::npos);
    // One block for each family, HELP and TYPE first; no two series alike; buckets never sink.
    std::regex const sample("([a-z_]+)(\\{(?:[a-z]+=\"(?:[^\"\\\\]|\\\\.)*\",?)+\\}) ([0-9.e+-]+)");
    std::set<std::string> families, series;
    std::string current;
    double bucket = 0;
    for (auto const& line : lines(to.stdout_text)) {
        INFO(line);
        std::istringstream words(line);
        std::string hash, what, name;
        words >> hash >> what >> name;
        if (hash == "#") {
            if (what == "HELP") CHECK(families.insert(current = name).second);
            CHECK(name == current);
            continue;
        }
        std::smatch parts;
        REQUIRE(std::regex_match(line, parts, sample));
        CHECK(parts[1].str().starts_with(current));
        CHECK(series.insert(parts[1].str() + parts[2].str()).second);
        if (!parts[1].str().ends_with("_bucket")) continue;
        double const value = std::stod(parts[3]);
        bool const first = parts[2].str().find("le=\"5e-05\"") != std::string::npos;
        CHECK((first || value >= bucket));
        bucket = value;
    }
    CHECK(families.size() == 6);
    CHECK(series.size() == 4 * (1 + 23 + 1 + 1 + 1 + 1)); // one of the five was given twice
}

// ---- text ----

TEST_CASE("text has a line for each host and sums up on stderr", "[cli][fping]") {
    recorder to;
    ping_text text({}, to);
    ping_events events(text, {"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    text.unresolved("nowhere", "nowhere: not found", 0);
    story(events);
    events.end.targets = 6; // one was not reached before it was stopped, and one had no name
    events.finish();
    auto const all = lines(to.stdout_text);
    REQUIRE(all.size() >= 4);
    CHECK(all[0] == "nowhere: unknown");
    CHECK(all[1].starts_with("10.0.0.1: up 2.00 ms (2/3), 33.3 % loss, min/max/stddev "));
    CHECK(all[2] == "10.0.0.2: down");
    CHECK(all[3].starts_with("10.0.0.3: unreachable ("));
    CHECK(to.stderr_text == "trawl: ping: nowhere: not found\n"
                            "6 targets: 1 up, 1 down, 1 unreachable, 3 unknown in 1.23 s\n");

    recorder brief;
    ping_text::options quiet;
    quiet.summary = false;
    ping_text plain(quiet, brief);
    ping_events once(plain, {"10.0.0.1"});
    once.reply(0, 0, 56us);
    once.ended(0, status::up);
    once.finish();
    CHECK(brief.stdout_text == "10.0.0.1: up 0.056 ms\n");
    CHECK(brief.stderr_text.empty());
}
