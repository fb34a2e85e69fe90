#include "cli/ledger.hpp"
#include "cli/scratch_folder.hpp"
#include "test.hpp"
#include "text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <set>

using namespace trawl;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;
using cli::done_set;
using test::content;
using test::lines;

namespace {

using random_numbers = std::mt19937_64;

/// A sweep with no network: hands out every position from `from`, each somewhere among the
/// `window` that are outstanding.
class pretend_sweep {
public:
    pretend_sweep(targets::list const& list, targets::order how, std::size_t window,
                  random_numbers& random)
        : walk_(list, how), window_(window), random_(random) {}

    struct result {
        std::uint64_t position;
        std::string target;
    };
    std::optional<result> next() {
        while (outstanding_.size() < window_)
            if (auto const target = walk_.next())
                outstanding_.push_back({walk_.position() - 1, target->to_string()});
            else
                break;
        if (outstanding_.empty()) return {};
        std::swap(outstanding_[random_() % outstanding_.size()], outstanding_.back());
        auto last = outstanding_.back();
        outstanding_.pop_back();
        return last;
    }

private:
    targets::cursor walk_;
    std::size_t window_;
    random_numbers& random_;
    std::vector<result> outstanding_;
};

enum class ending { complete, interrupted, killed };

struct sweep_case {
    targets::list list;
    targets::order how;
    std::size_t window;
    fs::path output, resume; ///< output empty: to `printed`
    std::vector<std::string> printed = {};
    std::uint64_t unsaved = 0; ///< results after the last save
};

/// One run that ends after `steps` results (or when there are no more), saving now and then.
ending run(sweep_case& c, std::uint64_t steps, bool kill, random_numbers& random) {
    cli::environment env({.quiet = true});
    cli::ledger files(env, c.list, c.how, c.output, c.resume);
    pretend_sweep sweep(c.list, files.order(), c.window, random);
    c.unsaved = 0;
    bool complete = true;
    while (auto const result = sweep.next()) {
        if (files.is_done(result->position)) continue;
        if (steps-- == 0) {
            complete = false;
            break;
        }
        if (c.output.empty())
            c.printed.push_back(result->target);
        else
            env.out().line(result->target);
        files.note(result->position, static_cast<icmp::status>(random() % 4));
        ++c.unsaved;
        if (random() % 40 == 0) {
            test::run([&]() -> awaitable<> { co_await files.save(); });
            c.unsaved = 0;
        }
    }
    if (!complete && kill) return ending::killed; // only what is on disk is left
    files.close();
    if (!c.output.empty()) env.out().line("summary");
    files.finish(complete);
    return complete ? ending::complete : ending::interrupted;
}

std::vector<std::string> all_targets(sweep_case const& c) {
    std::vector<std::string> all;
    targets::cursor part(c.list, c.how);
    while (auto const next = part.next()) all.push_back(next->to_string());
    std::sort(all.begin(), all.end());
    return all;
}

cli::progress_file load(fs::path const& file, targets::list const& list, targets::order how = {},
                        bool to_file = false) {
    return {file, cli::portion(list, how), how.part.size(list.size()), to_file};
}

std::string refusal(fs::path const& file, targets::list const& list, targets::order how = {},
                    bool to_file = false) {
    try {
        load(file, list, how, to_file);
    } catch (cli::usage_error const& e) {
        return e.what();
    }
    return "";
}

} // namespace

TEST_CASE("what is done are runs, with a low-water mark", "[cli][resume]") {
    done_set done;
    CHECK(done.low_water() == 0);
    CHECK(done.add(2));
    CHECK(done.add(0));
    CHECK_FALSE(done.add(2));
    CHECK(done.low_water() == 1);
    CHECK(done.add(1));
    CHECK(done.low_water() == 3);
    CHECK(done.runs().size() == 1);
    CHECK(done.add_run(5, 9));
    CHECK_FALSE(done.add_run(9, 12));
    CHECK_FALSE(done.add_run(3, 5));
    CHECK_FALSE(done.add_run(4, 10));
    CHECK(done.add(4));
    CHECK(done.runs().size() == 2);
    CHECK(done.add(3));
    CHECK(done.runs().size() == 1);
    CHECK(done.size() == 10);
    CHECK(done.contains(9));
    CHECK_FALSE(done.contains(10));
}

TEST_CASE("random runs agree with a plain set", "[cli][resume]") {
    random_numbers random(1);
    for (int round = 0; round < 300; ++round) {
        done_set done;
        std::set<std::uint64_t> oracle;
        for (int i = 0; i < 100; ++i) {
            auto const first = random() % 120, last = first + random() % 4;
            bool free = true;
            for (auto p = first; p <= last; ++p) free = free && !oracle.contains(p);
            REQUIRE(done.add_run(first, last) == free);
            for (auto p = first; free && p <= last; ++p) oracle.insert(p);
        }
        REQUIRE(done.size() == oracle.size());
        for (std::uint64_t p = 0; p < 130; ++p) REQUIRE(done.contains(p) == oracle.contains(p));
        std::uint64_t low = 0;
        while (oracle.contains(low)) ++low;
        REQUIRE(done.low_water() == low);
        for (auto at = done.runs().begin(); at != done.runs().end(); ++at)
            if (auto const next = std::next(at); next != done.runs().end())
                REQUIRE(at->second + 1 < next->first);
    }
}

TEST_CASE("the runs beyond the mark are bounded by what is outstanding", "[cli][resume]") {
    random_numbers random(2);
    auto const list = targets::parse("10.0.0.0/16");
    pretend_sweep sweep(list, {.seed = 1}, 256, random);
    done_set done;
    std::size_t most = 0;
    while (auto const result = sweep.next()) {
        done.add(result->position);
        most = std::max(most, done.runs().size());
    }
    CHECK(done.low_water() == 65536);
    CHECK(most <= 257);
}

TEST_CASE("an output file holds each target once, wherever a sweep was stopped or killed",
          "[cli][resume]") {
    random_numbers random(20260202);
    int interrupted = 0, killed = 0;
    for (int round = 0; round < 60; ++round) {
        test::scratch_folder const here;
        auto const total = 1 + random() % 400;
        sweep_case c{.list = targets::parse("10.0.0.0-10.0.1." + std::to_string(total % 256)),
                     .how = {},
                     .window = 1 + random() % 64,
                     .output = here / "out",
                     .resume = here / "state"};
        if (random() % 3) c.how.seed = random();
        c.how.part = {random() % 3, 3};
        INFO("round " << round);
        for (auto end = ending::interrupted; end != ending::complete;) {
            end = run(c, random() % 120, random() % 2, random);
            interrupted += end == ending::interrupted;
            killed += end == ending::killed;
            REQUIRE(fs::exists(c.output) == (end == ending::complete));
        }
        auto written = lines(content(c.output));
        REQUIRE(written.back() == "summary");
        written.pop_back();
        std::sort(written.begin(), written.end());
        REQUIRE(written == all_targets(c));
        REQUIRE_FALSE(fs::exists(c.resume));
        REQUIRE_FALSE(fs::exists(here / "out.partial"));
    }
    CHECK(interrupted > 20);
    CHECK(killed > 20);
}

TEST_CASE("on stdout only what came after the last save of a killed run comes twice",
          "[cli][resume]") {
    random_numbers random(3);
    for (int round = 0; round < 40; ++round) {
        test::scratch_folder const here;
        sweep_case c{.list = targets::parse("10.0.0.0/24 n[1-40]"),
                     .how = {.seed = random()},
                     .window = 1 + random() % 64,
                     .output = {},
                     .resume = here / "state"};
        std::uint64_t twice = 0;
        for (auto end = ending::interrupted; end != ending::complete;) {
            end = run(c, random() % 120, random() % 2, random);
            if (end == ending::killed) twice += c.unsaved;
        }
        std::sort(c.printed.begin(), c.printed.end());
        auto const all = c.printed.size();
        c.printed.erase(std::unique(c.printed.begin(), c.printed.end()), c.printed.end());
        REQUIRE(c.printed == all_targets(c));
        REQUIRE(all - c.printed.size() == twice);
    }
}

TEST_CASE("a run that was killed before its state was removed is finished again", "[cli][resume]") {
    random_numbers random(4);
    test::scratch_folder const here;
    sweep_case c{.list = targets::parse("10.0.0.0/28"),
                 .how = {},
                 .window = 4,
                 .output = here / "out",
                 .resume = here / "state"};
    cli::environment env({.quiet = true});
    {
        cli::ledger files(env, c.list, c.how, c.output, c.resume);
        for (std::uint64_t i = 0; i < 16; ++i) {
            env.out().line(c.list.at(i).to_string());
            files.note(i, icmp::status::up);
        }
        files.close();
        env.out().line("summary");
    }
    fs::rename(here / "out.partial", c.output); // and then the process was killed
    CHECK(run(c, 0, false, random) == ending::complete);
    CHECK(lines(content(c.output)).size() == 17);
    CHECK_FALSE(fs::exists(c.resume));
}

TEST_CASE("the state of another list, seed, shard or kind of output is refused", "[cli][resume]") {
    test::scratch_folder const here;
    auto const file = here / "state";
    auto const list = targets::parse("10.0.0.0/24");
    targets::order const how{.seed = 5, .part = {1, 4}};
    auto progress = load(file, list, how);
    progress.note(7, icmp::status::down);
    CHECK(progress.due(clock::now()));
    progress.saving(0, clock::now())();
    CHECK_FALSE(progress.due(clock::now()));
    CHECK(content(file) ==
          "{\"v\":1,\"type\":\"progress\",\"verb\":\"ping\",\"shard\":{\"index\":1,\"count\":4},"
          "\"seed\":5,\"list\":\"" +
              fmt::format("{:016x}", list.fingerprint()) +
              "\",\"targets\":64,\"up\":0,\"down\":1,\"unreachable\":0,\"unknown\":0,"
              "\"bytes\":null,\"done\":[[7,7]]}\n");
    CHECK(refusal(file, list, how) == "");
    auto const where = "--resume " + file.string() + ": ";
    auto const other = targets::parse("10.0.0.0/24 10.0.1.1-4").exclude("10.0.0.0-3");
    CHECK_THAT(refusal(file, other, how), Contains(where + "it is of another sweep: targets "));
    CHECK(refusal(file, list, {.seed = 6, .part = {1, 4}}) ==
          where + "it is of another sweep: seed 5 instead of seed 6");
    CHECK(refusal(file, list, {.seed = {}, .part = {1, 4}}) ==
          where + "it is of another sweep: seed 5 instead of no seed");
    CHECK(refusal(file, list, {.seed = 5, .part = {1, 5}}) ==
          where + "it is of another sweep: 4 shards instead of 5");
    CHECK(refusal(file, list, {.seed = 5, .part = {2, 4}}) ==
          where + "it is of shard 1/4, this is 2/4");
    CHECK(refusal(file, list, how, true) ==
          where + "that run wrote to stdout; go on without --output");
}

TEST_CASE("a state file that was cut or changed is refused, never half believed", "[cli][resume]") {
    test::scratch_folder const here;
    auto const file = here / "state";
    auto const list = targets::parse("10.0.0.0/24");
    {
        auto progress = load(file, list, {}, true);
        for (std::uint64_t p : {0, 1, 2, 7, 9, 200}) progress.note(p, icmp::status::up);
        progress.saving(77, clock::now())();
    }
    auto const whole = content(file);
    CHECK(load(file, list, {}, true).output_bytes() == 77);
    for (std::size_t length = 0; length + 2 < whole.size(); ++length) {
        test::put(file, whole.substr(0, length));
        CAPTURE(length);
        CHECK_THAT(refusal(file, list, {}, true), Contains("--resume " + file.string() + ": "));
    }
    auto const changed = [&](std::string const& from, std::string const& to) {
        auto text = whole;
        auto const at = text.find(from);
        REQUIRE(at != std::string::npos);
        test::put(file, text.replace(at, from.size(), to));
        return refusal(file, list, {}, true);
    };
    for (auto const& [from, to] : {std::pair("[7,7]", "[7,6]"),
                                   {"[7,7]", "[7]"},
                                   {"[7,7]", "[7,9]"},
                                   {"[7,7]", "\"x\""},
                                   {"[7,7]", "[-7,7]"},
                                   {"[200,200]", "[200,256]"},
                                   {"\"up\":6", "\"up\":5"},
                                   {"\"targets\":256", "\"targets\":255"},
                                   {"77", "-1"},
                                   {"\"seed\":null", "\"seed\":\"x\""},
                                   {"\"index\":0", "\"index\":1"}})
        CHECK_THAT(changed(from, to), Contains("it is damaged; remove it to begin anew"));
    CHECK_THAT(changed("\"v\":1", "\"v\":2"), Contains("another version or verb"));
    CHECK_THAT(changed("\"ping\"", "\"ssh\""), Contains("another version or verb"));
    CHECK_THAT(changed("progress", "summary"), Contains("no state file of a sweep"));
}

TEST_CASE("a state file that cannot be read or replaced is named", "[cli][resume]") {
    test::scratch_folder const here;
    auto const list = targets::parse("10.0.0.0/24");
    CHECK_THROWS_WITH(load(here.path(), list), Contains("--resume " + here.path().string()));
    auto progress = load(here / "no" / "state", list);
    progress.note(0, icmp::status::up);
    CHECK_THROWS_WITH(progress.saving(0, clock::now())(), Contains("no/state.new"));
}
