#include "fixture.hpp"

#include "backup/manifest.hpp"

#include <algorithm>
#include <sys/stat.h>
#include <unistd.h>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

std::string cat(backup::cat_options o) {
    offload_pool pool(offload_pool::options{2, "test", nullptr});
    std::string content;
    auto take = [&content](std::string_view bytes) { content += bytes; };
    auto body = [&]() -> awaitable<> { co_await backup::cat(pool, o, take); };
    run(body);
    return content;
}

backup::cat_options file_of(fs::path const& archives, std::string path) {
    backup::cat_options o;
    o.archives = archives;
    o.path = std::move(path);
    return o;
}

std::vector<backup::archive_info> list(fs::path const& archives, std::string name = {}) {
    offload_pool pool(offload_pool::options{2, "test", nullptr});
    backup::list_options o;
    o.archives = archives;
    o.name = std::move(name);
    std::vector<backup::archive_info> found;
    auto body = [&]() -> awaitable<> { found = co_await backup::list(pool, o); };
    run(body);
    return found;
}

std::vector<std::string> entries(backup::entries_options o, std::vector<backup::problem>& errors) {
    offload_pool pool(offload_pool::options{2, "test", nullptr});
    std::vector<std::string> found;
    auto each = [&found](backup::entry_info const& e) { found.push_back(e.path); };
    auto body = [&]() -> awaitable<> { errors = co_await backup::entries(pool, o, each); };
    run(body);
    return found;
}

} // namespace

TEST_CASE("any file of a backup is found by its path and handed out whole", "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_hard_tree(source);
    for (bool zstd : {false, true}) {
        auto o = from_to(source, dir / (zstd ? "zstd" : "gzip"));
        o.zstd = zstd;
        back_up(o);
        for (auto const& [path, line] : look_at(source)) {
            struct stat facts {};
            REQUIRE(::lstat((source / path).c_str(), &facts) == 0);
            INFO(path);
            if (S_ISREG(facts.st_mode))
                CHECK(cat(file_of(o.destination, path)) == get(source / path));
            else
                CHECK(thrown([&] { cat(file_of(o.destination, path)); }) ==
                      (S_ISDIR(facts.st_mode) ? std::errc::is_a_directory
                                              : std::errc::not_supported));
        }
    }
    CHECK(cat(file_of(dir / "gzip", (source / "a/b").string())) == "7");
    for (auto const* path : {"a/", "missing", "folder1/file", "zzzz", "a/b/c", "\x01"})
        CHECK(thrown([&] { cat(file_of(dir / "gzip", path)); }).category() ==
              std::system_category());
}

TEST_CASE("cat takes a file from the state of a date, and says when it is damaged", "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_plain_tree(source, 30);
    put(source / "file", "monday");
    auto o = from_to(source, dir / "backups");
    o.now = [] { return noon(2026, 11, 23); };
    auto const full = back_up(o);
    put(source / "file", "on tuesday");
    o.now = [] { return noon(2026, 11, 24); };
    back_up(o);
    auto at = file_of(dir / "backups", "file");
    CHECK(cat(at) == "on tuesday");
    at.at = noon(2026, 11, 23);
    CHECK(cat(at) == "monday");
    at.at = noon(2026, 11, 22);
    CHECK(thrown([&] { cat(at); }) == backup::errc::no_such_archive);
    at.at.reset();
    at.name = "other";
    CHECK(thrown([&] { cat(at); }) == backup::errc::no_such_archive);

    auto bytes = get(full.file);
    for (std::size_t i = 100; i + 100 < bytes.size(); i += 50) bytes[i] ^= 1;
    put(full.file, bytes);
    CHECK(thrown([&] { cat(file_of(dir / "backups", "folder0/file0")); }) == backup::errc::corrupt);
    fs::remove(full.file);
    CHECK(thrown([&] { cat(file_of(dir / "backups", "folder0/file0")); }) ==
          backup::errc::no_such_archive);
    CHECK(cat(file_of(dir / "backups", "file")) == "on tuesday");
}

TEST_CASE("a path that a damaged manifest hides is not said to be missing", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 9);
    back_up(from_to(dir / "source", dir / "backups"));
    auto const file = dir / "backups" / "source_manifest.json";
    auto const whole = get(file);
    auto damaged = whole;
    damaged.replace(damaged.find("folder1/file1"), 13, "folder1/file0");
    put(file, damaged);
    CHECK(thrown([&] { cat(file_of(dir / "backups", "folder1/file1")); }) == backup::errc::corrupt);
    put(file, whole.substr(0, 30));
    CHECK(thrown([&] { cat(file_of(dir / "backups", "folder1/file1")); }) == backup::errc::corrupt);
}

TEST_CASE("the backups of a folder are listed by name and age, with what is wrong", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 5);
    auto o = from_to(dir / "source", dir / "backups");
    o.now = [] { return noon(2026, 11, 23); };
    auto const full = back_up(o);
    put(dir / "source" / "new", "x");
    o.now = [] { return noon(2026, 11, 24); };
    auto const increment = back_up(o);
    o.name = "another";
    back_up(o);
    auto found = list(dir / "backups");
    REQUIRE(found.size() == 3);
    CHECK(found[0].name == "another");
    CHECK(found[1].made == backup::kind::full);
    CHECK(found[1].created == noon(2026, 11, 23));
    CHECK(found[1].archive == full.file);
    CHECK(found[1].bytes == full.bytes_out);
    CHECK(found[1].stands_on.empty());
    CHECK(found[2].made == backup::kind::incremental);
    CHECK(found[2].stands_on == full.manifest.filename());
    for (auto const& each : found) CHECK(each.damage.empty());

    fs::resize_file(full.file, 10);
    fs::remove(increment.file);
    found = list(dir / "backups", "source");
    REQUIRE(found.size() == 2);
    CHECK(found[0].damage.find("has 10 bytes, not ") != std::string::npos);
    CHECK(found[1].damage.find("No such file") != std::string::npos);
    put(full.manifest, "{}\n");
    CHECK(list(dir / "backups", "source")[0].damage.starts_with("line 1: "));
    CHECK(thrown([&] { list(dir / "backups", "third"); }) == backup::errc::no_such_archive);
    CHECK(thrown([&] { list(dir / "source"); }) == backup::errc::no_such_archive);
}

TEST_CASE("the entries of a state are listed in order, all or those asked for", "[backup]") {
    scratch dir;
    make_hard_tree(dir / "source");
    auto o = from_to(dir / "source", dir / "backups");
    o.now = [] { return noon(2026, 11, 23); };
    back_up(o);
    fs::remove(dir / "source" / "a-b");
    o.now = [] { return noon(2026, 11, 24); };
    back_up(o);
    backup::entries_options all;
    all.archives = dir / "backups";
    std::vector<backup::problem> errors;
    auto found = entries(all, errors);
    CHECK(errors.empty());
    CHECK(found.size() == look_at(dir / "source").size());
    CHECK(std::count(found.begin(), found.end(), "a-b") == 0);
    all.at = noon(2026, 11, 23);
    found = entries(all, errors);
    CHECK(std::count(found.begin(), found.end(), "a-b") == 1);
    all.paths = {"a", "nothing"};
    CHECK(entries(all, errors) == std::vector<std::string>{"a", "a/b", "a/link to large"});
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].path == "nothing");
}

TEST_CASE("an entry is found by halving wherever it stands", "[backup]") {
    using namespace trawl::backup::detail;
    manifest m;
    m.name = "x";
    m.root = "/x";
    chain_link self;
    self.archive = "a.tar.gz", self.manifest = "m";
    self.archive_hash.size = 32;
    self.block_bytes = 1;
    m.chain = {self};
    m.entries.emplace_back();
    for (int i = 0; i < 300; ++i) {
        m.entries.emplace_back();
        m.entries.back().path = "d" + std::to_string(1000 + i) + std::string(i % 7, 'x');
    }
    for (auto& e : m.entries) e.type = file_type::folder;
    m.deleted = {"gone", "d1"};
    auto const text = serialize(m);
    std::string complaint;
    std::string_view rest;
    auto const head = parse_head(text, rest, complaint);
    REQUIRE(head);
    for (auto const& e : m.entries) {
        auto const found = find_entry(rest, *head, e.path, complaint);
        REQUIRE(found);
        CHECK(found->path == e.path);
    }
    for (auto const* path : {"a", "d1000y", "d1299xxxxxxxx", "e", "gone"})
        CHECK_FALSE(find_entry(rest, *head, path, complaint));
    CHECK(complaint.empty());
    for (std::size_t n = 0; n < text.size(); n += 17) { // cut anywhere: no crash, no wrong answer
        auto const cut = std::string_view(text).substr(0, n);
        auto const some = parse_head(cut, rest, complaint);
        if (!some) continue;
        auto const found = find_entry(rest, *some, "d1200xxx", complaint);
        if (found) CHECK(found->path == "d1200xxx");
    }
}
