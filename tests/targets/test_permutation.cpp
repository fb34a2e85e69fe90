#include "test.hpp"

#include <trawl/error.hpp>
#include <trawl/targets.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <vector>

namespace targets = trawl::targets;
using targets::permutation;
using targets::shard;

TEST_CASE("a permutation gives every number exactly once", "[targets]") {
    for (std::uint64_t size = 1; size <= 520; ++size)
        for (std::uint64_t seed : {0, 1, 99}) {
            permutation const shuffled(size, seed);
            std::vector<bool> seen(size);
            for (std::uint64_t i = 0; i < size; ++i) {
                auto const number = shuffled(i);
                REQUIRE(number < size);
                REQUIRE_FALSE(seen[number]);
                seen[number] = true;
            }
        }
    permutation const large(100'003, 5);
    std::vector<bool> seen(large.size());
    for (std::uint64_t i = 0; i < large.size(); ++i) seen[large(i)] = true;
    CHECK(std::all_of(seen.begin(), seen.end(), [](bool b) { return b; }));
}

TEST_CASE("a permutation depends on its seed alone", "[targets]") {
    permutation const one(1000, 1), again(1000, 1), two(1000, 2);
    int equal = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        CHECK(one(i) == again(i));
        equal += one(i) == two(i);
    }
    CHECK(equal < 20);
    // The order is part of what a resumed sweep relies on: it must not change between versions.
    std::vector<std::uint64_t> first;
    for (std::uint64_t i = 0; i < 6; ++i) first.push_back(one(i));
    CHECK(first == std::vector<std::uint64_t>{661, 52, 490, 371, 66, 651});
}

TEST_CASE("a permutation spreads neighbours over the whole", "[targets]") {
    // 256 consecutive positions of a /16 fall into nearly as many /24s as random ones would (162).
    permutation const shuffled(65'536, 3);
    for (std::uint64_t begin = 0; begin < 65'536; begin += 4096) {
        std::set<std::uint64_t> networks;
        for (std::uint64_t i = 0; i < 256; ++i) networks.insert(shuffled(begin + i) >> 8);
        CHECK(networks.size() > 130);
    }
}

TEST_CASE("the largest permutation stays inside and is one-to-one where it is looked at",
          "[targets]") {
    permutation const whole(std::numeric_limits<std::uint64_t>::max(), 11);
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < 10'000; ++i) seen.insert(whole(i));
    for (std::uint64_t i = 0; i < 10'000; ++i) seen.insert(whole(whole.size() - 1 - i));
    CHECK(seen.size() == 20'000);
}

TEST_CASE("shards are disjoint, cover the whole and differ by one at most", "[targets]") {
    for (std::uint64_t total : {0, 1, 2, 7, 64, 1001})
        for (std::uint64_t count : {1, 2, 3, 8, 100}) {
            std::vector<int> hits(total);
            for (std::uint64_t index = 0; index < count; ++index) {
                shard const part{index, count};
                auto const size = part.size(total);
                CHECK((size == total / count || size == total / count + 1));
                for (std::uint64_t i = 0; i < size; ++i) ++hits.at(part.at(i));
            }
            CHECK(std::all_of(hits.begin(), hits.end(), [](int n) { return n == 1; }));
        }
    auto const most = std::numeric_limits<std::uint64_t>::max();
    CHECK(shard{0, 1}.size(most) == most);
    CHECK(shard{2, 3}.at(shard{2, 3}.size(most) - 1) < most);
}

TEST_CASE("a shard is written I/N", "[targets]") {
    auto const part = shard::parse("3/16");
    CHECK(part.index == 3);
    CHECK(part.count == 16);
    for (auto bad : {"", "/", "1", "1/", "/2", "2/2", "0/0", "-1/2", "1/2/3", "a/b", "1 /2", "+0/1",
                     "0/99999999999999999999"})
        CHECK_THROWS_AS(shard::parse(bad), trawl::error);
}

TEST_CASE("shuffled parts of a list are together the list", "[targets]") {
    auto const list = targets::list().add("10.0.0.0/23 n[1-50] 2001:db8::1-ff").exclude("10.0.1.7");
    std::set<std::string> seen;
    std::uint64_t given = 0;
    for (std::uint64_t index = 0; index < 3; ++index) {
        targets::cursor walk(list, {.seed = 17, .part = {index, 3}});
        auto const expected = walk.size();
        while (auto target = walk.next()) seen.insert(target->to_string()), ++given;
        CHECK(walk.position() == expected);
    }
    CHECK(given == list.size());
    CHECK(seen.size() == list.size());
}

TEST_CASE("a walk goes on from a remembered position", "[targets]") {
    auto const list = targets::parse("10.0.0.0/24");
    targets::order how{.seed = 5, .part = {1, 2}};
    targets::cursor whole(list, how);
    std::vector<targets::target> expected;
    while (auto target = whole.next()) expected.push_back(*target);

    targets::cursor first(list, how);
    std::vector<targets::target> found;
    for (int i = 0; i < 40; ++i) found.push_back(*first.next());
    how.from = first.position();
    targets::cursor rest(list, how);
    while (auto target = rest.next()) found.push_back(*target);
    CHECK(found == expected);
    how.from = 1'000'000;
    CHECK_FALSE(targets::cursor(list, how).next());
}

TEST_CASE("a walk tells where in the list its targets lie", "[targets]") {
    auto const list = targets::parse("10.0.0.0/24 n[1-50]");
    for (auto const& how :
         {targets::order{}, targets::order{.seed = 5, .part = {1, 2}, .from = 7}}) {
        targets::cursor walk(list, how);
        targets::cursor const other(list, {.seed = how.seed, .part = how.part});
        while (auto target = walk.next()) {
            auto const index = other.index(walk.position() - 1);
            REQUIRE(list.at(index).to_string() == target->to_string());
        }
    }
}
