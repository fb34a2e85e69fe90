#include "cli/line_cutter.hpp"
#include "cli/line_diff.hpp"
#include "cli/node_set.hpp"
#include "test.hpp"

#include <trawl/targets.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

using namespace trawl;
using trawl::cli::fold_names;
using texts = std::vector<std::string>;
using views = std::vector<std::string_view>;

TEST_CASE("names that differ in a number fold", "[cli][ssh]") {
    CHECK(fold_names({}) == "");
    CHECK(fold_names({"web"}) == "web");
    CHECK(fold_names({"node7"}) == "node7");
    CHECK(fold_names({"node1", "node2", "node3", "node5"}) == "node[1-3,5]");
    CHECK(fold_names({"node2", "node1", "node2"}) == "node[1-2]");
    CHECK(fold_names({"n9", "n10", "n11"}) == "n[9-11]");
    CHECK(fold_names({"a1.example", "a2.example", "a1.test"}) == "a[1-2].example,a1.test");
    CHECK(fold_names({"r1-n1", "r1-n2", "r2-n1"}) == "r1-n[1-2],r2-n1");
    CHECK(fold_names({"web", "db", "web2"}) == "web,db,web2");
    CHECK(fold_names({"n1:22", "n2:22", "n3"}) == "n[1-2]:22,n3");
    CHECK(fold_names({"node3.dc2", "node4.dc2"}) == "node[3-4].dc2");
}

TEST_CASE("numbers keep their zeros", "[cli][ssh]") {
    CHECK(fold_names({"n08", "n09", "n10"}) == "n[08-10]");
    CHECK(fold_names({"n1", "n01", "n2", "n02"}) == "n[1-2],n[01-02]");
    CHECK(fold_names({"n00", "n0"}) == "n0,n00");
    CHECK(fold_names({"n9", "n010", "n100"}) == "n9,n[010,100]");
}

TEST_CASE("addresses fold as the target grammar writes ranges", "[cli][ssh]") {
    CHECK(fold_names({"10.0.0.1", "10.0.0.2", "10.0.0.9"}) == "10.0.0.1-2,10.0.0.9");
    CHECK(fold_names({"10.0.0.1:22", "10.0.0.2:22"}) == "10.0.0.1-2:22");
    CHECK(fold_names({"2001:db8::1", "2001:db8::2", "[2001:db8::1]:22"}) ==
          "2001:db8::1,2001:db8::2,[2001:db8::1]:22");
}

TEST_CASE("numbers too long to count stay as they are", "[cli][ssh]") {
    std::string const one = "n1234567890123456789", two = "n1234567890123456790";
    CHECK(fold_names({one, two}) == one + "," + two);
}

TEST_CASE("what is folded means the same targets", "[cli][ssh]") {
    std::string const all = "n[1-12] n[01-12] n[001,3,100-102] web r[1-2]-n[8-11].example:22 "
                            "10.0.0.250-10.0.1.5 10.0.3.0/29:2222 2001:db8::1-3 fe80::1";
    auto const sorted = [](targets::list const& list) {
        texts names;
        targets::cursor walk(list);
        while (auto one = walk.next()) names.push_back(one->to_string());
        std::ranges::sort(names);
        return names;
    };
    auto const names = sorted(targets::parse(all));
    CHECK(sorted(targets::parse(fold_names(names))) == names);
}

TEST_CASE("a difference has the fewest lines", "[cli][ssh]") {
    using cli::line_diff;
    CHECK(line_diff({}, {}) == texts());
    CHECK(line_diff({"a", "b"}, {"a", "b"}) == texts());
    CHECK(line_diff({"a", "b", "c"}, {"a", "x", "c"}) == texts{"-b", "+x"});
    CHECK(line_diff({"a", "b"}, {"a", "b", "c"}) == texts{"+c"});
    CHECK(line_diff({"a", "b", "c", "d"}, {"c", "d", "a"}) == texts{"-a", "-b", "+a"});
    CHECK(line_diff({"a"}, {}) == texts{"-a"});
    CHECK(line_diff({"x", "x"}, {"x"}) == texts{"-x"});
    CHECK_FALSE(line_diff(views(600, "a"), views(600, "b")));
    CHECK(line_diff(views(6000, "a"), views(6001, "a")) == texts{"+a"});
}

TEST_CASE("lines are cut at their ends wherever the pieces end", "[cli][ssh]") {
    std::string const text = "one\n\nthree\nrest";
    for (std::size_t split = 0; split <= text.size(); ++split) {
        cli::line_cutter cut;
        auto lines = cut.take(std::string_view(text).substr(0, split));
        lines += cut.take(std::string_view(text).substr(split));
        CHECK(lines == "one\n\nthree\n");
        CHECK_FALSE(cut.empty());
        CHECK(cut.finish() == "rest\n");
        CHECK(cut.empty());
    }
}

TEST_CASE("a line without an end comes in pieces", "[cli][ssh]") {
    cli::line_cutter cut;
    auto const longest = cli::line_cutter::longest;
    auto const lines = cut.take(std::string(longest * 2 + 5, 'x'));
    CHECK(lines == std::string(longest, 'x') + "\n" + std::string(longest, 'x') + "\n");
    CHECK(cut.finish() == "xxxxx\n");
}
