#include "fixture.hpp"

#include "backup/archive.hpp"
#include "backup/compress.hpp"
#include "backup/hash.hpp"
#include "backup/manifest.hpp"

#include <sys/stat.h>
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

    void write(fs::path const& folder) {
        tar_.finish();
        block_compressor compressor(codec::gzip, backup::level::standard);
        auto const block = compressor.compress(tar_.pending());
        compressor.count(block);
        auto const bytes = compressor.head() + block.bytes + compressor.tail();
        auto& self = state_.chain.front();
        self.bytes = bytes.size();
        self.block_bytes = block.plain;
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

TEST_CASE("members that lead out of the target are refused and named", "[backup]") {
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
    CHECK(done.corrupt);
    CHECK(get(dir / "victim") == "untouched");
    CHECK(fs::hard_link_count(dir / "victim") == 1);
    CHECK(names(dir / "target") == std::vector<std::string>{"good"});
    std::vector<std::string> named;
    for (auto const& p : done.errors) named.push_back(p.path);
    CHECK(named ==
          std::vector<std::string>{"../victim", "a/../../victim", (dir / "victim").string()});
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

TEST_CASE("a member of another size or kind is refused before anything is written", "[backup]") {
    scratch dir;
    forgery evil;
    evil.file("a", "content");
    auto big = object("big", file_type::regular);
    big.content = hasher(backup::hash::sha256).of("tiny");
    big.size = 4;
    big.archive = 0;
    evil.member("big", std::string(5'000'000, '\0'));
    evil.describe(big);
    auto kind = big;
    kind.path = "kind";
    evil.member(object("kind", file_type::fifo));
    evil.describe(kind);
    evil.write(dir / "backups");
    auto const done = put_back(restoring(dir / "backups", dir / "target"));
    CHECK(done.corrupt);
    CHECK(done.errors.size() == 2);
    CHECK(names(dir / "target") == std::vector<std::string>{"a"});
}

TEST_CASE("of two members of one name the one with the right hash counts", "[backup]") {
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
