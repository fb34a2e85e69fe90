// The parts of examples/service that need no socket.
#include "service/http_request.hpp"
#include "service/http_response.hpp"
#include "service/job_spec.hpp"
#include "service/prometheus.hpp"
#include "test.hpp"

#if SERVICE_SPDLOG
#include "service/spdlog_observer.hpp"

#include <spdlog/sinks/ostream_sink.h>

#include <sstream>
#endif

#include <limits>
#include <string>
#include <vector>

using service::request_reader;

namespace {

request_reader::limits small() {
    request_reader::limits bounds;
    bounds.target = 20, bounds.head = 80, bounds.body = 10;
    return bounds;
}

/// The status with which it is refused; 0: it is a request; -1: more is wanted.
int verdict(std::string const& text, std::size_t split) {
    request_reader reader(small());
    std::string_view rest = text;
    for (auto size : {split, text.size() - split}) {
        reader.feed(rest.substr(0, size));
        rest.remove_prefix(size);
    }
    if (reader.now() == request_reader::state::refused) return reader.status();
    return reader.now() == request_reader::state::ready ? 0 : -1;
}

std::string const host = "Host: a\r\n";

} // namespace

TEST_CASE("a request is read alike however its bytes arrive, and no byte of the next",
          "[service]") {
    std::string const one = "POST /jobs?detach=1 HTTP/1.1\r\nHost: [::1]:80\r\nX-Y: a\r\n"
                            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    std::string const both = one + "GET /x HTTP/1.0\r\n\r\n";
    for (std::size_t piece = 1; piece <= both.size(); ++piece) {
        INFO(piece);
        request_reader reader({});
        std::vector<service::request> seen;
        std::size_t taken = 0;
        for (std::size_t at = 0; at < both.size(); at += piece) {
            auto rest = std::string_view(both).substr(at, piece);
            while (!rest.empty()) {
                auto const size = reader.feed(rest);
                REQUIRE(size > 0);
                rest.remove_prefix(size);
                taken += size;
                if (reader.now() != request_reader::state::ready) continue;
                if (seen.empty()) CHECK(taken == one.size());
                seen.push_back(reader.take());
            }
        }
        REQUIRE(seen.size() == 2);
        CHECK(seen[0].method == "POST");
        CHECK(seen[0].path == "/jobs");
        CHECK(seen[0].flag("detach"));
        CHECK_FALSE(seen[0].flag("attach"));
        CHECK(seen[0].field("x-y") == "a");
        CHECK(seen[0].body == "abcde");
        CHECK(seen[0].keep_alive);
        CHECK(seen[1].path == "/x");
        CHECK(seen[1].fields.empty());
        CHECK_FALSE(seen[1].keep_alive);
        CHECK_FALSE(seen[1].chunks);
    }
}

TEST_CASE("what is too large, too old or ambiguous is refused wherever it is cut", "[service]") {
    std::string const get = "GET / HTTP/1.1\r\n", post = "POST / HTTP/1.1\r\n" + host;
    std::vector<std::pair<std::string, int>> const table{
        {get + host + "\r\n", 0},
        {"GET http://a/b HTTP/1.1\r\n" + host + "\r\n", 0},
        {post + "Content-Length: 10\r\n\r\n0123456789", 0},
        {post + "Content-Length: 11\r\n\r\n01234567890", 413},
        {post + "Content-Length: 99999999999999999999\r\n\r\n", 400},
        {post + "Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", 413},
        {post + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400},
        {post + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"GET /" + std::string(20, 'x') + " HTTP/1.1\r\n" + host + "\r\n", 414},
        {get + host + "X: " + std::string(90, 'x') + "\r\n\r\n", 431},
        {get + host + std::string(30, 'x') + ": " + std::string(60, 'x') + "\r\n\r\n", 431},
        {get + "\r\n", 400},
        {get + host + host + "\r\n", 400},
        {"GET / HTTP/2.0\r\n" + host + "\r\n", 505},
        {"GET x HTTP/1.1\r\n" + host + "\r\n", 400},
        {"\x16\x03\x01\r\n", 400},
        {get + "Host : a\r\n\r\n", 400},
    };
    for (auto const& [text, expected] : table)
        for (std::size_t split = 0; split <= text.size(); ++split) {
            INFO(text << " cut at " << split);
            CHECK(verdict(text, split) == expected);
        }
}

TEST_CASE("a client that waits for 100 Continue is told once, unless it is refused", "[service]") {
    request_reader reader(small());
    reader.feed("POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    CHECK(reader.now() == request_reader::state::more);
    CHECK(reader.wants_continue());
    CHECK_FALSE(reader.wants_continue());
    reader.feed("ok");
    CHECK(reader.now() == request_reader::state::ready);
    request_reader other(small());
    other.feed("POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 99\r\n\r\n");
    CHECK(other.status() == 413);
    CHECK_FALSE(other.wants_continue());
}

TEST_CASE("labels, help texts and numbers are escaped as Prometheus reads them", "[service]") {
    service::exposition text;
    text.family("a_total", "counter", "one \\ line\nand \"another\"")
        .sample("a_total", {{"x", "a\"b\\c\nd"}, {"y", ""}}, 3)
        .sample("a_total", {}, 0.5);
    text.sample("b", {}, 5e-5).sample("b", {}, 1e-4).sample("b", {}, 12345678);
    text.sample("b", {}, std::numeric_limits<double>::infinity());
    text.sample("b", {}, std::numeric_limits<double>::quiet_NaN());
    CHECK(text.text() == "# HELP a_total one \\\\ line\\nand \"another\"\n"
                         "# TYPE a_total counter\n"
                         "a_total{x=\"a\\\"b\\\\c\\nd\",y=\"\"} 3\n"
                         "a_total 0.5\nb 5e-05\nb 0.0001\nb 12345678\nb +Inf\nb NaN\n");
}

TEST_CASE("the buckets of a histogram are cumulative and end with all", "[service]") {
    service::histogram times;
    for (int ms : {0, 1, 1, 60'000}) times.add(std::chrono::milliseconds(ms));
    service::exposition text;
    times.write(text, "t", {{"a", "b"}});
    CHECK(text.text().find("t_bucket{a=\"b\",le=\"5e-05\"} 1\n") != std::string::npos);
    CHECK(text.text().find("t_bucket{a=\"b\",le=\"0.0008\"} 1\n") != std::string::npos);
    CHECK(text.text().find("t_bucket{a=\"b\",le=\"0.0016\"} 3\n") != std::string::npos);
    CHECK(text.text().find("t_bucket{a=\"b\",le=\"26.2144\"} 3\n") != std::string::npos);
    CHECK(text.text().find("t_bucket{a=\"b\",le=\"+Inf\"} 4\n") != std::string::npos);
    CHECK(text.text().ends_with("t_sum{a=\"b\"} 60.002\nt_count{a=\"b\"} 4\n"));
}

TEST_CASE("the Prometheus observer counts records and hands them on", "[service]") {
    struct kept : trawl::observer {
        std::vector<std::string> lines;
        void log(trawl::severity, std::string_view where, std::string_view text) override {
            lines.push_back(std::string(where) + ": " + std::string(text));
        }
    } next;
    service::prometheus_observer observer(&next);
    observer.log(trawl::severity::warning, "ssh 10.0.0.7:22", "slow");
    observer.metric("trawl_pool_keys_queued", 2);
    observer.metric("trawl_pool_keys_queued", 1);
    observer.progress("hosts", 3, 8);
    CHECK(next.lines == std::vector<std::string>{"ssh 10.0.0.7:22: slow"});
    service::exposition text;
    observer.write(text);
    for (std::string const line :
         {"trawl_log_records_total{severity=\"warning\"} 1\n",
          "trawl_log_records_total{severity=\"error\"} 0\n",
          "trawl_progress_done{what=\"hosts\"} 3\n", "trawl_progress_total{what=\"hosts\"} 8\n",
          "# TYPE trawl_pool_keys_queued gauge\ntrawl_pool_keys_queued 1\n"})
        CHECK(text.text().find(line) != std::string::npos);
}

TEST_CASE("a chunk is its size in hexadecimal and its bytes, and the last one is empty",
          "[service]") {
    CHECK(service::chunk(std::string(26, 'x')) == "1a\r\n" + std::string(26, 'x') + "\r\n");
    CHECK(service::chunk("") == "0\r\n\r\n");
}

#if SERVICE_SPDLOG
TEST_CASE("spdlog gets the records that its level asks for, each with its severity", "[service]") {
    std::ostringstream lines;
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_st>(lines);
    auto logger = std::make_shared<spdlog::logger>("trawl", std::move(sink));
    logger->set_pattern("%l %v");
    logger->set_level(spdlog::level::debug);
    service::spdlog_observer observer(logger);
    using trawl::severity;
    for (auto how :
         {severity::trace, severity::debug, severity::info, severity::warning, severity::error})
        observer.log(how, "ssh a:22", "{} is no format");
    CHECK(lines.str() == "debug ssh a:22: {} is no format\ninfo ssh a:22: {} is no format\n"
                         "warning ssh a:22: {} is no format\nerror ssh a:22: {} is no format\n");
}
#endif
