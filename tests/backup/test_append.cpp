#include "backup/manifest.hpp"
#include "backup/tail.hpp"
#include "faulty_reads.hpp"
#include "fixture.hpp"

#include <trawl/backup_store.hpp>

#include <algorithm>
#include <fstream>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

void append(fs::path const& file, std::string_view bytes) {
    std::ofstream(file, std::ios::app | std::ios::binary) << bytes;
}

/// A log of two megabytes and others, and what is stored of it as it grows.
struct growing {
    scratch dir;
    fs::path source = dir / "source", archives = dir / "backups";
    std::vector<backup::report> made;
    std::vector<std::string> states; ///< of the log
    std::shared_ptr<backup::store> store;

    growing() {
        make_plain_tree(source, 10);
        put(source / "log", noise(2'000'000));
    }
    backup::report const& run(backup::kind what = backup::kind::automatic) {
        auto o = from_to(source, archives);
        o.what = what;
        o.store = store;
        o.append_delta = true;
        auto const day = static_cast<int>(made.size());
        o.now = [day] { return noon(2026, 11, 24) + std::chrono::minutes(day); };
        states.push_back(fs::exists(source / "log") ? get(source / "log") : std::string());
        return made.emplace_back(back_up(o));
    }
    /// A full and `n` increments, with 10,000 bytes more in each.
    void grow(unsigned n) {
        run();
        for (unsigned i = 0; i < n; ++i) {
            append(source / "log", noise(10'000, 100 + i));
            run();
        }
    }
    backup::detail::entry entry_of(std::string const& path) const {
        std::string complaint;
        auto const state =
            backup::detail::parse_manifest(get(archives / "source_manifest.json"), complaint);
        REQUIRE(state);
        REQUIRE(state->find(path));
        return *state->find(path);
    }
    void check_restores() {
        auto back = restoring(archives, dir / "out");
        back.store = store;
        fs::remove_all(dir / "out");
        CHECK(put_back(back).errors.empty());
        CHECK(difference(look_at(source), look_at(dir / "out")) == "");
    }
};

std::string written_out(fs::path const& archives, std::string const& path,
                        std::optional<std::chrono::system_clock::time_point> at = {}) {
    backup::cat_options o;
    o.archives = archives;
    o.path = path;
    o.at = at;
    offload_pool pool(offload_pool::options{1, "test", nullptr});
    std::string content;
    auto take = [&](std::string_view bytes) { content += bytes; };
    auto body = [&]() -> awaitable<> { co_await backup::cat(pool, o, take); };
    run(body);
    return content;
}

void untar(fs::path const& archive, fs::path const& into) {
    fs::create_directories(into);
    REQUIRE(command({"tar", "-xpf", archive.string(), "-C", into.string()}) == 0);
}

void flip_in_the_middle(fs::path const& file) {
    auto bytes = get(file);
    bytes[bytes.size() / 2] ^= 1;
    put(file, bytes);
}

} // namespace

TEST_CASE("of a file that grew only the tail is stored, and every state of it comes back",
          "[backup]") {
    growing g;
    g.grow(3);
    for (std::size_t i = 1; i < g.made.size(); ++i) {
        CHECK(g.made[i].appended == 1);
        CHECK(g.made[i].changed == 1);
        CHECK(g.made[i].bytes_in == 10'000);
        CHECK(g.made[i].bytes_out < 12'000);
    }
    auto const log = g.entry_of("log");
    CHECK(log.parts.size() == 4);
    CHECK(log.size == 2'030'000);
    g.check_restores();
    for (std::size_t i = 0; i < g.made.size(); ++i) {
        auto const at = noon(2026, 11, 24) + std::chrono::minutes(i);
        CHECK(written_out(g.archives, "log", at) == g.states[i]);
        auto back = restoring(g.archives, g.dir / ("state" + std::to_string(i)));
        back.at = at;
        back.paths = {"l*g"};
        CHECK(put_back(back).errors.empty());
        CHECK(get(g.dir / ("state" + std::to_string(i)) / "log") == g.states[i]);
    }
    auto const seen = verify(g.archives);
    CHECK(seen.errors.empty());
    CHECK(seen.files == 14);
    // What did not change keeps its parts; other metadata alone store nothing.
    fs::permissions(g.source / "log", fs::perms::owner_read);
    CHECK(g.run().bytes_in == 0);
    CHECK(g.entry_of("log").parts.size() == 4);
    g.check_restores();
}

TEST_CASE("a file that grew and has another beginning is stored whole", "[backup]") {
    growing g;
    g.run();
    auto bytes = g.states[0] + "more";
    for (std::size_t const at : {std::size_t(0), g.states[0].size() - 1}) {
        bytes[at] ^= 1;
        std::fstream(g.source / "log", std::ios::in | std::ios::out | std::ios::binary) << bytes;
        CHECK(g.run().appended == 0);
        CHECK(g.made.back().bytes_in == bytes.size());
        CHECK(g.entry_of("log").parts.empty());
        g.check_restores();
        bytes += "more";
    }
    // Another file of that name is not the one that grew.
    fs::rename(g.source / "log", g.source / "log.1");
    put(g.source / "log", bytes + "other inode");
    CHECK(g.run().appended == 0);
    g.check_restores();
    // And without the option nothing is.
    append(g.source / "log", "x");
    auto o = from_to(g.source, g.archives);
    CHECK(back_up(o).appended == 0);
    g.check_restores();
}

TEST_CASE("a file in sixty-four parts is stored whole when it grows again", "[backup]") {
    growing g;
    put(g.source / "log", noise(70'000));
    g.run();
    for (std::size_t i = 2; i <= backup::detail::most_parts; ++i) {
        append(g.source / "log", "line\n");
        g.run();
        if (g.entry_of("log").parts.size() != i) FAIL("part " << i);
    }
    g.check_restores();
    append(g.source / "log", "line\n");
    CHECK(g.run().appended == 0);
    CHECK(g.entry_of("log").parts.empty());
    append(g.source / "log", "line\n");
    CHECK(g.run().appended == 1);
    g.check_restores();
}

TEST_CASE("tar puts a tail beside its file, which is put together by the lines of the manual",
          "[backup]") {
    growing g;
    g.grow(2);
    auto const out = g.dir / "by tar";
    untar(g.made[0].file, out);
    untar(g.made[1].file, out);
    CHECK(get(out / "log") == g.states[0]); // as it was, and what is missing says so
    CHECK(get(out / "log.trawl-tail@2000000") == g.states[1].substr(2'000'000));
    auto const by_hand = [&] {
        std::string const lines =
            "find . -type f -name '*.trawl-tail@*' -print0 | sort -zV |\n"
            "while IFS= read -r -d '' t; do\n"
            "    f=${t%.trawl-tail@*}\n"
            "    dd if=\"$t\" of=\"$f\" oflag=seek_bytes seek=\"${t##*@}\" bs=1M &&\n"
            "    cp --attributes-only --preserve=mode,ownership,timestamps \"$t\" \"$f\" && rm "
            "\"$t\"\n"
            "done\n";
        REQUIRE(command({"bash", "-ec", "cd \"$0\"\n" + lines, out.string()}) == 0);
    };
    by_hand();
    CHECK(get(out / "log") == g.states[1]);
    untar(g.made[2].file, out);
    by_hand();
    for (auto const* path : {"log", "folder1/file1"})
        CHECK(look_at(out).at(path) == look_at(g.source).at(path));
}

TEST_CASE("archives alone are extracted with the tails in their places", "[backup]") {
    growing g;
    put(g.source / "log.trawl-tail@5", "a file that only has such a name");
    g.grow(2);
    auto const all = extract({g.made[0].file, g.made[1].file, g.made[2].file}, g.dir / "all");
    CHECK(all.errors.empty());
    CHECK(difference(look_at(g.source), look_at(g.dir / "all")) == "");
    auto const some = extract({g.made[0].file, g.made[2].file}, g.dir / "some");
    REQUIRE(some.errors.size() == 1);
    CHECK(some.errors[0].path == "log.trawl-tail@2010000");
    CHECK(get(g.dir / "some" / "log") == g.states[0]);
    CHECK(get(g.dir / "some" / "log.trawl-tail@2010000") == g.states[2].substr(2'010'000));
}

TEST_CASE("a damaged part is named with its archive, and costs the states that have it and no "
          "other file",
          "[backup]") {
    for (std::size_t const damaged : {std::size_t(0), std::size_t(1)}) {
        INFO("archive " << damaged);
        growing g;
        g.grow(3);
        auto const& archive = g.made[damaged].file;
        flip_in_the_middle(archive);
        auto const seen = verify(g.archives);
        auto const log = std::find_if(seen.damaged.begin(), seen.damaged.end(),
                                      [](auto const& d) { return d.path == "log"; });
        REQUIRE(log != seen.damaged.end());
        CHECK(log->archive == archive.filename());
        CHECK(log->manifests.size() == g.made.size() - damaged);
        auto const done = put_back(restoring(g.archives, g.dir / "out"));
        CHECK(done.corrupt);
        auto expected = look_at(g.source);
        for (auto const& d : seen.damaged) expected.erase(d.path);
        CHECK(done.errors.size() == seen.damaged.size());
        for (auto const& p : done.errors) CHECK(p.message.starts_with(archive.filename().string()));
        CHECK(difference(expected, look_at(g.dir / "out")) == "");
        CHECK(thrown([&] { written_out(g.archives, "log"); }) == backup::errc::corrupt);
        CHECK(written_out(g.archives, "folder1/file1") == get(g.source / "folder1" / "file1"));
    }
}

TEST_CASE("a part whose manifest is lost is verified by the next one", "[backup]") {
    growing g;
    g.grow(3);
    fs::remove(g.made[1].manifest);
    flip_in_the_middle(g.made[1].file);
    auto const seen = verify(g.archives);
    REQUIRE(seen.damaged.size() == 1);
    CHECK(seen.damaged[0].path == "log");
    CHECK(seen.damaged[0].archive == g.made[1].file.filename());
    CHECK(seen.damaged[0].manifests.size() == 2);
}

TEST_CASE("an archive with a part that is missing is said so before anything is made", "[backup]") {
    growing g;
    g.grow(2);
    fs::remove(g.made[1].file);
    CHECK(thrown([&] { put_back(restoring(g.archives, g.dir / "out")); }) ==
          backup::errc::no_such_archive);
    CHECK_FALSE(fs::exists(g.dir / "out"));
    CHECK(thrown([&] { written_out(g.archives, "log"); }) == backup::errc::no_such_archive);
}

TEST_CASE("prune keeps what the parts of a kept state are in", "[backup]") {
    growing g;
    g.grow(3);
    backup::prune_options o;
    o.archives = g.archives;
    o.rules.keep_last = 1;
    offload_pool pool(offload_pool::options{1, "test", nullptr});
    auto body = [&]() -> awaitable<> { co_await backup::prune(pool, o); };
    run(body);
    CHECK(verify(g.archives).errors.empty());
    g.check_restores();
}

TEST_CASE("what grew is renamed with its parts, grows under another base, and is listed with them",
          "[backup]") {
    growing g;
    g.grow(2);
    fs::rename(g.source / "log", g.source / "log.1");
    CHECK(g.run().renamed == 1);
    CHECK(g.entry_of("log.1").parts.size() == 3);
    g.check_restores();
    backup::entries_options which;
    which.archives = g.archives;
    which.paths = {"log.1"};
    offload_pool pool(offload_pool::options{1, "test", nullptr});
    std::vector<std::string> parts;
    auto each = [&](backup::entry_info const& e) { parts = e.parts; };
    auto body = [&]() -> awaitable<> { co_await backup::entries(pool, which, each); };
    run(body);
    CHECK(parts == std::vector<std::string>{g.made[0].file.filename(), g.made[1].file.filename(),
                                            g.made[2].file.filename()});
    growing d;
    d.run();
    for (int i = 0; i < 2; ++i) {
        append(d.source / "log", noise(5000));
        CHECK(d.run(backup::kind::differential).bytes_in == 5000u * static_cast<unsigned>(i + 1));
        CHECK(d.entry_of("log").parts.size() == 2);
        d.check_restores();
    }
}

TEST_CASE("a hard link to what grew leads to all of it", "[backup]") {
    growing g;
    fs::create_hard_link(g.source / "log", g.source / "zz link");
    g.grow(2);
    CHECK(g.made[2].appended == 1);
    g.check_restores();
    CHECK(written_out(g.archives, "zz link") == g.states[2]);
}

TEST_CASE("encrypted parts are put together", "[backup]") {
    growing g;
    std::array<unsigned char, 32> key{};
    g.store = backup::encrypted_store(backup::local_store(g.archives), backup::store_key(key));
    g.grow(2);
    CHECK(g.made[2].bytes_in == 10'000);
    g.check_restores();
}

TEST_CASE("a tail that a file has the name of, or that no file can have, is not made", "[backup]") {
    growing g;
    std::string const longest(255, 'n');
    put(g.source / longest, noise(100'000));
    put(g.source / "log.trawl-tail@2000000", "mine");
    g.run();
    append(g.source / "log", "more");
    append(g.source / longest, "more");
    CHECK(g.run().appended == 0);
    CHECK(g.made.back().changed == 2);
    g.check_restores();
}

TEST_CASE("a tail that cannot be read leaves the state before; one that shrinks is stored as read",
          "[backup]") {
    growing g;
    g.run();
    append(g.source / "log", noise(3'000'000, 7));
    {
        faulty_file const rotten(g.source / "log", 4'000'000);
        CHECK(g.run().errors.size() == 1);
    }
    CHECK(g.entry_of("log").size == 2'000'000);
    CHECK(put_back(restoring(g.archives, g.dir / "old")).errors.empty());
    CHECK(get(g.dir / "old" / "log") == g.states[0]);
    {
        faulty_file const shrinks(g.source / "log", 4'000'000, faulty_file::ends);
        CHECK(g.run().notes.size() == 1);
    }
    CHECK(verify(g.archives).errors.empty());
    CHECK(put_back(restoring(g.archives, g.dir / "new")).errors.empty());
    CHECK(get(g.dir / "new" / "log") == g.states[1].substr(0, 4'000'000));
    {
        faulty_file const rotten(g.source / "log", 1'000'000); // in what is only compared
        append(g.source / "log", "x");
        CHECK(g.run().errors.size() == 1);
    }
    CHECK(put_back(restoring(g.archives, g.dir / "kept")).errors.empty());
    CHECK(get(g.dir / "kept" / "log") == g.states[1].substr(0, 4'000'000));
    CHECK(g.run().errors.empty());
    g.check_restores();
}

TEST_CASE("the name of a tail is told from others", "[backup]") {
    using backup::detail::tail_name;
    auto const parsed = tail_name::parse("a/b.trawl-tail@17");
    REQUIRE(parsed);
    CHECK(parsed->path == "a/b");
    CHECK(parsed->offset == 17);
    CHECK(parsed->text() == "a/b.trawl-tail@17");
    for (auto const* other : {"", "a", "a.trawl-tail@", "a.trawl-tail@x", "a.trawl-tail@1x",
                              "a.trawl-tail@01", "a.trawl-tail@-1", ".trawl-tail@1",
                              "a/.trawl-tail@1", "a.trawl-tail@99999999999999999999"})
        CHECK_FALSE(tail_name::parse(other));
}
