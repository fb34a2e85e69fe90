#include "backup/plan.hpp"

#include "backup/hash.hpp"
#include "test.hpp"

#include <algorithm>

using namespace trawl::backup;
using namespace trawl::backup::detail;
using namespace std::chrono;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t old_time = 1'000 * second;
constexpr std::int64_t base_began = 5'000 * second;

entry object(std::string path, file_type type) {
    entry e;
    e.path = std::move(path);
    e.type = type;
    e.mode = 0644;
    e.mtime_ns = e.ctime_ns = old_time;
    e.inode = 7;
    return e;
}

entry folder(std::string path) { return object(std::move(path), file_type::folder); }

entry file(std::string path, std::uint64_t size = 100) {
    auto e = object(std::move(path), file_type::regular);
    e.size = size;
    return e;
}

entry hard_link(std::string path, std::string leader) {
    auto e = file(std::move(path));
    e.hard_link = true;
    e.link = std::move(leader);
    return e;
}

manifest base_of(std::vector<entry> entries) {
    manifest m;
    m.started_ns = base_began;
    m.chain.resize(1);
    m.entries = std::move(entries);
    for (auto& e : m.entries)
        if (e.has_content()) e.content = hasher(hash::sha256).of(e.path), e.archive = 0;
    return m;
}

/// What becomes of one object that was `before` and is `now`.
action verdict(entry before, entry now) {
    auto const base = base_of({folder(""), std::move(before)});
    walked w;
    w.entries = {folder(""), std::move(now)};
    auto const result = compare(std::move(w), &base);
    REQUIRE(result.steps.size() == 2);
    CHECK(result.steps[1].before == 1);
    return result.steps[1].what;
}

} // namespace

TEST_CASE("without a base everything is stored or described", "[backup]") {
    walked w;
    w.entries = {folder(""), file("a"), hard_link("b", "a"), object("c", file_type::symlink),
                 object("d", file_type::socket)};
    auto const result = compare(std::move(w), nullptr);
    std::vector<action> what;
    for (auto const& s : result.steps) {
        what.push_back(s.what);
        CHECK(s.before == not_in_base);
    }
    CHECK(what == std::vector{action::describe, action::store, action::describe, action::describe,
                              action::describe});
    CHECK(result.bytes_to_read == 100);
}

TEST_CASE("a file is trusted only when size, times and inode agree", "[backup]") {
    auto const same = file("f");
    CHECK(verdict(same, same) == action::keep);
    auto const changed = [&](auto change) {
        auto now = same;
        change(now);
        return verdict(same, now);
    };
    CHECK(changed([](entry& e) { e.size = 101; }) == action::store);
    CHECK(changed([](entry& e) { e.mtime_ns += 1; }) == action::check);
    CHECK(changed([](entry& e) { e.ctime_ns += 1; }) == action::check);
    CHECK(changed([](entry& e) { e.inode = 8; }) == action::check);
    CHECK(changed([](entry& e) { e.mode = 0600; }) == action::check);
    CHECK(changed([](entry& e) { e.uid = 1; }) == action::check);
    CHECK(changed([](entry& e) { e.mtime_ns -= 1; }) == action::check); // a clock set back
}

TEST_CASE("only a larger file that grew under its inode is appended to, and when that is asked for",
          "[backup]") {
    auto base_file = file("f");
    base_file.size = 64 << 10;
    auto const judged = [](entry before, auto change, bool append_delta = true) {
        auto const base = base_of({folder(""), before});
        auto now = before;
        now.content = {};
        now.parts.clear();
        change(now);
        walked w;
        w.entries = {folder(""), now};
        return compare(std::move(w), &base, {}, append_delta).steps[1].what;
    };
    auto const grow = [](entry& e) { ++e.size; };
    CHECK(judged(base_file, grow) == action::append);
    CHECK(judged(base_file, grow, false) == action::store);
    CHECK(judged(base_file, [](entry& e) { --e.size; }) == action::store);
    CHECK(judged(base_file, [](entry& e) { ++e.size, ++e.inode; }) == action::store);
    CHECK(judged(base_file, [](entry& e) { ++e.mtime_ns; }) == action::check);
    auto small = base_file;
    --small.size;
    CHECK(judged(small, grow) == action::store);
    auto sparse = base_file;
    sparse.stored = 512;
    CHECK(judged(sparse, grow) == action::store);
    auto many = base_file;
    many.parts.resize(most_parts - 1);
    CHECK(judged(many, grow) == action::append);
    many.parts.resize(most_parts);
    CHECK(judged(many, grow) == action::store);
}

TEST_CASE("a file written within two seconds before the base's walk is looked at again",
          "[backup]") {
    for (auto const& [offset, expected] :
         std::vector<std::pair<std::int64_t, action>>{{-2 * second - 1, action::keep},
                                                      {-2 * second, action::check},
                                                      {-1, action::check},
                                                      {0, action::check},
                                                      {second, action::check}}) {
        INFO(offset);
        auto f = file("f");
        f.mtime_ns = base_began + offset;
        CHECK(verdict(f, f) == expected);
        f.mtime_ns = old_time;
        f.ctime_ns = base_began + offset;
        CHECK(verdict(f, f) == expected);
    }
}

TEST_CASE("a change of type or of a link is seen", "[backup]") {
    CHECK(verdict(file("x"), folder("x")) == action::describe);
    CHECK(verdict(folder("x"), file("x")) == action::store);
    CHECK(verdict(file("x"), object("x", file_type::fifo)) == action::describe);
    auto link = object("x", file_type::symlink);
    link.link = "a";
    CHECK(verdict(link, link) == action::keep);
    auto other = link;
    other.link = "b";
    CHECK(verdict(link, other) == action::describe);
    auto device = object("x", file_type::character);
    device.device = 5;
    auto other_device = device;
    other_device.device = 6;
    CHECK(verdict(device, other_device) == action::describe);
    auto moved = folder("x");
    moved.mtime_ns += 1;
    CHECK(verdict(folder("x"), moved) == action::describe);
}

TEST_CASE("a hard link that becomes the file itself is stored", "[backup]") {
    auto const base = base_of({folder(""), file("a"), hard_link("b", "a")});
    walked w;
    w.entries = {folder(""), file("b")};
    auto const result = compare(std::move(w), &base);
    CHECK(result.steps[1].what == action::store);
    CHECK(deletions(result.entries, base) == std::vector<std::string>{"a"});
}

TEST_CASE("what is kept has the base's hash and place", "[backup]") {
    auto base = base_of({folder(""), file("a"), file("b")});
    base.chain.resize(3);
    base.entries[2].archive = 2;
    walked w;
    w.entries = {folder(""), file("b"), file("c")};
    auto const result = compare(std::move(w), &base);
    REQUIRE(result.entries.size() == 3);
    CHECK(result.steps[1].what == action::keep);
    CHECK(result.entries[1].archive == 2);
    CHECK(result.entries[1].content == base.entries[2].content);
    CHECK(result.steps[2].what == action::store);
    CHECK(deletions(result.entries, base) == std::vector<std::string>{"a"});
}

TEST_CASE("what the walk could not see is kept as it was and flagged", "[backup]") {
    auto const base = base_of({folder(""), folder("closed"), file("closed/a"), folder("closed/b"),
                               file("closed/b/c"), file("closed-not"), file("no facts")});
    walked w;
    w.entries = {folder(""), folder("closed")};
    w.unread = {"closed", "no facts"};
    auto const result = compare(std::move(w), &base);
    std::vector<std::string> paths;
    for (auto const& e : result.entries) paths.push_back(e.path);
    CHECK(paths ==
          std::vector<std::string>{"", "closed", "closed/a", "closed/b", "closed/b/c", "no facts"});
    CHECK(result.entries[2].flags == flag_stale);
    CHECK(result.entries[1].flags == 0);
    CHECK(deletions(result.entries, base) == std::vector<std::string>{"closed-not"});
}

TEST_CASE("what stands on something that is gone goes with it", "[backup]") {
    plan p;
    p.entries = {folder(""),          folder("a"),         file("a/b"), file("c"),
                 hard_link("d", "c"), hard_link("e", "d"), file("f")};
    for (auto& e : p.entries)
        if (e.has_content()) e.content = hasher(hash::sha256).of("x"), e.archive = 0;
    p.steps.resize(p.entries.size());
    p.steps.back().before = 42;
    std::vector<bool> dropped(p.entries.size());
    dropped[1] = dropped[3] = true;
    std::vector<problem> because;
    settle(p, dropped, because);
    std::vector<std::string> paths, named;
    for (auto const& e : p.entries) paths.push_back(e.path);
    for (auto const& b : because) named.push_back(b.path);
    CHECK(paths == std::vector<std::string>{"", "f"});
    CHECK(named == std::vector<std::string>{"a/b", "d", "e"});
    CHECK(p.steps.back().before == 42);
}

TEST_CASE("full on the weekday, without a base, and after a missed one; else an increment",
          "[backup]") {
    sys_days const monday = 2026y / November / 23;
    auto const on = [&](kind asked, int day, std::optional<int> full,
                        std::optional<weekday> full_on = Monday) -> std::optional<kind> {
        options rules;
        rules.what = asked;
        rules.full_on = full_on;
        std::optional<past> known;
        if (full) known.emplace().full_day = monday + days(*full);
        auto const made = decide(rules, monday + days(day), known);
        if (!made) return std::nullopt;
        CHECK_FALSE(made->why.empty());
        return made->made;
    };
    CHECK(on(kind::automatic, 1, std::nullopt) == kind::full);
    CHECK(on(kind::automatic, 0, -3) == kind::full);
    CHECK(on(kind::automatic, 0, 0) == kind::incremental); // the second run of a Monday
    for (int day = 1; day <= 6; ++day) CHECK(on(kind::automatic, day, 0) == kind::incremental);
    for (int full = 0; full <= 6; ++full) {
        CHECK(on(kind::automatic, 8, full) == kind::full); // the Monday between was missed
        CHECK(on(kind::automatic, 13, full) == kind::full);
    }
    CHECK(on(kind::automatic, 13, 7) == kind::incremental);
    CHECK(on(kind::automatic, 1, 5) == kind::full); // the clock was set back
    CHECK(on(kind::full, 2, 0) == kind::full);
    CHECK(on(kind::incremental, 0, -30) == kind::incremental);
    CHECK(on(kind::incremental, 1, std::nullopt) == std::nullopt);
    CHECK(on(kind::differential, 0, -30) == kind::differential);
    CHECK(on(kind::differential, 1, std::nullopt) == std::nullopt);
    CHECK(on(kind::automatic, -1, -3, Sunday) == kind::full);
    CHECK(on(kind::automatic, 0, -1, Sunday) == kind::incremental);
    CHECK(on(kind::automatic, 0, -1000, std::nullopt) == kind::incremental);
}

TEST_CASE("a full is due by age, by number or by size", "[backup]") {
    sys_days const today = 2026y / November / 25;
    options rules;
    rules.full_on = std::nullopt;
    past known{today - days(10), 1000, 200, 3};
    auto const made = [&] { return decide(rules, today, known)->made; };
    CHECK(made() == kind::incremental);
    rules.between = kind::differential;
    CHECK(made() == kind::differential);
    rules.full_every = days(11);
    CHECK(made() == kind::differential);
    rules.full_every = days(10);
    CHECK(made() == kind::full);
    CHECK(decide(rules, today, known)->why == "the last full is 10 days old");
    rules.full_every = days(0);
    rules.full_after = 4;
    CHECK(made() == kind::differential);
    rules.full_after = 3;
    CHECK(made() == kind::full);
    rules.full_after = 0;
    rules.full_over_percent = 20;
    CHECK(made() == kind::differential);
    known.later_bytes = 201;
    CHECK(made() == kind::full);
    known.full_bytes = known.later_bytes = ~std::uint64_t(0);
    CHECK(made() == kind::full);
}

TEST_CASE("every path belongs to one part of a rehash", "[backup]") {
    for (std::uint32_t parts : {1u, 2u, 7u, 30u}) {
        std::vector<int> count(parts);
        for (int i = 0; i < 3000; ++i) {
            auto const path = "folder/file" + std::to_string(i);
            int in = 0;
            for (std::uint32_t part = 1; part <= parts; ++part) {
                bool const takes = rehash{part, parts}.takes(path);
                in += takes;
                count[part - 1] += takes;
            }
            if (in != 1) FAIL(path << " is in " << in << " of " << parts);
        }
        for (int n : count) CHECK(n > 3000 / static_cast<int>(parts) / 2);
    }
    CHECK_FALSE(rehash{}.takes("x"));
    constexpr sys_days monday = year(2026) / 11 / 23;
    for (std::uint32_t const parts : {1u, 3u, 30u}) { // without a part: another one each day
        std::vector<bool> had(parts);
        for (std::uint32_t i = 0; i < parts; ++i) {
            auto const today = rehash{0, parts}.on(monday + days(i));
            REQUIRE((today.part >= 1 && today.part <= parts));
            had[today.part - 1] = true;
        }
        CHECK(std::find(had.begin(), had.end(), false) == had.end());
    }
    CHECK(rehash{2, 3}.on(monday).part == 2);
    CHECK(rehash{}.on(monday).parts == 0);

    auto base = base_of({folder(""), file("a"), hard_link("b", "a")});
    walked w;
    w.entries = {folder(""), file("a"), hard_link("b", "a")};
    auto const result = compare(std::move(w), &base, {1, 1});
    CHECK(result.steps[0].what == action::keep);
    CHECK(result.steps[1].what == action::verify);
    CHECK(result.steps[2].what == action::keep);
    CHECK(result.bytes_to_read == 100);
}

TEST_CASE("a folder's content stands right behind it", "[backup]") {
    std::vector<std::string> const sorted{"",       "a",     "a/b",  "a/b/c", "a/b-c",
                                          "a/\xff", "a\x01", "a b",  "a-b",   "aa",
                                          "b",      "\x80",  "\xff", "\xff/a"};
    for (std::size_t i = 0; i < sorted.size(); ++i)
        for (std::size_t k = 0; k < sorted.size(); ++k) {
            INFO(sorted[i] << " and " << sorted[k]);
            CHECK(path_before(sorted[i], sorted[k]) == (i < k));
        }
}
