#include "backup/selection.hpp"

#include "test.hpp"

using namespace trawl::backup;
using namespace trawl::backup::detail;

namespace {

manifest state_of(std::vector<std::string> const& paths) {
    manifest m;
    m.root = "/home/me";
    for (auto const& path : paths) {
        entry e;
        e.path = path;
        m.entries.push_back(std::move(e));
    }
    return m;
}

std::vector<std::string> chosen(manifest const& state, std::vector<std::string> const& paths) {
    auto const made = select(state, paths);
    std::vector<std::string> found;
    for (std::size_t i = 0; i < made.choices.size(); ++i)
        if (made.choices[i] != choice::no)
            found.push_back((made.choices[i] == choice::ancestor ? "(" : "") +
                            state.entries[i].path);
    for (auto const& path : made.unknown) found.push_back("?" + path);
    return found;
}

using paths = std::vector<std::string>;

} // namespace

TEST_CASE("a path chooses itself, all beneath and the way to it", "[backup]") {
    auto const state = state_of({"", "a", "a/b", "a/b/c", "a/bc", "a-b", "z"});
    CHECK(chosen(state, {}).size() == 7);
    CHECK(chosen(state, {"a/b"}) == paths{"(", "(a", "a/b", "a/b/c"});
    CHECK(chosen(state, {"./a/b/"}) == paths{"(", "(a", "a/b", "a/b/c"});
    CHECK(chosen(state, {"/home/me/a/b"}) == paths{"(", "(a", "a/b", "a/b/c"});
    CHECK(chosen(state, {"a/b/c", "z"}) == paths{"(", "(a", "(a/b", "a/b/c", "z"});
    CHECK(chosen(state, {"a", "a/b"}) == paths{"(", "a", "a/b", "a/b/c", "a/bc"});
    CHECK(chosen(state, {"."}).size() == 7);
    CHECK(chosen(state, {"/home/me"}).size() == 7);
    CHECK(chosen(state, {"b", "/home/meat"}) == paths{"?b", "?/home/meat"});
}

TEST_CASE("a pattern stays within components, and two stars do not", "[backup]") {
    auto const state = state_of({"", "a", "a/b.c", "a/d", "a/d/b.c", "b.c", "x[1]", "x1"});
    CHECK(chosen(state, {"*.c"}) == paths{"(", "b.c"});
    CHECK(chosen(state, {"*/*.c"}) == paths{"(", "(a", "a/b.c"});
    CHECK(chosen(state, {"**/*.c"}) == paths{"(", "(a", "a/b.c", "(a/d", "a/d/b.c", "b.c"});
    CHECK(chosen(state, {"a/**"}) == paths{"(", "a", "a/b.c", "a/d", "a/d/b.c"});
    CHECK(chosen(state, {"?"}) == paths{"(", "a", "a/b.c", "a/d", "a/d/b.c"});
    CHECK(chosen(state, {"x[1]"}) == paths{"(", "x[1]"}); // what is there is no pattern
    CHECK(chosen(state, {"x[0-9]"}) == paths{"(", "x1"});
    CHECK(chosen(state, {"y*"}) == paths{"?y*"});
}

TEST_CASE("two stars stand for any number of components", "[backup]") {
    CHECK(matches("**", ""));
    CHECK(matches("**/a", "a"));
    CHECK(matches("**/a/**/b", "x/a/y/z/b"));
    CHECK(matches("**/a/**/b", "a/a/b"));
    CHECK_FALSE(matches("**/a/**/b", "a/c"));
    CHECK_FALSE(matches("a", "a/b"));
    CHECK_FALSE(matches("a/b", "a"));
    CHECK_FALSE(matches("", "a"));
    std::string many, pattern = "**";
    for (int i = 0; i < 60; ++i) many += "a/", pattern += "/a/**";
    CHECK_FALSE(matches(pattern + "/b", many + "a")); // and that at once
}
