#include "cli/ledger.hpp"
#include "cli/line_reader.hpp"
#include "cli/merge.hpp"
#include "cli/scratch_folder.hpp"
#include "cli/verb.hpp"
#include "test.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <fcntl.h>
#include <malloc.h>
#include <random>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace trawl;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;
namespace merge = cli::merge;
using test::content;
using files = std::vector<fs::path>;

namespace {

/// The file that `trawl ping --json --shard INDEX/COUNT` writes, as wished.
struct shard_file {
    targets::list list = targets::parse("10.0.0.0/26 web.example n[1-9]");
    targets::order how{.seed = 5, .part = {0, 1}};
    int exit = 0;
    std::string summary_of = "ping";

    std::string hosts() const {
        std::string text;
        targets::cursor walk(list, how);
        while (auto const next = walk.next()) {
            json::record made("host", "ping");
            made.field("target", next->to_string());
            made.field("status", icmp::to_string(status(walk.position())));
            text += made.field("rtt", std::chrono::nanoseconds(25'000)).line() + '\n';
        }
        return text;
    }
    std::string summary() const {
        merge::counts by_status{};
        auto const size = how.part.size(list.size());
        for (std::uint64_t i = 1; i <= size; ++i) ++by_status[static_cast<std::size_t>(status(i))];
        json::record made("summary", summary_of);
        made.field("targets", size);
        for (auto s : {icmp::status::up, icmp::status::down, icmp::status::unreachable,
                       icmp::status::unknown})
            made.field(icmp::to_string(s), by_status[static_cast<std::size_t>(s)]);
        made.field("elapsed", 1.5 + static_cast<double>(how.part.index)).field("exit", exit);
        cli::portion(list, how).describe(made);
        return made.line() + '\n';
    }
    std::string text() const { return hosts() + summary(); }

private:
    static icmp::status status(std::uint64_t position) {
        return position % 5 ? icmp::status::up : static_cast<icmp::status>(position / 5 % 4);
    }
};

class shards {
public:
    explicit shards(std::uint64_t count, shard_file like = {}) {
        for (std::uint64_t i = 0; i < count; ++i) {
            like.how.part = {i, count};
            made.push_back(like);
            all.push_back(here / ("part-" + std::to_string(i)));
            test::put(all.back(), like.text());
        }
    }
    test::scratch_folder here;
    std::vector<shard_file> made;
    files all;
};

struct outcome {
    int code = -1;
    std::string said, out;
};

/// `trawl merge` as the command runs it, its output in a file.
outcome merge_files(files const& words, bool to_output = false) {
    test::scratch_folder const here;
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        auto const open = [&](char const* name) {
            return ::open((here / name).c_str(), O_WRONLY | O_CREAT, 0600);
        };
        ::dup2(open("out"), 1);
        ::dup2(open("err"), 2);
        int code = 99;
        try {
            CLI::App app("test", "trawl");
            cli::action chosen;
            cli::add_merge(app, chosen);
            std::vector<std::string> line;
            for (auto const& file : words) line.push_back(file.string());
            if (to_output) {
                line.push_back("--output");
                line.push_back((here / "merged").string());
            }
            line.insert(line.begin(), "merge");
            std::ranges::reverse(line);
            app.parse(line);
            cli::environment env({});
            code = chosen(env);
        } catch (CLI::ParseError const&) {
            code = cli::usage;
        } catch (cli::usage_error const& e) {
            std::fprintf(stderr, "trawl: %s\n", e.what());
            code = cli::usage;
        } catch (std::exception const& e) {
            std::fprintf(stderr, "trawl: %s\n", e.what());
            code = cli::some_failed;
        }
        std::fflush(stderr);
        ::_exit(code);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFEXITED(status));
    CHECK_FALSE(fs::exists(here / "merged.partial"));
    return {WEXITSTATUS(status), content(here / "err"),
            content(here / (to_output ? "merged" : "out"))};
}

std::string refusal(files const& words) {
    auto const seen = merge_files(words);
    CHECK(seen.code == 1);
    CHECK(seen.out.empty()); // nothing is written unless everything is in order
    CHECK(std::ranges::count(seen.said, '\n') == 1);
    return seen.said;
}

} // namespace

TEST_CASE("all shards of a sweep become one file with one summary", "[cli][merge]") {
    shards const four(4);
    for (bool const to_output : {false, true}) {
        // In any order.
        auto const seen =
            merge_files({four.all[2], four.all[0], four.all[3], four.all[1]}, to_output);
        CHECK(seen.said.empty());
        REQUIRE(seen.code == 0);
        std::string hosts;
        for (auto const& one : four.made) hosts += one.hosts();
        REQUIRE(seen.out.starts_with(hosts));
        auto const last = seen.out.substr(hosts.size());
        auto const summary = boost::json::parse(last).as_object();
        CHECK(summary.at("targets").to_number<int>() == 74);
        CHECK(summary.at("elapsed").to_number<double>() == 4.5);
        CHECK(summary.at("exit").to_number<int>() == 1);
        CHECK(summary.at("merged").to_number<int>() == 4);
        auto const of = cli::portion::read(summary);
        REQUIRE(of);
        CHECK(of->part.count == 1);
        CHECK(of->seed == 5u);
        CHECK(of->list == four.made[0].list.fingerprint());
    }
}

TEST_CASE("what was merged is whole: merging it again changes nothing but the count",
          "[cli][merge]") {
    shards const three(3);
    auto const once = merge_files(three.all);
    test::put(three.here / "merged", once.out);
    auto const twice = merge_files({three.here / "merged"});
    CHECK(twice.code == 0);
    auto again = twice.out;
    auto const at = again.rfind("\"merged\":1");
    REQUIRE(at != std::string::npos);
    CHECK(again.replace(at, 10, "\"merged\":3") == once.out);
}

TEST_CASE("more shards than targets leave empty ones", "[cli][merge]") {
    shard_file small;
    small.list = targets::parse("10.0.0.1-3");
    shards const eight(8, small);
    auto const seen = merge_files(eight.all);
    CHECK(seen.said.empty());
    CHECK(seen.code == 0);
    CHECK(std::ranges::count(seen.out, '\n') == 4);
}

TEST_CASE("gaps and duplicates are refused by name", "[cli][merge]") {
    shards const four(4);
    CHECK(refusal({four.all[0], four.all[3]}) == "trawl: merge: 2 of 4 shards are missing: 1, 2\n");
    CHECK(refusal({four.all[3]}) == "trawl: merge: 3 of 4 shards are missing: 0, 1, 2\n");
    shards const many(40);
    CHECK(refusal({many.all[1], many.all[4]}) ==
          "trawl: merge: 38 of 40 shards are missing: 0, 2, 3, 5, 6 and 33 more\n");
    auto twice = four.all;
    fs::copy(four.all[1], four.here / "copy");
    twice.push_back(four.here / "copy");
    CHECK(refusal(twice) == "trawl: merge: " + twice.back().string() +
                                ": it is shard 1/4, and so is " + four.all[1].string() + "\n");
    auto same = four.all;
    same[0] = same[1];
    CHECK_THAT(refusal(same), Contains("it is shard 1/4, and so is"));
}

TEST_CASE("parts of different sweeps are not mixed", "[cli][merge]") {
    shards const four(4);
    auto const with = [&](shard_file const& other) {
        auto mixed = four.all;
        mixed[2] = four.here / "other";
        test::put(mixed[2], other.text());
        return refusal(mixed);
    };
    auto other = four.made[2];
    other.how.seed = 6;
    CHECK_THAT(with(other), Contains("/other: it is of another sweep than " + four.all[0].string() +
                                     ": seed 6 instead of seed 5"));
    other.how.seed.reset();
    CHECK_THAT(with(other), Contains("no seed instead of seed 5"));
    other = four.made[2];
    other.list.add("10.9.9.9");
    CHECK_THAT(with(other), Contains("another sweep than " + four.all[0].string() + ": targets "));
    other = four.made[2];
    other.how.part.count = 5;
    CHECK_THAT(with(other), Contains("5 shards instead of 4"));
    other = four.made[2];
    other.summary_of = "ssh";
    CHECK_THAT(with(other), Contains("/other:19: it is no record of trawl ping"));
}

TEST_CASE("a file that is not whole is refused with its line", "[cli][merge]") {
    shards const two(2);
    auto const& good = two.made[1];
    auto const with = [&](std::string const& text) {
        test::put(two.all[1], text);
        auto const said = refusal(two.all);
        CHECK_THAT(said, Contains("trawl: merge: " + two.all[1].string() + ":"));
        return said.substr(14 + two.all[1].string().size());
    };
    auto const hosts = good.hosts(), summary = good.summary();
    auto const first_line = hosts.substr(0, hosts.find('\n') + 1);
    CHECK(with("") == ": it has no summary at its end: the run was killed\n");
    CHECK(with(hosts) == ": it has no summary at its end: the run was killed\n");
    CHECK_THAT(with(hosts.substr(0, hosts.size() - 9)), Contains(":37: it breaks off"));
    CHECK_THAT(with(hosts + summary.substr(0, summary.size() - 1)), Contains(":38: it breaks off"));
    CHECK_THAT(with(hosts + summary + first_line), Contains(":39: something follows its summary"));
    CHECK_THAT(with(hosts + summary + hosts + summary), Contains(":39: something follows"));
    CHECK_THAT(with(hosts.substr(first_line.size()) + summary), Contains("the summary counts "));
    CHECK_THAT(with(first_line + hosts + summary), Contains("the summary counts "));
    CHECK_THAT(with("[1]\n" + hosts + summary), Contains(":1: it is no JSON object"));
    CHECK_THAT(with(hosts + "\n" + summary), Contains(":38: it is no JSON object"));
    CHECK_THAT(with(hosts + "{\"v\":2}\n" + summary), Contains(":38: it has no \"v\":1"));
    CHECK_THAT(with(std::string(merge::most_line, 'x') + "\n" + hosts + summary),
               Contains(":1: it is longer than 1048576 bytes"));
    CHECK_THAT(with(std::string(merge::most_line * 3, ' ')), Contains(":1: it is longer than"));

    auto stopped = good;
    stopped.exit = cli::interrupted;
    CHECK_THAT(with(stopped.text()), Contains(":38: the run was stopped by Ctrl-C"));
    auto const without = [&](std::string_view field) {
        auto object = boost::json::parse(summary).as_object();
        object.erase(field);
        return with(hosts + boost::json::serialize(object) + '\n');
    };
    for (auto field : {"shard", "seed", "list"})
        CHECK_THAT(without(field), Contains("does not say which shard of which sweep"));
    for (auto field : {"targets", "exit"})
        CHECK_THAT(without(field), Contains("has no \"targets\""));
    CHECK_THAT(without("down"), Contains("the summary has no \"down\""));
    CHECK_THAT(without("verb"), Contains("no record of trawl ping"));
    auto status = first_line;
    status.replace(status.find("\"up\""), 4, "\"UP\"");
    CHECK_THAT(with(status), Contains(":1: its status is none"));

    test::put(two.all[1], good.text());
    CHECK(merge_files(two.all).code == 0);
}

TEST_CASE("every cut of a file is refused", "[cli][merge]") {
    shard_file small;
    small.list = targets::parse("10.0.0.1-2 web");
    test::scratch_folder const here;
    auto const text = small.text();
    for (std::size_t length = 0; length < text.size(); ++length) {
        test::put(here / "part", text.substr(0, length));
        REQUIRE_THROWS_AS(merge::inspect(here / "part"), merge::refused);
    }
    test::put(here / "part", text);
    CHECK(merge::inspect(here / "part").targets == 3);
}

TEST_CASE("a shard with a count of targets that cannot be is refused", "[cli][merge]") {
    shards const two(2);
    auto other = two.made[1];
    other.how.part = {0, 1}; // all targets, but it says that it is shard 1/2
    auto text = other.text();
    auto const at = text.find("{\"index\":0,\"count\":1}");
    REQUIRE(at != std::string::npos);
    test::put(two.all[1], text.replace(at, 21, "{\"index\":1,\"count\":2}"));
    CHECK_THAT(refusal(two.all), Contains("/part-0: shard 0/2 of 111 targets has 56, not 37"));
}

TEST_CASE("other records pass through", "[cli][merge]") {
    shards const one(1);
    auto const& made = one.made[0];
    std::string const extra = "{\"v\":1,\"type\":\"loop\",\"verb\":\"ping\",\"x\":[1,2]}\n";
    test::put(one.all[0], extra + made.hosts() + extra + made.summary());
    auto const seen = merge_files(one.all);
    CHECK(seen.code == 0);
    CHECK(seen.out.starts_with(extra + made.hosts() + extra));
}

TEST_CASE("mistakes in the command line are exit 2, files that cannot be read exit 1",
          "[cli][merge]") {
    CHECK(merge_files({}).code == cli::usage);
    test::scratch_folder const here;
    CHECK_THAT(refusal({here / "none"}), Contains("none: No such file"));
    CHECK_THAT(refusal({here.path()}), Contains("it is no ordinary file"));
    ::mkfifo((here / "fifo").c_str(), 0600);
    CHECK_THAT(refusal({here / "fifo"}), Contains("it is no ordinary file"));
}

TEST_CASE("a file that changes while it is merged is refused", "[cli][merge]") {
    shards const one(1);
    std::vector parts{merge::inspect(one.all[0])};
    std::ofstream(one.all[0], std::ios::app) << "more\n";
    cli::environment env({.quiet = true});
    cli::output_file out(one.here / "merged");
    env.out().redirect(out.number(), out.name());
    CHECK_THROWS_WITH(merge::write(parts, env.out()), Contains("it has just changed"));
}

TEST_CASE("the size of a part does not change the memory that merging takes", "[cli][merge]") {
    shard_file large;
    large.list = targets::parse("10.0.0.0/17");
    shards const one(1, large);
    CHECK(fs::file_size(one.all[0]) > 2'000'000);
    merge::inspect(one.all[0]);
    auto const before = mallinfo2();
    ::malloc_trim(0);
    merge::inspect(one.all[0]);
    auto const after = mallinfo2();
    CHECK(after.arena + after.hblkhd <= before.arena + before.hblkhd + (1u << 20));
}

TEST_CASE("lines come whole, wherever the reads end", "[cli][merge]") {
    test::scratch_folder const here;
    std::mt19937 random(9);
    for (int round = 0; round < 50; ++round) {
        std::vector<std::string> lines;
        std::string text;
        for (auto count = random() % 40; count > 0; --count) {
            auto const length = random() % 3 ? random() % 50 : random() % 100'000;
            lines.push_back(std::string(length, static_cast<char>('a' + random() % 26)) + '\n');
        }
        if (!lines.empty() && random() % 2) lines.back().pop_back();
        if (!lines.empty() && lines.back().empty()) lines.pop_back();
        for (auto const& line : lines) text += line;
        test::put(here / "lines", text);
        cli::descriptor const in(::open((here / "lines").c_str(), O_RDONLY));
        cli::line_reader reader(in.get(), "lines", 200'000);
        std::uint64_t offset = 0;
        for (auto const& line : lines) {
            auto const read = reader.next();
            REQUIRE(read);
            REQUIRE(*read == line);
            REQUIRE(reader.offset() == offset);
            offset += line.size();
        }
        REQUIRE_FALSE(reader.next());
        REQUIRE(reader.offset() == text.size());
    }
}
