#include "fixture.hpp"

#include <trawl/mutex.hpp>

#include "backup/pruning.hpp"
#include "backup/retention.hpp"

#include <algorithm>
#include <random>
#include <cstdlib>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;
using backup::detail::kept_or_not;
using std::chrono::days;
using std::chrono::sys_days;

namespace {

constexpr sys_days monday = std::chrono::year(2026) / 11 / 23;

/// Days before that Monday, from old to new, and which of them stay.
std::vector<int> kept(std::vector<int> ages, backup::prune_rules rules) {
    std::vector<kept_or_not> all;
    for (int age : ages) all.push_back({monday - days(age), {}, {}});
    backup::detail::retain(all, rules);
    std::vector<int> left;
    for (std::size_t i = 0; i < all.size(); ++i)
        if (!all[i].why.empty()) left.push_back(ages[i]);
    return left;
}

std::vector<int> every_day(int n) {
    std::vector<int> ages;
    for (int i = n; i-- > 0;) ages.push_back(i);
    return ages;
}

backup::prune_options keeping(fs::path const& archives, backup::prune_rules rules) {
    backup::prune_options o;
    o.archives = archives;
    o.rules = rules;
    return o;
}

backup::prune_report prune(backup::prune_options o) {
    offload_pool pool(offload_pool::options{1, "test", nullptr});
    backup::prune_report done;
    auto body = [&]() -> awaitable<> { done = co_await backup::prune(pool, o); };
    run(body);
    return done;
}

/// A history of random backups, one to three days apart.
void make_history(scratch const& dir, unsigned seed, int length) {
    std::mt19937 random(seed);
    make_plain_tree(dir / "source", 6, seed);
    auto when = noon(2026, 9, 1);
    for (int i = 0; i < length; ++i) {
        put(dir / "source" / "changing", noise(500, static_cast<unsigned>(i)));
        auto o = from_to(dir / "source", dir / "backups");
        o.now = [when] { return when; };
        constexpr backup::kind kinds[] = {backup::kind::full, backup::kind::incremental,
                                          backup::kind::differential, backup::kind::automatic};
        o.what = i == 0 ? backup::kind::full : kinds[random() % 4];
        back_up(o);
        when += std::chrono::hours(24 * (random() % 4));
    }
}

/// What must hold of a folder at any moment.
void must_be_whole(fs::path const& archives) {
    auto const seen = verify(archives);
    for (auto const& p : seen.errors) UNSCOPED_INFO(p.path << ": " << p.message);
    CHECK(seen.errors.empty());
    CHECK(seen.damaged.empty());
}

} // namespace

TEST_CASE("each rule keeps the newest of its periods, and the rules add up", "[backup]") {
    using list = std::vector<int>;
    CHECK(kept(every_day(10), {.keep_last = 3}) == list{2, 1, 0});
    CHECK(kept(every_day(10), {.keep_daily = 3}) == list{2, 1, 0});
    CHECK(kept({9, 9, 5, 5, 1, 1}, {.keep_daily = 2}).size() == 2);
    // Today is a Monday: the weeks before end on Sundays.
    CHECK(kept(every_day(30), {.keep_weekly = 3}) == list{8, 1, 0});
    // Ends of October and September.
    CHECK(kept(every_day(80), {.keep_monthly = 3}) == list{54, 23, 0});
    CHECK(kept(every_day(80),
               {.keep_last = 2, .keep_daily = 3, .keep_weekly = 2, .keep_monthly = 2}) ==
          list{23, 2, 1, 0});
    CHECK(kept({400, 300, 200}, {.keep_daily = 2}) == list{300, 200}); // days without one are none
    CHECK(kept({}, {.keep_last = 1}).empty());
    CHECK(kept({5}, {}) == list{5});
}

TEST_CASE("what a kept one stands on stays", "[backup]") {
    std::vector<kept_or_not> all;
    for (int i = 0; i < 6; ++i) all.push_back({monday + days(i), {}, {}});
    all[1].bases = {0};
    all[2].bases = {0, 1};
    all[4].bases = {3};
    all[5].bases = {3, 4};
    backup::detail::retain(all, {.keep_last = 1});
    for (int i : {0, 1, 2}) CHECK(all[static_cast<std::size_t>(i)].why.empty());
    for (int i : {3, 4, 5}) CHECK_FALSE(all[static_cast<std::size_t>(i)].why.empty());
}

TEST_CASE("prune removes what no rule keeps, and a dry run only says so", "[backup]") {
    scratch dir;
    make_history(dir, 3, 12);
    auto const before = names(dir / "backups");
    auto o = keeping(dir / "backups", {.keep_last = 2});
    o.dry_run = true;
    auto const would = prune(o);
    CHECK(names(dir / "backups") == before);
    CHECK(would.bytes == 0);
    o.dry_run = false;
    auto const done = prune(o);
    CHECK(done.removed == would.removed);
    CHECK(done.removed.size() + done.kept.size() == 12);
    CHECK_FALSE(done.removed.empty());
    CHECK(done.bytes > 0);
    CHECK(names(dir / "backups").size() == before.size() - 2 * done.removed.size());
    must_be_whole(dir / "backups");
    CHECK(put_back(restoring(dir / "backups", dir / "out")).errors.empty());
    CHECK(difference(look_at(dir / "source"), look_at(dir / "out")) == "");
    CHECK(prune(o).removed.empty());
}

TEST_CASE("a prune that is killed after any step leaves whole chains, and the next one ends it",
          "[backup]") {
    bool const everything = std::getenv("TRAWL_LONG") != nullptr;
    std::mt19937 random(11);
    for (unsigned history = 0; history < (everything ? 40u : 3u); ++history) {
        scratch dir;
        make_history(dir, history + 100, everything ? 20 : 9);
        auto const up_to = [&](unsigned n) { return static_cast<std::uint32_t>(random() % n); };
        backup::prune_rules const rules{up_to(3), up_to(4), up_to(3), 1};
        fs::copy(dir / "backups", dir / "expected", fs::copy_options::recursive);
        prune(keeping(dir / "expected", rules));
        auto const expected = names(dir / "expected");
        for (int steps = 0;; ++steps) {
            auto const archives = dir / "killed";
            fs::copy(dir / "backups", archives, fs::copy_options::recursive);
            bool ended = false;
            {
                backup::detail::pruning work(keeping(archives, rules));
                work.prepare({});
                for (int i = 0; i < steps && !ended; ++i) ended = !work.advance({});
            }
            INFO("history " << history << ", " << steps << " steps");
            must_be_whole(archives);
            prune(keeping(archives, rules));
            CHECK(names(archives) == expected);
            must_be_whole(archives);
            fs::remove_all(archives);
            if (ended) break;
        }
    }
}

TEST_CASE("an archive that a run made under the name of a pruned one is left alone", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 3);
    auto const made = back_up(from_to(dir / "source", dir / "backups"));
    put(dir / "backups" / ".source_full_20261124.pruned", "from a prune that was killed");
    prune(keeping(dir / "backups", {.keep_last = 1}));
    CHECK(fs::exists(made.file));
    CHECK_FALSE(fs::exists(dir / "backups" / ".source_full_20261124.pruned"));
    must_be_whole(dir / "backups");
}

TEST_CASE("prune does nothing without a rule, under the lock, or beside a damaged manifest",
          "[backup]") {
    scratch dir;
    make_history(dir, 5, 6);
    auto const before = names(dir / "backups");
    CHECK(thrown([&] { prune(keeping(dir / "backups", {})); }) == backup::errc::bad_option);
    {
        auto const held = file_lock::try_acquire(dir / "backups" / ".source.lock");
        CHECK(thrown([&] { prune(keeping(dir / "backups", {.keep_last = 1})); }) ==
              backup::errc::locked);
    }
    put(dir / "backups" / "source_incr_20200101.manifest.json", "{}\n");
    CHECK(thrown([&] { prune(keeping(dir / "backups", {.keep_last = 1})); }) ==
          backup::errc::corrupt);
    fs::remove(dir / "backups" / "source_incr_20200101.manifest.json");
    CHECK(names(dir / "backups") == before);
    CHECK(thrown([&] { prune(keeping(dir / "missing", {.keep_last = 1})); }) ==
          backup::errc::no_such_archive);
}
