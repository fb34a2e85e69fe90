#include "fixture.hpp"

#include "backup/manifest.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

void check_restores(fs::path const& archives, facts const& expected) {
    scratch out;
    auto const done = put_back(restoring(archives, out / "restored"));
    CHECK(done.errors.empty());
    CHECK(difference(expected, look_at(out / "restored")) == "");
}

std::vector<std::string> paths_in(fs::path const& manifest) {
    std::string complaint;
    auto const state = backup::detail::parse_manifest(get(manifest), complaint);
    REQUIRE(state);
    std::vector<std::string> paths;
    for (auto const& e : state->entries) paths.push_back(e.path);
    return paths;
}

} // namespace

TEST_CASE("a renamed file is stored as a reference, for tar as a link to its old name",
          "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    fs::create_directories(source / "old");
    put(source / "old" / "large", noise(3'000'000));
    put(source / "old" / "small", noise(5000, 2));
    put(source / "stays", "x");
    auto const o = from_to(source, dir / "backups");
    auto const full = back_up(o);
    fs::rename(source / "old", source / "new");
    auto const made = back_up(o);
    CHECK(made.renamed == 2);
    CHECK(made.bytes_in == 0);
    CHECK(made.bytes_out < 2000);
    check_restores(dir / "backups", look_at(source));
    fs::create_directory(dir / "out");
    for (auto const& file : {full.file, made.file})
        REQUIRE(command({"tar", "-xzpf", file.string(), "-C", (dir / "out").string()}) == 0);
    CHECK(get(dir / "out" / "new" / "large") == get(source / "new" / "large"));
    CHECK(get(dir / "out" / "new" / "small") == get(source / "new" / "small"));
}

TEST_CASE("a hole of nine gigabytes costs nothing", "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    fs::create_directory(source);
    put(source / "image", noise(100'000));
    fs::resize_file(source / "image", 9'000'000'000);
    auto const o = from_to(source, dir / "backups");
    auto const made = back_up(o);
    CHECK(made.bytes_out < 300'000);
    fs::create_directory(dir / "out");
    REQUIRE(command({"tar", "-xzpf", made.file.string(), "-C", (dir / "out").string()}) == 0);
    CHECK(fs::file_size(dir / "out" / "image") == 9'000'000'000);
    auto again = o;
    again.rehash_part = again.rehash_parts = 1;
    auto const checked = back_up(again);
    CHECK(checked.bytes_in == 0);
    CHECK(checked.unchanged == 2);
}

TEST_CASE("what is excluded is not in the backup, and is counted", "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    fs::create_directories(source / "cache");
    put(source / "cache" / "CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    put(source / "cache" / "thing", "x");
    put(source / "a.o", "x");
    put(source / "keep.o", "x");
    put(source / "large", noise(5000));
    put(source / ".trawlignore", "*.o\n!keep.o\n");
    auto o = from_to(source, dir / "backups");
    o.exclude_caches = true;
    o.max_file_bytes = 4000;
    auto const made = back_up(o);
    CHECK(paths_in(made.manifest) ==
          std::vector<std::string>{"", ".trawlignore", "cache", "cache/CACHEDIR.TAG", "keep.o"});
    CHECK(made.excluded == 3);
}

TEST_CASE("patterns of files are for the whole source, and come behind the ignore files",
          "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    fs::create_directories(source / "a" / "build");
    for (auto const* name : {"x.log", "y.tmp", "kept.tmp", "a/x.log", "a/build/z"})
        put(source / name, "x");
    put(dir / "patterns", "# comment\n*.log\nbuild/\n");
    put(dir / "more", "*.tmp\n");
    put(source / ".trawlignore", "!kept.tmp\n");
    auto o = from_to(source, dir / "backups");
    o.exclude_from = {dir / "patterns", dir / "more"};
    CHECK(paths_in(back_up(o).manifest) ==
          std::vector<std::string>{"", ".trawlignore", "a", "kept.tmp"});
    o.exclude = {"kept.*"}; // before all others
    CHECK(paths_in(back_up(o).manifest) == std::vector<std::string>{"", ".trawlignore", "a"});
    o.exclude_from = {dir / "missing"};
    CHECK(thrown([&] { back_up(o); }) == std::errc::no_such_file_or_directory);
}

TEST_CASE("what lies on another file system is left out when that is asked for", "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    fs::create_directories(source / "mounted");
    put(source / "here", "x");
    struct mounted {
        fs::path where;
        bool done;
        ~mounted() {
            if (done) ::umount2(where.c_str(), MNT_DETACH);
        }
    } const other{source / "mounted",
                  ::mount("tmpfs", (source / "mounted").c_str(), "tmpfs", 0, "size=1m") == 0};
    if (!other.done) skip("needs the right to mount a tmpfs");
    put(source / "mounted" / "there", "x");
    auto o = from_to(source, dir / "backups");
    using list = std::vector<std::string>;
    CHECK(paths_in(back_up(o).manifest) == list{"", "here", "mounted", "mounted/there"});
    o.one_file_system = true;
    CHECK(paths_in(back_up(o).manifest) == list{"", "here", "mounted"});
}

TEST_CASE("what chattr +d has marked is left out when that is asked for", "[backup]") {
    scratch dir(medium::disk);
    auto const source = dir / "source";
    fs::create_directories(source / "folder");
    put(source / "folder" / "below", "x");
    put(source / "marked", "x");
    put(source / "other", "x");
    if (command({"chattr", "+d", (source / "marked").string(), (source / "folder").string()}) != 0)
        skip("needs chattr and a file system that has the attribute");
    auto o = from_to(source, dir / "backups");
    CHECK(paths_in(back_up(o).manifest).size() == 5);
    o.exclude_nodump = true;
    auto const made = back_up(o);
    CHECK(paths_in(made.manifest) == std::vector<std::string>{"", "other"});
    CHECK(made.excluded == 2);
}

TEST_CASE("a differential stands on the full alone", "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_plain_tree(source, 10);
    auto o = from_to(source, dir / "backups");
    back_up(o);
    put(source / "one", "1");
    auto const first = back_up(o);
    put(source / "two", "2");
    o.what = backup::kind::differential;
    auto const made = back_up(o);
    CHECK(made.made == backup::kind::differential);
    CHECK(made.file.filename() == "source_diff_20261124.tar.gz");
    CHECK(made.bytes_in == 2);
    fs::remove(first.file);
    fs::remove(first.manifest);
    check_restores(dir / "backups", look_at(source));
}
