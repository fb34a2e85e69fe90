#include "backup/ignore.hpp"

#include "fixture.hpp"

#include <random>
#include <set>
#include <sstream>

using namespace trawl::backup::detail;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

bool out(std::string_view pattern, std::string_view path, bool is_folder = false) {
    return ignore_list(pattern).leaves_out(path, is_folder).value_or(false);
}

/// The files beneath `folder`, and the folders with a slash behind.
void collect(fs::path const& folder, std::string const& prefix, std::set<std::string>& into) {
    for (auto const& found : fs::directory_iterator(folder)) {
        auto const path = prefix + found.path().filename().string();
        if (path == ".git") continue;
        into.insert(path);
        if (found.is_directory()) collect(found.path(), path + "/", into);
    }
}

/// What git says is ignored of `paths`, in a repository.
std::set<std::string> ignored_by_git(fs::path const& repository,
                                     std::set<std::string> const& paths) {
    std::string input;
    for (auto const& path : paths) input += path + '\0';
    put(repository / ".git" / "paths", input);
    auto const shell = "cd '" + repository.string() +
                       "' && git check-ignore --no-index -z --stdin < .git/paths > .git/ignored";
    command({"sh", "-c", shell});
    std::set<std::string> ignored;
    std::istringstream lines(get(repository / ".git" / "ignored"));
    for (std::string path; std::getline(lines, path, '\0');) ignored.insert(path);
    return ignored;
}

/// What our lists leave out of `paths`: with a folder goes all beneath it.
std::set<std::string> ignored_by_us(fs::path const& root, std::set<std::string> const& paths) {
    std::set<std::string> ignored;
    for (auto const& path : paths) { // a folder before what is in it
        auto const slash = path.rfind('/');
        bool leaves_out = slash != std::string::npos && ignored.count(path.substr(0, slash));
        bool const is_folder = fs::is_directory(root / path);
        for (auto folder = path; !leaves_out;) {
            auto const at = folder.rfind('/');
            folder = at == std::string::npos ? "" : folder.substr(0, at);
            auto const file = root / folder / ".gitignore";
            if (fs::exists(file)) {
                auto const below = folder.empty() ? path : path.substr(folder.size() + 1);
                if (auto const verdict = ignore_list(get(file)).leaves_out(below, is_folder)) {
                    leaves_out = *verdict;
                    break;
                }
            }
            if (folder.empty()) break;
        }
        if (leaves_out) ignored.insert(path);
    }
    return ignored;
}

} // namespace

TEST_CASE("patterns mean what gitignore(5) says", "[backup]") {
    CHECK(out("foo", "foo"));
    CHECK(out("foo", "a/b/foo"));
    CHECK(out("/foo", "foo"));
    CHECK_FALSE(out("/foo", "a/foo"));
    CHECK(out("a/foo", "a/foo"));
    CHECK_FALSE(out("a/foo", "b/a/foo"));
    CHECK_FALSE(out("foo/", "foo"));
    CHECK(out("foo/", "foo", true));
    CHECK(out("*.o", "a/x.o"));
    CHECK_FALSE(out("/*.o", "a/x.o"));
    CHECK(out("a/*/c", "a/b/c"));
    CHECK_FALSE(out("a/*/c", "a/b/d/c"));
    CHECK(out("**/foo", "foo"));
    CHECK(out("**/foo", "a/b/foo"));
    CHECK(out("a/**/b", "a/b"));
    CHECK(out("a/**/b", "a/x/y/b"));
    CHECK_FALSE(out("a/**/b", "ab"));
    CHECK(out("a/**", "a/x/y"));
    CHECK_FALSE(out("a/**", "a"));
    CHECK(out("[a-c]?[!x]", "bzz"));
    CHECK_FALSE(out("[a-c]?[!x]", "bzx"));
    CHECK(out("[[:digit:]]]", "7]"));
    CHECK(out("\\#x", "#x"));
    CHECK_FALSE(out("#x", "#x"));
    CHECK(out("\\!x", "!x"));
    CHECK(out("x\\ ", "x "));
    CHECK(out("x  ", "x"));
    CHECK(out("x\r\ny", "x"));
    CHECK_FALSE(out("*.log\n!keep.log", "keep.log"));
    CHECK(out("*.log\n!keep.log\nkeep.*", "keep.log"));
    CHECK(out("\xef\xbb\xbf"
              "first",
              "first"));
    CHECK_FALSE(out("[", "["));
    CHECK_FALSE(out("x\\", "x"));
    CHECK_FALSE(out("\n \n!\n/\n", "anything"));
    CHECK(out("\xff*", "\xff\xfe"));
}

TEST_CASE("a pattern made to be slow is not", "[backup]") {
    std::string pattern, path(4000, 'a');
    for (int i = 0; i < 200; ++i) pattern += "*a";
    pattern += "*b";
    CHECK_FALSE(out(pattern, path)); // a matcher that tries again would never come to an end
    CHECK(out(pattern, path + "b"));
}

TEST_CASE("git check-ignore agrees on thousands of patterns", "[backup]") {
    scratch dir;
    auto const root = dir / "tree";
    for (auto const* folder : {"a", "b", "ab", "a.c"})
        for (auto const* below : {"a", "b", "ba", "c"}) {
            fs::create_directories(root / folder / below / "a");
            for (auto const* leaf : {"a", "b", "ab", "a.c", "-", "]", "a b"})
                if (!fs::exists(root / folder / below / leaf))
                    put(root / folder / below / leaf, "");
            put(root / folder / below / "a" / "c", "");
        }
    if (command({"git", "-C", root.string(), "init", "-q"}) != 0) skip("needs git");
    std::set<std::string> paths;
    collect(root, "", paths);
    std::mt19937 random(11);
    std::vector<std::string> const pieces{
        "a",    "b", "c", "ab", ".c", "*", "**",    "/",           "/", "**/",  "/**", "?", "[ab]",
        "[!a]", "[", "]", "\\", " ",  "!", "[a-c]", "[[:alpha:]]", "-", "[]-]", "\\*", "#"};
    for (int round = 0; round < 250; ++round) {
        std::string all;
        for (auto const* folder : {"", "a", "ab"}) {
            std::string text;
            auto const lines = folder[0] ? random() % 3 : 1 + random() % 4;
            for (unsigned i = 0; i < lines; ++i) {
                if (random() % 4 == 0) text += '!';
                for (unsigned n = 1 + random() % 4; n > 0; --n)
                    text += pieces[random() % pieces.size()];
                text += '\n';
            }
            put(root / folder / ".gitignore", text);
            all += std::string(folder) + ":\n" + text;
        }
        auto const theirs = ignored_by_git(root, paths);
        auto const ours = ignored_by_us(root, paths);
        if (ours == theirs) continue;
        for (auto const& path : paths)
            if (ours.count(path) != theirs.count(path))
                UNSCOPED_INFO(path << (ours.count(path) ? ": ours alone" : ": git alone"));
        FAIL_CHECK("round " << round << " with\n" << all);
    }
}
