#include "fixture.hpp"

#include "backup/archive.hpp"
#include "backup/compress.hpp"
#include "backup/hash.hpp"
#include "backup/manifest.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

using namespace trawl;
using namespace trawl::test;
using namespace trawl::backup::detail;
namespace fs = std::filesystem;

namespace {

/// A backup put together by hand, as somebody would who can write into the folder of the archives.
class forgery {
public:
    forgery() {
        state_.name = "evil";
        state_.root = "/evil";
        chain_link self;
        self.archive = "evil_full_20261123.tar.gz";
        self.manifest = "evil_full_20261123.manifest.json";
        state_.chain.push_back(self);
        entry top;
        top.type = file_type::folder;
        top.mode = 0755;
        state_.entries.push_back(top);
    }
    /// A file in manifest and archive.
    void file(std::string const& path, std::string const& content) {
        state_.entries.push_back(member(path, content));
        state_.entries.back().content = hasher(backup::hash::sha256).of(content);
        state_.entries.back().archive = 0;
    }
    /// A file in the archive only.
    entry member(std::string const& path, std::string const& content) {
        entry e;
        e.path = path;
        e.mode = 0644;
        e.size = content.size();
        tar_.begin(e);
        e.offset = tar_.pending().size();
        tar_.data(content);
        return e;
    }
    void member(entry const& e) { tar_.begin(e); }
    void describe(entry e) { state_.entries.push_back(std::move(e)); }

    /// `block_bytes`: what the manifest says of the one block there is; 0: the truth.
    void write(fs::path const& folder, std::uint64_t block_bytes = 0) {
        tar_.finish();
        block_compressor compressor(codec::gzip, backup::level::standard);
        auto const block = compressor.compress(tar_.pending());
        compressor.count(block);
        auto const bytes = compressor.head() + block.bytes + compressor.tail();
        auto& self = state_.chain.front();
        self.bytes = bytes.size();
        self.block_bytes = block_bytes ? block_bytes : block.plain;
        self.blocks = {static_cast<std::uint32_t>(block.bytes.size())};
        self.archive_hash = hasher(backup::hash::sha256).of(bytes);
        fs::create_directories(folder);
        put(folder / self.archive, bytes);
        put(folder / "evil_manifest.json", serialize(state_));
    }

private:
    tar_writer tar_;
    manifest state_;
};

entry object(std::string path, file_type type, std::string link = {}) {
    entry e;
    e.path = std::move(path);
    e.type = type;
    e.mode = 0755;
    e.link = std::move(link);
    return e;
}

} // namespace

TEST_CASE("what the members of an archive are called and lead to is of no importance", "[backup]") {
    scratch dir;
    put(dir / "victim", "untouched");
    forgery evil;
    evil.member("../victim", "overwritten");
    evil.member("a/../../victim", "overwritten");
    evil.member((dir / "victim").string(), "overwritten");
    auto out = object("out", file_type::symlink, "..");
    evil.member(out);
    evil.member("out/victim", "overwritten");
    entry hard = object("hard", file_type::regular, (dir / "victim").string());
    hard.hard_link = true;
    evil.member(hard);
    evil.file("good", "good");
    evil.write(dir / "backups");
    auto const done = put_back(restoring(dir / "backups", dir / "target"));
    CHECK(done.errors.empty());
    CHECK(get(dir / "victim") == "untouched");
    CHECK(fs::hard_link_count(dir / "victim") == 1);
    CHECK(names(dir / "target") == std::vector<std::string>{"good"});
}

TEST_CASE("a file is not written through a link that lies in the target", "[backup]") {
    scratch dir;
    fs::create_directory(dir / "outside");
    fs::create_directory(dir / "target");
    fs::create_directory_symlink(dir / "outside", dir / "target" / "folder");
    fs::create_symlink(dir / "outside" / "x", dir / "target" / "plain");
    forgery evil;
    evil.describe(object("folder", file_type::folder));
    evil.file("folder/file", "content");
    evil.file("plain", "content");
    evil.write(dir / "backups");
    auto const done = put_back(restoring(dir / "backups", dir / "target"));
    CHECK(names(dir / "outside").empty());
    CHECK(done.errors.size() == 2); // folder, and the file in it
    CHECK_FALSE(done.corrupt);
    CHECK(get(dir / "target" / "plain") == "content"); // the link was replaced, not followed
    CHECK_FALSE(fs::is_symlink(dir / "target" / "plain"));
}

TEST_CASE("content of another hash is refused before there is a file", "[backup]") {
    scratch dir;
    forgery evil;
    evil.file("a", "content");
    auto big = evil.member("big", std::string(5'000'000, '\0'));
    big.content = hasher(backup::hash::sha256).of("tiny");
    big.archive = 0;
    auto cut = big;
    cut.path = "cut";
    cut.size = 4;
    evil.describe(big);
    evil.describe(cut);
    evil.write(dir / "backups");
    auto const done = put_back(restoring(dir / "backups", dir / "target"));
    CHECK(done.corrupt);
    REQUIRE(done.errors.size() == 2);
    CHECK(done.errors[0].path == "big");
    CHECK(done.errors[1].path == "cut");
    CHECK(done.errors[1].message.find("another hash") != std::string::npos);
    CHECK(names(dir / "target") == std::vector<std::string>{"a"});
}

TEST_CASE("a block that inflates to more than the manifest says does not go off", "[backup]") {
    scratch dir;
    forgery bomb;
    bomb.file("before", "content");
    bomb.member("zeros", std::string(900'000, '\0'));
    bomb.write(dir / "backups", 4096);
    auto const done = put_back(restoring(dir / "backups", dir / "target"));
    CHECK(done.corrupt);
    REQUIRE(done.errors.size() == 1);
    CHECK(done.errors[0].path == "before");
    CHECK(done.errors[0].message.find("cannot be inflated") != std::string::npos);
    CHECK(names(dir / "target").empty());
}

TEST_CASE("of two members of one name the one that the manifest points at counts", "[backup]") {
    scratch dir;
    forgery twice;
    twice.member("file", "tryed");
    twice.file("file", "final");
    twice.member("file", "after");
    twice.write(dir / "backups");
    auto const done = put_back(restoring(dir / "backups", dir / "target"));
    CHECK(done.errors.empty());
    CHECK(get(dir / "target" / "file") == "final");
}

TEST_CASE("every damaged file is named, no wrong byte is restored, the others come back",
          "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 40);
    put(dir / "source" / "zz last", std::string(100'000, 'z'));
    auto const expected = look_at(dir / "source");
    auto const made = back_up(from_to(dir / "source", dir / "backups"));
    auto const archive = get(made.file);
    int named = 0;
    for (unsigned i = 0; i < 60; ++i) {
        auto damaged = archive;
        if (i % 3 == 2)
            damaged.resize(archive.size() * i / 60);
        else
            damaged[archive.size() * i / 60] ^= static_cast<char>(1 << (i % 8));
        put(made.file, damaged);
        auto const done = put_back(restoring(dir / "backups", dir / "out"));
        auto const found = look_at(dir / "out");
        std::size_t missing = 0;
        for (auto const& [path, line] : expected) {
            auto const at = found.find(path);
            if (at == found.end()) {
                ++missing;
                auto const is_named = [&, p = path](backup::problem const& e) {
                    return e.path == p;
                };
                CHECK(std::any_of(done.errors.begin(), done.errors.end(), is_named));
            } else if (path.find('/') != std::string::npos)
                CHECK(at->second == line);
        }
        CHECK(found.size() + missing == expected.size()); // nothing else, no temporary file
        CHECK(done.corrupt == (missing > 0));
        named += missing > 0;
        fs::remove_all(dir / "out");
    }
    CHECK(named > 30); // a flip in the header's time or in metadata harms no content
}

TEST_CASE("an archive that is missing from the chain is named before anything is touched",
          "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 10);
    auto const o = from_to(dir / "source", dir / "backups");
    auto const full = back_up(o);
    put(dir / "source" / "new", "new");
    back_up(o);
    fs::remove(full.file);
    std::string what;
    try {
        put_back(restoring(dir / "backups", dir / "out"));
    } catch (error const& failure) {
        CHECK(failure.code() == backup::errc::no_such_archive);
        what = failure.what();
    }
    CHECK(what.find(full.file.filename().string()) != std::string::npos);
    CHECK_FALSE(fs::exists(dir / "out"));
    // What does not need it can still be had.
    auto some = restoring(dir / "backups", dir / "out");
    some.paths = {"new"};
    CHECK(put_back(some).errors.empty());
    CHECK(get(dir / "out" / "new") == "new");
}

TEST_CASE("a folder that exists is filled and what the backup does not know stays", "[backup]") {
    scratch dir;
    make_hard_tree(dir / "source");
    back_up(from_to(dir / "source", dir / "backups"));
    auto expected = look_at(dir / "source");
    fs::create_directories(dir / "out" / "folder1");
    put(dir / "out" / "folder1" / "file1", "older");
    put(dir / "out" / "folder1" / "mine", "mine");
    fs::create_symlink("elsewhere", dir / "out" / "large");
    ::chmod((dir / "out" / "folder1").c_str(), 0500);
    auto const done = put_back(restoring(dir / "backups", dir / "out"));
    CHECK(done.errors.empty());
    CHECK(get(dir / "out" / "folder1" / "mine") == "mine");
    fs::remove(dir / "out" / "folder1" / "mine");
    fs::last_write_time(dir / "out" / "folder1", fs::last_write_time(dir / "source" / "folder1"));
    CHECK(difference(expected, look_at(dir / "out")) == "");
    put_back(restoring(dir / "backups", dir / "out")); // once more over itself
    CHECK(difference(expected, look_at(dir / "out")) == "");
}

TEST_CASE("paths select files, folders and links with their content", "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_hard_tree(source);
    back_up(from_to(source, dir / "backups"));
    auto some = restoring(dir / "backups", dir / "out");
    some.paths = {"./folder1/", "a", (source / "tab\tand \x1b escape").string(), "not there"};
    auto const done = put_back(some);
    REQUIRE(done.errors.size() == 1);
    CHECK(done.errors.front().path == "not there");
    CHECK(names(dir / "out") == std::vector<std::string>{"a", "folder1", "tab\tand \x1b escape"});
    CHECK(names(dir / "out" / "folder1") == names(source / "folder1"));
    // The first path of this file was not asked for; its content came all the same.
    CHECK(get(dir / "out" / "a" / "link to large") == get(source / "large"));
    auto links = restoring(dir / "backups", dir / "links");
    links.paths = {"a/link to large", "zz link to large"};
    CHECK(put_back(links).errors.empty());
    CHECK(fs::hard_link_count(dir / "links" / "a" / "link to large") == 2);
}

TEST_CASE("a pattern selects what agrees with it, with all beneath", "[backup]") {
    scratch dir;
    make_hard_tree(dir / "source");
    back_up(from_to(dir / "source", dir / "backups"));
    auto some = restoring(dir / "backups", dir / "out");
    some.paths = {"folder[12]/file?", "**/bottom", "zz*"};
    CHECK(put_back(some).errors.empty());
    CHECK(names(dir / "out") ==
          std::vector<std::string>{"deep", "folder1", "folder2", "zz link to large"});
    CHECK(names(dir / "out" / "folder1") == std::vector<std::string>{"file1", "file8"});
    CHECK(get(dir / "out" / "zz link to large") == get(dir / "source" / "large"));
    CHECK(look_at(dir / "out" / "folder2").at("file2") ==
          look_at(dir / "source" / "folder2").at("file2"));
}

TEST_CASE("devices come back as root, and are named to who is not", "[backup]") {
    scratch dir(medium::disk);
    fs::create_directory(dir / "source");
    put(dir / "source" / "of another", "x");
    if (::mknod((dir / "source" / "null").c_str(), S_IFCHR | 0622, makedev(1, 3)) != 0 ||
        ::mknod((dir / "source" / "disk").c_str(), S_IFBLK | 0640, makedev(259, 70'000)) != 0)
        skip("needs the right to make devices");
    REQUIRE(::chown((dir / "source" / "of another").c_str(), 12, 34) == 0);
    ::chmod((dir / "source" / "of another").c_str(), 06755);
    back_up(from_to(dir / "source", dir / "backups"));
    auto const expected = look_at(dir / "source");
    CHECK(put_back(restoring(dir / "backups", dir / "out")).notes.empty());
    CHECK(difference(expected, look_at(dir / "out")) == "");

    ::chmod(dir.path().c_str(), 0777);
    for (auto const& f : fs::directory_iterator(dir / "backups")) ::chmod(f.path().c_str(), 0644);
    auto const child = ::fork();
    if (child == 0) {
        if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(90);
        auto const done = put_back(restoring(dir / "backups", dir / "theirs"));
        int wrong = done.errors.size() != 2 || done.errors[0].path != "disk" ||
                    done.errors[1].path != "null";
        wrong += 2 * (done.notes.size() != 1 || done.corrupt);
        struct stat facts {};
        wrong += 4 * (::stat((dir / "theirs" / "of another").c_str(), &facts) != 0 ||
                      (facts.st_mode & 07777) != 0755); // not setuid for somebody else
        ::_exit(wrong);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
}

TEST_CASE("an ACL comes back, and one that the target hands down does not stay", "[backup]") {
    // struct posix_acl_xattr_header and entries: user::rwx user:7:r-x group::r-- mask::r-x other::---
    auto const acl = [](std::uint16_t group) {
        std::string bytes("\2\0\0\0", 4);
        auto const add = [&](std::uint16_t tag, std::uint16_t rights, std::uint32_t who) {
            bytes.append(reinterpret_cast<char const*>(&tag), 2);
            bytes.append(reinterpret_cast<char const*>(&rights), 2);
            bytes.append(reinterpret_cast<char const*>(&who), 4);
        };
        add(0x01, 7, 0xffffffff), add(0x02, 5, 7), add(0x04, group, 0xffffffff);
        add(0x10, 5, 0xffffffff), add(0x20, 0, 0xffffffff);
        return bytes;
    };
    auto const set = [](fs::path const& file, char const* name, std::string const& value) {
        return ::setxattr(file.c_str(), name, value.data(), value.size(), 0) == 0;
    };
    scratch dir(medium::disk);
    auto const source = dir / "source";
    make_plain_tree(source, 8);
    if (!set(source / "folder1" / "file1", "system.posix_acl_access", acl(4)) ||
        !set(source / "folder2", "system.posix_acl_default", acl(4)))
        skip("needs a file system with ACLs");
    auto const expected = look_at(source);
    REQUIRE(expected.at("folder1/file1").find("posix_acl_access") != std::string::npos);
    back_up(from_to(source, dir / "backups"));
    fs::create_directory(dir / "out");
    REQUIRE(set(dir / "out", "system.posix_acl_default", acl(5)));
    CHECK(put_back(restoring(dir / "backups", dir / "out")).errors.empty());
    auto found = look_at(dir / "out");
    found[""] = expected.at(""); // was there before and keeps its own
    CHECK(difference(expected, found) == "");
}

TEST_CASE("what a restore that was killed has left is removed by the next one", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 8);
    auto const expected = look_at(dir / "source");
    back_up(from_to(dir / "source", dir / "backups"));
    auto const child = ::fork();
    if (child == 0) ::_exit(0);
    ::waitpid(child, nullptr, 0); // a number that nobody has now
    auto const left = ".trawl-restore." + std::to_string(child) + ".7.partial";
    auto const in_use = ".trawl-restore." + std::to_string(::getppid()) + ".7.partial";
    fs::create_directories(dir / "out" / "folder3");
    for (auto const& name : {left, in_use}) {
        put(dir / "out" / name, "half");
        put(dir / "out" / "folder3" / name, "half");
    }
    CHECK(put_back(restoring(dir / "backups", dir / "out")).errors.empty());
    CHECK(fs::remove(dir / "out" / in_use));
    CHECK(fs::remove(dir / "out" / "folder3" / in_use));
    auto found = look_at(dir / "out");
    found[""] = expected.at(""), found["folder3"] = expected.at("folder3"); // their times
    CHECK(difference(expected, found) == "");
}

TEST_CASE("any number of threads restores the same", "[backup]") {
    scratch dir;
    make_hard_tree(dir / "source");
    for (int i = 0; i < 5; ++i)
        put(dir / "source" / ("large" + std::to_string(i)), noise(7'000'000, 3));
    back_up(from_to(dir / "source", dir / "backups"));
    auto const expected = look_at(dir / "source");
    for (std::size_t threads : {1, 2, 5}) {
        auto const out = dir / ("out" + std::to_string(threads));
        auto const done = put_back(restoring(dir / "backups", out), threads);
        CHECK(done.errors.empty());
        CHECK(done.entries == expected.size());
        CHECK(difference(expected, look_at(out)) == "");
    }
}

TEST_CASE("the name may be left out when there is only one", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 3);
    CHECK(thrown([&] { put_back(restoring(dir / "nothing", dir / "out")); }) ==
          backup::errc::no_such_archive);
    fs::create_directory(dir / "backups");
    CHECK(thrown([&] { put_back(restoring(dir / "backups", dir / "out")); }) ==
          backup::errc::no_such_archive);
    auto o = from_to(dir / "source", dir / "backups");
    o.name = "one";
    back_up(o);
    CHECK(put_back(restoring(dir / "backups", dir / "out")).errors.empty());
    o.name = "one_full"; // its files begin like those of "one"
    back_up(o);
    CHECK(thrown([&] { put_back(restoring(dir / "backups", dir / "out")); }) ==
          backup::errc::bad_name);
    auto by_name = restoring(dir / "backups", dir / "out");
    by_name.name = "one";
    CHECK(put_back(by_name).manifest.filename() == "one_manifest.json");
    by_name.name = "two";
    CHECK(thrown([&] { put_back(by_name); }) == backup::errc::no_such_archive);
}

TEST_CASE("a cancelled restore leaves whole files only", "[backup]") {
    using namespace std::chrono_literals;
    scratch dir;
    make_plain_tree(dir / "source", 200);
    put(dir / "source" / "large", noise(20'000'000));
    back_up(from_to(dir / "source", dir / "backups"));
    auto const expected = look_at(dir / "source");
    offload_pool pool(offload_pool::options{2, "test", nullptr});
    for (auto limit : {1ms, 5ms, 10ms, 20ms, 40ms}) {
        auto const body = [&]() -> awaitable<> {
            auto o = restoring(dir / "backups", dir / "out");
            try {
                co_await with_timeout(limit, backup::restore(pool, o), "test");
            } catch (error const& failure) {
                CHECK(failure.code() == errc::timed_out);
            }
        };
        run(body);
        if (!fs::exists(dir / "out")) continue;
        for (auto const& [path, line] : look_at(dir / "out")) {
            REQUIRE(expected.count(path)); // no temporary name
            if (fs::is_regular_file(dir / "out" / path)) CHECK(line == expected.at(path));
        }
    }
}
