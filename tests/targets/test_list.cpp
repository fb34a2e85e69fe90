#include "test.hpp"

#include <trawl/targets.hpp>

#include <malloc.h>

#include <algorithm>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace targets = trawl::targets;

namespace {

using texts = std::vector<std::string>;
constexpr auto most = std::numeric_limits<std::uint64_t>::max();

texts all(targets::list const& list, targets::order how = {}) {
    texts found;
    targets::cursor walk(list, how);
    while (auto target = walk.next()) found.push_back(target->to_string());
    return found;
}

std::string v4(std::uint32_t number) { return asio::ip::address_v4(number).to_string(); }

} // namespace

TEST_CASE("targets come in the order in which they were listed", "[targets]") {
    CHECK(all(targets::parse("10.0.0.9 web 10.0.0.1-2 n[2-3] ::1")) ==
          texts{"10.0.0.9", "web", "10.0.0.1", "10.0.0.2", "n2", "n3", "::1"});
}

TEST_CASE("each target is there once, where it was mentioned first", "[targets]") {
    CHECK(all(targets::parse("10.0.0.3 10.0.0.2-5 10.0.0.0/29")) ==
          texts{"10.0.0.3", "10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.0", "10.0.0.1", "10.0.0.6",
                "10.0.0.7"});
    CHECK(targets::parse("10.0.0.0/8 10.0.0.0/8 10.1.0.0/16").size() == 1 << 24);
    CHECK(all(targets::parse("web WEB Web web:22 web.")) == texts{"web", "web:22", "web."});
    CHECK(all(targets::parse("n2 n[1-3] N3 n[2-4] n[02-03]")) ==
          texts{"n2", "n1", "n3", "n4", "n02", "n03"});
    CHECK(all(targets::parse("r[1-2]-[1-2] r[2-3]-[2-3]")) ==
          texts{"r1-1", "r1-2", "r2-1", "r2-2", "r2-3", "r3-2", "r3-3"});
    // The same name out of differently built lists.
    CHECK(targets::parse("a[1-3]1 a[11-31]").size() == 3 + 21 - 3);
    CHECK(targets::parse("n[1-1000000000] n[5-2000000000]").size() == 2'000'000'000);
}

TEST_CASE("another port, or none, makes another target", "[targets]") {
    CHECK(all(targets::parse("10.0.0.1 10.0.0.1:22 10.0.0.1:23 10.0.0.1:22")) ==
          texts{"10.0.0.1", "10.0.0.1:22", "10.0.0.1:23"});
    CHECK(targets::parse("n[1-3] n[1-3]:22 n2:22").size() == 6);
}

TEST_CASE("what is excluded is gone, whether it was listed before or after", "[targets]") {
    auto const before = targets::list().exclude("10.0.0.1-2").add("10.0.0.0/29");
    auto const after = targets::list().add("10.0.0.0/29").exclude("10.0.0.1-2");
    CHECK(all(before) == all(after));
    CHECK(all(after) ==
          texts{"10.0.0.0", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7"});
    CHECK(targets::list().add("10.0.0.0/8").exclude("10.0.0.0/9 10.255.0.0/16").size() ==
          (1u << 23) - (1u << 16));
    CHECK(targets::list().add("10.0.0.0/24").exclude("10.0.0.0/8").empty());
    CHECK(targets::list().add("10.0.0.0/24").exclude("::/0").size() == 256);
}

TEST_CASE("an exclude without a port removes every port, with one only that", "[targets]") {
    auto const three = targets::parse("10.0.0.1 10.0.0.1:22 10.0.0.1:23 n[1-2] n1:22");
    CHECK(all(targets::list(three).exclude("10.0.0.1 n1")) == texts{"n2"});
    CHECK(all(targets::list(three).exclude("10.0.0.1:22 n1:22")) ==
          texts{"10.0.0.1", "10.0.0.1:23", "n1", "n2"});
    CHECK(all(targets::list()
                  .exclude("10.0.0.1:22 n1:22 n2")
                  .add("10.0.0.1 10.0.0.1:22 10.0.0.1:23 n[1-2] n1:22")) ==
          texts{"10.0.0.1", "10.0.0.1:23", "n1"});
}

TEST_CASE("names and host lists are excluded from each other", "[targets]") {
    CHECK(all(targets::list().add("n[1-5] web").exclude("N[2-3] n5 WEB")) == texts{"n1", "n4"});
    CHECK(all(targets::list().exclude("n[2-3] n5 web").add("n[1-5] web")) == texts{"n1", "n4"});
    CHECK(all(targets::list().add("r[1-2]-[1-3]").exclude("r[1-9]-2 r2-[3-4]")) ==
          texts{"r1-1", "r1-3", "r2-1"});
    CHECK(targets::list().add("n[1-1000000000]").exclude("n[2-999999999] m[1-5]").size() == 2);
    // An address is not the name that is written like a part of it.
    CHECK(targets::list().add("10.0.0.1").exclude("a10.0.0.1").size() == 1);
}

TEST_CASE("sizes saturate and the ends stay reachable", "[targets]") {
    auto const whole = targets::parse("2001:db8::/64");
    CHECK(whole.size() == most);
    CHECK(whole.at(0).to_string() == "2001:db8::");
    CHECK(whole.at(most - 1).to_string() == "2001:db8::ffff:ffff:ffff:fffe");
    CHECK(targets::parse("::/0").size() == most);
    CHECK(targets::parse("::/0 10.0.0.0/8 web").size() == most);
    CHECK(targets::parse("2001:db8::/65 2001:db9::/65").size() == most);
    auto const halves = targets::parse("10.0.0.1 2001:db8::/65 web");
    CHECK(halves.size() == (std::uint64_t(1) << 63) + 2);
    CHECK(halves.at(halves.size() - 1).to_string() == "web");
    CHECK(
        targets::list().add("::/0").exclude("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").size() ==
        1);
    CHECK(targets::list().add("0.0.0.0/0").exclude("0.0.0.0-255.255.255.254").size() == 1);

    targets::cursor walk(whole, {.seed = 1, .part = {2, 3}, .from = 5});
    CHECK(walk.next());
    CHECK(walk.position() == 6);
    CHECK(walk.size() == most / 3);
}

TEST_CASE("10.0.0.0/8 costs no more memory than 10.0.0.0/30", "[targets]") {
    auto const cost = [](std::string_view text, int steps) {
        auto const before = mallinfo2().uordblks;
        auto const list = targets::parse(text);
        targets::cursor walk(list, {.seed = 42});
        for (int i = 0; i < steps; ++i)
            if (!walk.next()) FAIL("the walk ended early");
        return mallinfo2().uordblks - before;
    };
    cost("10.0.0.0/30", 1); // what the first call allocates once
    auto const small = cost("10.0.0.0/30", 4);
    CHECK(small < 2048);
    // Where a vector or string grows may differ by some bytes from run to run of the allocator.
    CHECK(cost("10.0.0.0/8", 10'000) < small + 1024);
    CHECK(cost("::/0", 10'000) < small + 1024);
    auto const few = cost("n[1-4].example", 4);
    CHECK(cost("n[1-999999999].example", 10'000) < few + 1024);
}

TEST_CASE("a copy keeps its targets when the original grows", "[targets]") {
    auto list = targets::parse("10.0.0.1");
    auto const copy = list;
    targets::cursor walk(list);
    list.add("10.0.0.2").exclude("10.0.0.1");
    CHECK(copy.size() == 1);
    CHECK(walk.next()->to_string() == "10.0.0.1");
    CHECK_FALSE(walk.next());
    CHECK(all(list) == texts{"10.0.0.2"});
}

TEST_CASE("random lists agree with a plain set of integers", "[targets]") {
    std::mt19937 random(20240501);
    auto const number = [&](std::uint32_t below) {
        return std::uniform_int_distribution<std::uint32_t>(0, below - 1)(random);
    };
    std::uint32_t const base = (10u << 24) - 128; // crosses from 9.255.255.x to 10.0.0.x
    for (int round = 0; round < 2000; ++round) {
        targets::list list;
        std::vector<std::uint32_t> order; // the oracle: what was listed, in order, each once
        std::set<std::uint32_t> seen, out;
        std::string script;
        for (auto steps = 1 + number(12); steps > 0; --steps) {
            auto first = base + number(256), last = base + number(256);
            if (last < first) std::swap(first, last);
            std::string text = v4(first);
            if (number(3) == 0) {
                auto const length = 24 + number(9);
                auto const hosts = static_cast<std::uint32_t>(0xffffffffull >> length);
                first &= ~hosts, last = first | hosts;
                text += "/" + std::to_string(length);
            } else if (first >> 8 == last >> 8 && number(2) == 0) {
                text += "-" + std::to_string(last & 255);
            } else {
                text += "-" + v4(last);
            }
            bool const excludes = number(4) == 0;
            script += (excludes ? " !" : " ") + text;
            if (excludes)
                list.exclude(text);
            else
                list.add(text);
            for (auto a = std::uint64_t(first); a <= last; ++a) {
                auto const address = static_cast<std::uint32_t>(a);
                if (excludes)
                    out.insert(address);
                else if (seen.insert(address).second)
                    order.push_back(address);
            }
        }
        INFO(script);
        texts expected;
        for (auto address : order)
            if (!out.contains(address)) expected.push_back(v4(address));
        REQUIRE(list.size() == expected.size());
        REQUIRE(all(list) == expected);
        for (std::uint64_t i = 0; i < list.size(); i += 7)
            REQUIRE(list.at(i).to_string() == expected[i]);
    }
}

TEST_CASE("random host lists agree with a plain set of strings", "[targets]") {
    std::mt19937 random(7);
    auto const number = [&](unsigned below) {
        return std::uniform_int_distribution<unsigned>(0, below - 1)(random);
    };
    auto const padded = [](unsigned value, std::size_t width) {
        auto const text = std::to_string(value);
        return text.size() < width ? std::string(width - text.size(), '0') + text : text;
    };
    for (int round = 0; round < 1000; ++round) {
        targets::list list;
        texts order;
        std::set<std::string> seen, out;
        std::string script;
        for (auto steps = 1 + number(6); steps > 0; --steps) {
            texts names{"n"};
            std::string text = "n";
            for (auto brackets = number(3); brackets > 0; --brackets) {
                auto const low = number(12), high = low + number(4);
                bool const two_wide = number(2) == 0;
                std::string const tail = number(2) ? "-x" : "y";
                auto const first = padded(low, two_wide ? 2 : 1);
                auto const width = two_wide && low < 10 ? 2 : 1;
                text += "[" + first + "-" + padded(high, two_wide ? 2 : 1) + "]" + tail;
                texts longer;
                for (auto const& name : names)
                    for (auto i = low; i <= high; ++i)
                        longer.push_back(name + padded(i, static_cast<std::size_t>(width)) + tail);
                names = longer;
            }
            bool const excludes = number(4) == 0;
            script += (excludes ? " !" : " ") + text;
            if (excludes)
                list.exclude(text);
            else
                list.add(text);
            for (auto const& name : names)
                if (excludes)
                    out.insert(name);
                else if (seen.insert(name).second)
                    order.push_back(name);
        }
        INFO(script);
        std::erase_if(order, [&](auto const& name) { return out.contains(name); });
        REQUIRE(all(list) == order);
        REQUIRE(list.size() == order.size());
    }
}
