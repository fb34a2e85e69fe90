#include "fixture.hpp"

#include "backup/importing.hpp"

#include <trawl/backup_import.hpp>

#include <algorithm>

using namespace trawl;
using namespace trawl::test;
using backup::detail::path_in_source;
namespace fs = std::filesystem;

namespace {

backup::import_report import_md5(backup::import_options o) {
    offload_pool pool(offload_pool::options{2, "test", nullptr});
    backup::import_report done;
    auto body = [&]() -> awaitable<> { done = co_await backup::import_md5(pool, o); };
    run(body);
    return done;
}

/// A backup as the first scripts made it: everything under the source's whole path, then the hashes.
void old_backup(fs::path const& source, fs::path const& archive, fs::path const& hashes) {
    REQUIRE(command({"python3", "-c",
                     "import tarfile, sys, os, hashlib, json\n"
                     "source, archive, hashes = sys.argv[1:]\n"
                     "try: old = json.load(open(hashes))\n"
                     "except FileNotFoundError: old = {}\n"
                     "new = {}\n"
                     "t = tarfile.open(archive, 'w:gz')\n"
                     "for d, _, names in os.walk(source):\n"
                     "    for n in names:\n"
                     "        p = os.path.join(d, n)\n"
                     "        new[p] = hashlib.md5(open(p, 'rb').read()).hexdigest()\n"
                     "        if old.get(p) != new[p]: t.add(p)\n"
                     "t.close()\n"
                     "json.dump(new, open(hashes, 'w'))\n",
                     source.string(), archive.string(), hashes.string()}) == 0);
}

} // namespace

TEST_CASE("paths of old backups are found beneath their source, however they were written",
          "[backup]") {
    CHECK(path_in_source("/etc/security/a/b", "/etc/security") == "a/b");
    CHECK(path_in_source("etc/security/a/b", "/etc/security/") == "a/b");
    CHECK(path_in_source("security/a", "/etc/security") == "a");
    CHECK(path_in_source("./a/b", "/etc/security") == "a/b");
    CHECK(path_in_source("a/b", "/etc/security") == "a/b");
    CHECK(path_in_source("/etc/securities/a", "/etc/security").empty());
    CHECK(path_in_source("/a", "/etc/security").empty());
}

TEST_CASE("a list of MD5 hashes is taken or refused with a reason", "[backup]") {
    using backup::detail::parse_md5_list;
    std::string why;
    CHECK(parse_md5_list(R"({"a": "0123456789abcdef0123456789ABCDEF"})", why)->size() == 1);
    CHECK(parse_md5_list("{}", why)->empty());
    for (auto const* text :
         {"", "[]", "{\"a\": 1}", "{\"a\": \"0123\"}", "{\"a\": \"x\"", "null"}) {
        why.clear();
        CHECK_FALSE(parse_md5_list(text, why));
        CHECK_FALSE(why.empty());
    }
}

TEST_CASE("old archives and their hashes become the base of an increment", "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_plain_tree(source, 30);
    fs::create_directory(dir / "old");
    auto const hashes = dir / "old" / "md5.json";
    old_backup(source, dir / "old" / "1.tar.gz", hashes);
    put(source / "folder1" / "file1", "changed in the meantime");
    fs::remove(source / "folder2" / "file2");
    put(source / "new", "new");
    old_backup(source, dir / "old" / "2.tar.gz", hashes);

    backup::import_options o;
    o.hashes = hashes;
    o.archives = {dir / "old" / "1.tar.gz", dir / "old" / "2.tar.gz"};
    o.source = source;
    o.destination = dir / "backups";
    auto const done = import_md5(o);
    for (auto const& p : done.errors) UNSCOPED_INFO(p.path << ": " << p.message);
    CHECK(done.errors.empty());
    CHECK(done.agreed == 30);
    CHECK(done.forgotten == 1);
    CHECK(done.made.made == backup::kind::full);
    CHECK(names(dir / "backups").size() == 4); // archive, manifest, its copy, lock
    CHECK(verify(dir / "backups").errors.empty());
    auto const expected = look_at(source);

    put(source / "newer", "newer");
    auto b = from_to(source, dir / "backups");
    b.now = nullptr;
    b.hash = backup::hash::md5;
    b.what = backup::kind::incremental;
    auto const next = back_up(b);
    CHECK(next.notes.empty());
    CHECK(next.made == backup::kind::incremental);
    CHECK(next.bytes_in == 5); // only "newer": all others have their MD5
    CHECK(put_back(restoring(dir / "backups", dir / "out")).errors.empty());
    CHECK(difference(look_at(source), look_at(dir / "out")) == "");
}

TEST_CASE("what the hashes and the archives do not agree on is named and left out", "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_plain_tree(source, 5);
    auto const hashes = dir / "md5.json";
    old_backup(source, dir / "1.tar.gz", hashes);
    put(source / "folder1" / "file1", "changed, but not archived");
    put(source / "lost", "not archived");
    old_backup(source, dir / "2.tar.gz", hashes);
    backup::import_options o;
    o.hashes = hashes;
    o.archives = {dir / "1.tar.gz"};
    o.source = source;
    o.destination = dir / "backups";
    auto const done = import_md5(o);
    REQUIRE(done.errors.size() == 2);
    CHECK(done.errors[0].path == "folder1/file1");
    CHECK(done.errors[1].path == "lost");
    CHECK(done.agreed == 4);
    put(hashes, "[]");
    CHECK(thrown([&] { import_md5(o); }) == backup::errc::corrupt);
    put(hashes, R"({"/elsewhere/a": "0123456789abcdef0123456789abcdef"})");
    CHECK(thrown([&] { import_md5(o); }) == backup::errc::bad_option);
    for (auto const& name : names(dir / "backups")) CHECK_FALSE(name.starts_with(".import"));
}
