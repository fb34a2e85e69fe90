#include "test.hpp"

#include <trawl/targets.hpp>

#include <map>
#include <random>
#include <set>
#include <string>

namespace targets = trawl::targets;
using targets::list;
using targets::parse;

TEST_CASE("the canonical text is one line for each run of targets", "[targets]") {
    CHECK(list().canonical_text().empty());
    CHECK(parse("10.0.0.0/22").canonical_text() == "10.0.0.0-10.0.3.255\n");
    CHECK(parse("10.0.0.9 10.0.0.1:22 2001:db8::/127 [::1]:80").canonical_text() ==
          "10.0.0.9\n10.0.0.1 :22\n2001:db8::-2001:db8::1\n::1 :80\n");
    CHECK(parse("WEB.Example db:5432").canonical_text() == "web.example\ndb :5432\n");
    CHECK(parse("fe80::7%lo").canonical_text() == "fe80::7%lo\n");
    CHECK(list().exclude("n3").add("N[1-5].x rack[1-2,9-10]-[001-040]:22").canonical_text() ==
          "n[1-5].x 0-4\nrack[1-2,9,10]-[001-040] 0-159 :22\n");
    CHECK(list().exclude("n3.x").add("n[1-5].x").canonical_text() ==
          "n[1-5].x 0-1\nn[1-5].x 3-4\n");
    CHECK(parse("::/0").canonical_text() == "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n");
}

TEST_CASE("the fingerprint is the head of the text's SHA-256, on every machine", "[targets]") {
    // printf '10.0.0.0-10.0.3.255\n' | sha256sum | cut -c 1-16
    CHECK(list().fingerprint() == 0xe3b0c44298fc1c14);
    CHECK(parse("10.0.0.0/22").fingerprint() == 0xef39c695898105d5);
    CHECK(parse("WEB.Example db:5432").fingerprint() == 0xcbf251b6fdf2435a);
}

TEST_CASE("what is the same walk has the same fingerprint, however it was written", "[targets]") {
    auto const whole = parse("10.0.0.0/24").fingerprint();
    CHECK(parse("10.0.0.0/25 10.0.0.128/25").fingerprint() == whole);
    CHECK(parse("10.0.0.0-127,10.0.0.0/24").fingerprint() == whole);
    CHECK(parse("10.0.0.0-10.0.0.255").fingerprint() == whole);
    CHECK(list().exclude("10.0.1.0/24").add("10.0.0.0/23").fingerprint() == whole);
    CHECK(list().add("10.0.0.0/23").exclude("10.0.1.0/24").fingerprint() == whole);
    CHECK(parse("web WEB").fingerprint() == parse("Web").fingerprint());
}

TEST_CASE("another order, port, exclude or name makes another fingerprint", "[targets]") {
    std::set<std::uint64_t> seen;
    std::size_t asked = 0;
    for (auto text :
         {"", "10.0.0.0/24", "10.0.0.128/25 10.0.0.0/25", "10.0.0.0/24:22", "10.0.0.0/24:23",
          "10.0.0.0-254", "10.0.0.1-255", "::10.0.0.0/120", "web", "web:22", "web.", "n[1-2]",
          "n[01-02]", "n[1-2]:22", "n[1-1]2", "n1[1-2]", "n[1,2]x", "fe80::7", "fe80::7%lo"}) {
        seen.insert(parse(text).fingerprint());
        ++asked;
    }
    CHECK(seen.size() == asked);
}

TEST_CASE("lists agree on the fingerprint exactly when their walks agree", "[targets]") {
    // Addresses only, for which the text is canonical; many small lists, so that some agree.
    std::mt19937 random(4);
    auto const number = [&](unsigned below) { return random() % below; };
    std::map<std::uint64_t, std::string> walks;
    std::set<std::string> different;
    for (int round = 0; round < 5000; ++round) {
        list made;
        for (auto steps = 1 + number(4); steps > 0; --steps) {
            auto const first = number(6), last = first + number(3);
            auto const text = "10.0.0." + std::to_string(first) + "-" + std::to_string(last);
            if (number(4) == 0)
                made.exclude(text);
            else
                made.add(text);
        }
        std::string walk;
        targets::cursor steps(made);
        while (auto next = steps.next()) walk += next->to_string() + ' ';
        different.insert(walk);
        auto const [known, fresh] = walks.emplace(made.fingerprint(), walk);
        REQUIRE(known->second == walk);
    }
    CHECK(walks.size() == different.size());
    CHECK(different.size() > 100);
}
