#include "test.hpp"

#include <trawl/targets.hpp>

#include <algorithm>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace targets = trawl::targets;

namespace {

using random_numbers = std::mt19937_64;

std::uint64_t below(random_numbers& random, std::uint64_t limit) { return random() % limit; }

/// Ranges, names and host lists that overlap, some of them excluded again.
targets::list random_list(random_numbers& random) {
    targets::list made;
    for (auto steps = 1 + below(random, 5); steps > 0; --steps) {
        auto const first = below(random, 200), last = first + below(random, 55);
        auto const ends = std::to_string(first) + "-" + std::to_string(last);
        static constexpr char const* before[] = {"10.0.0.", "10.0.1.", "n[", "2001:db8::", "r1-["};
        auto const kind = below(random, std::size(before));
        auto const text = before[kind] + ends + (before[kind][0] == 'n' || kind == 4 ? "]" : "") +
                          (below(random, 8) == 0 && kind != 3 ? ":22" : "");
        if (below(random, 4) == 0)
            made.exclude(text);
        else
            made.add(text);
    }
    return made;
}

/// Texts of one walk, sorted.
std::vector<std::string> sorted_walk(targets::list const& list, targets::order how) {
    std::vector<std::string> all;
    targets::cursor walk(list, how);
    while (auto next = walk.next()) all.push_back(next->to_string());
    std::sort(all.begin(), all.end());
    return all;
}

} // namespace

TEST_CASE("the shards of 10,000 random lists are disjoint and together the list", "[targets]") {
    random_numbers random(20260101);
    std::uint64_t targets_seen = 0;
    for (int round = 0; round < 10'000; ++round) {
        auto const list = random_list(random);
        targets::order how;
        if (below(random, 4) != 0) how.seed = random();
        auto const count = below(random, 8) == 0 ? 1 + below(random, 1000) : 1 + below(random, 9);
        std::vector<std::string> together;
        for (std::uint64_t index = 0; index < count; ++index) {
            how.part = {index, count};
            auto part = sorted_walk(list, how);
            REQUIRE(part.size() == how.part.size(list.size()));
            together.insert(together.end(), part.begin(), part.end());
        }
        std::sort(together.begin(), together.end());
        how.part = {};
        how.seed.reset();
        INFO("round " << round << ", " << count << " shards of " << list.canonical_text());
        // The list holds each target once, so equal sorted texts mean disjoint and complete.
        REQUIRE(std::adjacent_find(together.begin(), together.end()) == together.end());
        REQUIRE(together == sorted_walk(list, how));
        targets_seen += together.size();
    }
    CHECK(targets_seen > 500'000);
}

TEST_CASE("the shards of random huge lists are disjoint where they are looked at", "[targets]") {
    random_numbers random(7);
    for (int round = 0; round < 200; ++round) {
        auto const size = 1 + (random() >> below(random, 63));
        auto const count = 1 + below(random, 1u << 20);
        std::uint64_t sum = 0;
        for (std::uint64_t index = 0; index < std::min<std::uint64_t>(count, 1000); ++index) {
            targets::shard const part{index, count};
            auto const length = part.size(size);
            REQUIRE(length == size / count + (index < size % count));
            if (length) {
                REQUIRE(part.at(0) == index);
                REQUIRE(part.at(length - 1) < size);
                REQUIRE(part.at(length - 1) % count == index);
            }
            sum += length;
        }
        if (count <= 1000) REQUIRE(sum == size);
    }
}
