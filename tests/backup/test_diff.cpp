#include "fixture.hpp"

#include <algorithm>

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;
using backup::change;

namespace {

struct compared {
    std::map<std::string, change> changes;
    backup::diff_report report;

    std::vector<std::string> of(change::kind what) const {
        std::vector<std::string> paths;
        for (auto const& [path, c] : changes)
            if (c.what == what) paths.push_back(path);
        return paths;
    }
};

compared diff(backup::diff_options o) {
    offload_pool pool(offload_pool::options{2, "test", nullptr});
    compared seen;
    auto each = [&](change const& c) { CHECK(seen.changes.emplace(c.path, c).second); };
    auto body = [&]() -> awaitable<> { seen.report = co_await backup::diff(pool, o, each); };
    run(body);
    auto const& r = seen.report;
    CHECK(r.added + r.removed + r.changed + r.metadata == seen.changes.size());
    return seen;
}

backup::diff_options of(fs::path const& archives) {
    backup::diff_options o;
    o.archives = archives;
    return o;
}

using paths = std::vector<std::string>;

/// Changes of every kind.
void change_tree(fs::path const& source) {
    put(source / "other content", "zweiter");
    put(source / "longer", "longer than it was");
    fs::remove(source / "gone");
    put(source / "new", "x");
    fs::create_directory(source / "new folder");
    put(source / "new folder" / "in it", "y");
    ::chmod((source / "mode").c_str(), 0751);
    set_mtime(source / "touched", 1'700'000'000'123'456'789);
    fs::remove(source / "type");
    fs::create_directory(source / "type");
    fs::remove(source / "link");
    fs::create_symlink("elsewhere", source / "link");
    ::setxattr((source / "attribute").c_str(), "user.colour", "red", 3, 0);
}

void make_tree(fs::path const& source) {
    make_plain_tree(source, 20);
    for (auto const* name : {"longer", "gone", "mode", "touched", "type", "attribute", "same"})
        put(source / name, "content");
    put(source / "other content", "erster!");
    fs::create_symlink("somewhere", source / "link");
}

void check_changes(compared const& seen, fs::path const& source) {
    CHECK(seen.of(change::added) == paths{"new", "new folder", "new folder/in it"});
    CHECK(seen.of(change::removed) == paths{"gone"});
    CHECK(seen.of(change::changed) == paths{"link", "longer", "other content", "type"});
    char value[8];
    bool const has_attributes = // not every file system of a test machine
        ::getxattr((source / "attribute").c_str(), "user.colour", value, sizeof value) == 3;
    auto metadata = seen.of(change::metadata);
    CHECK(metadata.front().empty()); // the source: names came and went
    metadata.erase(metadata.begin());
    CHECK(metadata ==
          (has_attributes ? paths{"attribute", "mode", "touched"} : paths{"mode", "touched"}));
    CHECK(seen.changes.at("other content").facts.starts_with("content"));
    CHECK(seen.changes.at("longer").facts.starts_with("size, content"));
    CHECK(seen.changes.at("mode").facts == "mode");
    CHECK(seen.changes.at("touched").facts == "mtime");
    CHECK(seen.changes.at("type").facts == "type");
    CHECK(seen.changes.at("type").type == 'd');
    CHECK(seen.changes.at("link").facts.starts_with("link"));
    CHECK(seen.report.errors.empty());
}

} // namespace

TEST_CASE("a state and the live tree differ in what was changed, and in nothing else", "[backup]") {
    scratch dir(medium::disk);
    auto const source = dir / "source";
    make_tree(source);
    auto const made = back_up(from_to(source, dir / "backups"));
    CHECK(diff(of(dir / "backups")).changes.empty());
    change_tree(source);
    auto const seen = diff(of(dir / "backups"));
    check_changes(seen, source);
    CHECK(seen.report.from == made.manifest.filename());
    CHECK(seen.report.to.empty());
    auto o = of(dir / "backups");
    o.rehash = true;
    check_changes(diff(o), source);
}

TEST_CASE("two states differ in the same", "[backup]") {
    scratch dir(medium::disk);
    auto const source = dir / "source";
    make_tree(source);
    auto o = from_to(source, dir / "backups");
    back_up(o);
    change_tree(source);
    o.now = [] { return noon(2026, 11, 26); };
    back_up(o);
    auto between = of(dir / "backups");
    between.from = noon(2026, 11, 25);
    between.to = noon(2026, 11, 27);
    check_changes(diff(between), source);
    std::swap(between.from, between.to);
    auto const back = diff(between);
    CHECK(back.of(change::added) == paths{"gone"});
    CHECK(back.of(change::removed) == paths{"new", "new folder", "new folder/in it"});
    between.from = between.to;
    CHECK(diff(between).changes.empty());
    CHECK(diff(of(dir / "backups")).changes.empty());
    between.from = noon(2026, 11, 1);
    CHECK(thrown([&] { diff(between); }) == backup::errc::no_such_archive);
}

TEST_CASE("a restored tree has no difference, whatever its inodes and ctimes", "[backup]") {
    scratch dir(medium::disk);
    make_hard_tree(dir / "source");
    back_up(from_to(dir / "source", dir / "backups"));
    put_back(restoring(dir / "backups", dir / "out"));
    auto o = of(dir / "backups");
    o.live = dir / "out";
    auto const seen = diff(o);
    for (auto const& [path, c] : seen.changes) UNSCOPED_INFO(path << ": " << c.facts);
    CHECK(seen.changes.empty());
    put(dir / "out" / "a-b", "sorts between a and a/c");
    CHECK(diff(o).of(change::changed) == paths{"a-b"});
}

TEST_CASE("what the backup leaves out is no difference, and paths narrow the comparison",
          "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_plain_tree(source, 20);
    put(source / ".trawlignore", "*.o\n");
    auto b = from_to(source, source / "backups");
    b.exclude = {"cache/"};
    fs::create_directory(source / "cache");
    put(source / "cache" / "x", "x");
    put(source / "x.o", "x");
    back_up(b);
    auto o = of(source / "backups");
    o.exclude = b.exclude;
    auto const metadata = diff(o).changes; // the destination was made after the source's mtime
    CHECK(metadata.size() <= 1);
    put(source / "folder1" / "new", "x");
    put(source / "folder2" / "new", "x");
    o.paths = {"folder1"};
    CHECK(diff(o).of(change::added) == paths{"folder1/new"});
    o.paths = {"folder2/new"};
    CHECK(diff(o).of(change::added) == paths{"folder2/new"});
    o.paths = {"no such"};
    CHECK(diff(o).report.errors.size() == 1);
}

TEST_CASE("verify finds rot in the live tree: other content under the same size and time",
          "[backup]") {
    scratch dir;
    make_tree(dir / "source");
    back_up(from_to(dir / "source", dir / "backups"));
    auto const rotten = dir / "source" / "same";
    struct stat facts {};
    ::stat(rotten.c_str(), &facts);
    put(rotten, "CONTENT");
    set_mtime(rotten, facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec);
    put(dir / "source" / "longer", "longer than before");
    fs::remove(dir / "source" / "gone");
    backup::verify_options o;
    o.archives = dir / "backups";
    o.live = dir / "source";
    offload_pool pool(offload_pool::options{2, "test", nullptr});
    backup::verify_report seen;
    auto body = [&]() -> awaitable<> { seen = co_await backup::verify(pool, o); };
    run(body);
    CHECK(seen.errors.empty());
    REQUIRE(seen.live_errors.size() == 1);
    CHECK(seen.live_errors[0].path == "same");
    CHECK(seen.live_changed == 2);
    CHECK(seen.live_same == 20 + 8 - 3);
}
