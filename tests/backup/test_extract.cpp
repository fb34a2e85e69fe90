#include "fixture.hpp"

#include <algorithm>

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

bool refused(backup::extract_report const& done, std::string const& path) {
    return std::any_of(done.errors.begin(), done.errors.end(),
                       [&](backup::problem const& p) { return p.path == path; });
}

/// A tar archive by the lines of a Python program that has `add(name, type, **facts)` and the
/// letters of tarfile for types.
void make_tar(fs::path const& file, std::string const& lines) {
    std::string const program = "import tarfile, io, sys\n"
                                "t = tarfile.open(sys.argv[1], 'w:gz', format=tarfile.PAX_FORMAT)\n"
                                "def add(name, type=tarfile.REGTYPE, data=b'evil', **facts):\n"
                                "    i = tarfile.TarInfo(name)\n"
                                "    i.type = type\n"
                                "    i.size = len(data) if type == tarfile.REGTYPE else 0\n"
                                "    for k, v in facts.items(): setattr(i, k, v)\n"
                                "    t.addfile(i, io.BytesIO(data))\n" +
                                lines + "t.close()\n";
    REQUIRE(command({"python3", "-c", program, file.string()}) == 0);
}

} // namespace

TEST_CASE("archives alone come back as GNU tar extracts them", "[backup]") {
    scratch dir(medium::disk);
    make_hard_tree(dir / "source");
    auto const full = back_up(from_to(dir / "source", dir / "backups"));
    put(dir / "source" / "a" / "b", "changed");
    put(dir / "source" / "new", "new");
    fs::rename(dir / "source" / "of one block", dir / "source" / "renamed");
    auto const increment = back_up(from_to(dir / "source", dir / "backups"));
    auto const done = extract({full.file, increment.file}, dir / "out");
    for (auto const& p : done.errors) UNSCOPED_INFO(p.path << ": " << p.message);
    CHECK(done.errors.empty());
    fs::create_directory(dir / "by tar");
    for (auto const& archive : {full.file, increment.file})
        REQUIRE(command({"tar", "--xattrs", "--acls", "--same-permissions", "-xf", archive.string(),
                         "-C", (dir / "by tar").string()}) == 0);
    auto by_tar = look_at(dir / "by tar"), by_us = look_at(dir / "out");
    // tar gives a folder of an earlier archive the time at which it put a file into it.
    CHECK(by_us.at("a") == look_at(dir / "source").at("a"));
    by_tar.erase("a"), by_us.erase("a");
    CHECK(difference(by_tar, by_us) == "");
    CHECK(get(dir / "out" / "renamed") == std::string(1 << 20, 'b'));
}

TEST_CASE("what GNU tar wrote comes back, attributes and ACLs too", "[backup]") {
    scratch dir(medium::disk);
    make_hard_tree(dir / "source");
    fs::remove(dir / "source" / "socket"); // tar has none
    // linux/posix_acl_xattr.h: user::rwx user:7:r-x user:1234:r-- group::r-x mask::r-x other::---,
    // one that has a name on most machines and one that has none.
    std::string const acl("\2\0\0\0"
                          "\1\0\7\0\xff\xff\xff\xff"
                          "\2\0\5\0\7\0\0\0"
                          "\2\0\4\0\xd2\4\0\0"
                          "\4\0\5\0\xff\xff\xff\xff"
                          "\20\0\5\0\xff\xff\xff\xff"
                          "\40\0\0\0\xff\xff\xff\xff",
                          52);
    // Not every file system of a test machine has them; look_at() compares what there is.
    ::setxattr((dir / "source" / "a-b").c_str(), "system.posix_acl_access", acl.data(), acl.size(),
               0);
    ::setxattr((dir / "source" / "a").c_str(), "system.posix_acl_default", acl.data(), acl.size(),
               0);
    REQUIRE(command({"tar", "--format=pax", "--xattrs", "--acls", "--sparse", "-czf",
                     (dir / "x.tar.gz").string(), "-C", (dir / "source").string(), "."}) == 0);
    auto const done = extract({dir / "x.tar.gz"}, dir / "out");
    for (auto const& p : done.errors) UNSCOPED_INFO(p.path << ": " << p.message);
    CHECK(done.errors.empty());
    CHECK(difference(look_at(dir / "source"), look_at(dir / "out")) == "");
}

TEST_CASE("a hostile archive makes nothing outside the target, and each attempt is named",
          "[backup]") {
    scratch dir;
    fs::create_directory(dir / "outside");
    put(dir / "outside" / "file", "mine");
    auto const outside = (dir / "outside").string();
    auto const before = look_at(dir / "outside");
    make_tar(dir / "x.tar.gz", "o = '" + outside +
                                   "'\n"
                                   "add('first', data=b'good')\n"
                                   "add(o + '/absolute')\n"
                                   "add('../outside/dotdot')\n"
                                   "add('a/../../outside/dotdot')\n"
                                   "add('link', tarfile.SYMTYPE, linkname=o)\n"
                                   "add('link/through')\n"
                                   "add('up', tarfile.SYMTYPE, linkname='..')\n"
                                   "add('up/outside/file')\n"
                                   "add('hard', tarfile.LNKTYPE, linkname=o + '/file')\n"
                                   "add('hard2', tarfile.LNKTYPE, linkname='../outside/file')\n"
                                   "add('hard3', tarfile.LNKTYPE, linkname='link/file')\n"
                                   "add('filelink', tarfile.SYMTYPE, linkname=o + '/file')\n"
                                   "add('filelink')\n"
                                   "add('loop', tarfile.SYMTYPE, linkname='loop')\n"
                                   "add('loop/x')\n"
                                   "add('link', tarfile.DIRTYPE)\n"
                                   "add('odd', b'Z')\n"
                                   "add('last', data=b'good')\n");
    auto const done = extract({dir / "x.tar.gz"}, dir / "target");
    CHECK(difference(before, look_at(dir / "outside")) == "");
    CHECK(get(dir / "target" / "first") == "good");
    CHECK(get(dir / "target" / "last") == "good");
    CHECK(get(dir / "target" / "filelink") == "evil"); // in place of the link, not through it
    CHECK_FALSE(fs::is_symlink(dir / "target" / "filelink"));
    for (auto const& path :
         {outside + "/absolute", std::string("../outside/dotdot"),
          std::string("a/../../outside/dotdot"), std::string("link/through"),
          std::string("up/outside/file"), std::string("hard"), std::string("hard2"),
          std::string("hard3"), std::string("loop/x"), std::string("link")}) {
        INFO(path);
        CHECK(refused(done, path));
    }
    CHECK_FALSE(done.corrupt);
}

TEST_CASE("a tree ten thousand folders deep is no trap", "[backup]") {
    scratch dir;
    make_tar(dir / "x.tar.gz", "add('d/' * 10000 + 'bottom')\nadd('last')\n");
    auto const done = extract({dir / "x.tar.gz"}, dir / "target");
    CHECK(done.errors.empty());
    CHECK(done.entries == 2);
    CHECK(command({"rm", "-rf", (dir / "target").string()}) == 0);
}

TEST_CASE("a bomb is refused, and zeros take no room", "[backup]") {
    scratch dir(medium::disk);
    // A header that promises a petabyte, then 50 MB of zeros in 50 KB.
    make_tar(dir / "x.tar.gz", "i = tarfile.TarInfo('bomb')\n"
                               "i.size = 10 ** 15\n"
                               "t.fileobj.write(i.tobuf(tarfile.GNU_FORMAT))\n"
                               "t.fileobj.write(bytes(10 ** 6))\n"
                               "t.fileobj.close()\n"
                               "sys.exit(0)\n");
    auto const done = extract({dir / "x.tar.gz"}, dir / "target");
    CHECK(refused(done, "bomb"));
    CHECK_FALSE(fs::exists(dir / "target" / "bomb"));
    make_tar(dir / "zeros.tar.gz", "add('zeros', data=bytes(50 * 10 ** 6))\n");
    CHECK(extract({dir / "zeros.tar.gz"}, dir / "target").errors.empty());
    struct stat facts {};
    ::stat((dir / "target" / "zeros").c_str(), &facts);
    CHECK(facts.st_size == 50'000'000);
    CHECK(facts.st_blocks < 1000);
}

TEST_CASE("damage is named and costs what is behind it", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 30);
    auto const made = back_up(from_to(dir / "source", dir / "backups"));
    auto const whole = get(made.file);
    put(dir / "cut.tar.gz", std::string_view(whole).substr(0, whole.size() / 2));
    auto const done = extract({dir / "cut.tar.gz"}, dir / "target");
    CHECK(done.corrupt);
    CHECK(refused(done, (dir / "cut.tar.gz").string()));
    CHECK(done.entries > 5);
    for (auto const& [path, line] : look_at(dir / "target"))
        if (fs::is_regular_file(dir / "target" / path))
            CHECK(get(dir / "target" / path) == get(dir / "source" / path));
    CHECK(thrown([&] { extract({dir / "missing"}, dir / "target"); }) ==
          std::errc::no_such_file_or_directory);
}
