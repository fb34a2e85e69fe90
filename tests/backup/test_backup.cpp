#include "fixture.hpp"

#include "backup/manifest.hpp"

#include <trawl/mutex.hpp>

#include <atomic>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

backup::detail::manifest manifest_of(fs::path const& file) {
    std::string complaint;
    auto state = backup::detail::parse_manifest(get(file), complaint);
    INFO(complaint);
    REQUIRE(state);
    return std::move(*state);
}

/// What an increment stored, by its own account.
std::vector<std::string> stored_in_last(backup::detail::manifest const& state) {
    std::vector<std::string> paths;
    for (auto const& e : state.entries)
        if (e.archive + 1 == state.chain.size()) paths.push_back(e.path);
    return paths;
}

void check_restores(fs::path const& archives, facts const& expected) {
    scratch out;
    auto const done = put_back(restoring(archives, out / "restored"));
    CHECK(done.errors.empty());
    CHECK(difference(expected, look_at(out / "restored")) == "");
}

} // namespace

TEST_CASE("a hard tree comes back exactly", "[backup]") {
    scratch dir(medium::disk);
    make_hard_tree(dir / "source");
    auto const before = look_at(dir / "source");
    for (bool zstd : {false, true})
        for (auto hash : {backup::hash::sha256, backup::hash::md5}) {
            auto o = from_to(dir / "source", dir / "backups");
            o.name = std::string(zstd ? "zstd" : "gzip") + (hash == backup::hash::md5 ? "5" : "2");
            o.zstd = zstd;
            o.hash = hash;
            auto const made = back_up(o);
            CHECK(made.made == backup::kind::full);
            CHECK(made.errors.empty());
            CHECK(made.notes.empty());
            CHECK(made.added == before.size());
            CHECK(made.entries == before.size() - 1); // a socket is in the manifest only
            CHECK(made.bytes_out == fs::file_size(made.file));
            CHECK(made.file.filename() ==
                  o.name + "_full_20261124" + (zstd ? ".tar.zst" : ".tar.gz"));
            auto back = restoring(dir / "backups", dir / ("out " + o.name));
            back.name = o.name;
            auto const done = put_back(back);
            CHECK(done.errors.empty());
            CHECK(done.entries == before.size());
            CHECK(difference(before, look_at(back.target)) == "");
        }
    CHECK(difference(before, look_at(dir / "source")) == ""); // and the source was left alone
}

TEST_CASE("GNU tar, gzip and Python read the archive", "[backup]") {
    scratch dir(medium::disk);
    make_hard_tree(dir / "source");
    auto const made = back_up(from_to(dir / "source", dir / "backups"));
    auto const file = made.file.string();
    CHECK(command({"gzip", "-t", file}) == 0);
    CHECK(command({"tar", "-tzf", file}) == 0);
    fs::create_directory(dir / "out");
    REQUIRE(command({"tar", "-xzpf", file, "--xattrs", "--numeric-owner", "-C",
                     (dir / "out").string()}) == 0);
    auto expected = look_at(dir / "source");
    expected.erase("socket");
    CHECK(difference(expected, look_at(dir / "out")) == "");

    put(dir / "list.py", "import sys, os, tarfile\n"
                         "names = []\n"
                         "with tarfile.open(sys.argv[1], 'r|gz') as t:\n"
                         "    for m in t:\n"
                         "        if m.isreg(): t.extractfile(m).read()\n"
                         "        names.append(os.fsencode(m.name))\n"
                         "open(sys.argv[2], 'wb').write(b'\\0'.join(names))\n");
    REQUIRE(command({"python3", (dir / "list.py").string(), file, (dir / "names").string()}) == 0);
    std::string names;
    for (auto const& e : manifest_of(made.manifest).entries)
        if (e.type != backup::detail::file_type::socket)
            names += (names.empty() ? "" : std::string(1, '\0')) + (e.path.empty() ? "." : e.path);
    CHECK(get(dir / "names") == names);
}

TEST_CASE("the archive's bytes do not depend on the number of threads", "[backup]") {
    scratch dir;
    make_hard_tree(dir / "source");
    put(dir / "source" / "several blocks", noise(9'000'000));
    for (bool zstd : {false, true}) {
        std::vector<std::string> archives;
        for (std::size_t threads : {1, 2, 4, 1}) {
            auto o = from_to(dir / "source", dir / ("backups" + std::to_string(archives.size())));
            o.zstd = zstd;
            o.what = backup::kind::full;
            archives.push_back(get(back_up(o, threads).file));
        }
        for (auto const& other : archives) CHECK(other == archives.front());
    }
}

TEST_CASE("an increment holds what changed and restores to the present, the full to the past",
          "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_hard_tree(source);
    put(source / "lies about time", "before");
    set_mtime(source / "lies about time", 1'500'000'000'000'000'000);
    auto const past = look_at(source);
    auto o = from_to(source, dir / "backups");
    o.now = [] { return noon(2026, 11, 23); };
    back_up(o);

    put(source / "folder0" / "file0", "changed");
    put(source / "new", "new");
    put(source / "lies about time", "after!");
    set_mtime(source / "lies about time", 1'500'000'000'000'000'000);
    fs::remove(source / "folder1" / "file1");
    fs::remove_all(source / "folder5");
    fs::rename(source / "folder6", source / "folder7");
    fs::rename(source / "a", source / "b");
    ::chmod((source / "folder3" / "file3").c_str(), 0600);
    set_mtime(source / "folder4" / "file11", 5);
    fs::remove(source / "link");
    fs::create_directory(source / "link");
    put(source / "link" / "in it", "x");
    fs::remove(source / "empty folder");
    put(source / "empty folder", "a file now");
    auto const present = look_at(source);
    o.now = [] { return noon(2026, 11, 24); };
    auto const made = back_up(o);
    CHECK(made.made == backup::kind::incremental);
    CHECK(made.file.filename() == "source_incr_20261124.tar.gz");
    CHECK(made.errors.empty());
    check_restores(dir / "backups", present);

    auto const state = manifest_of(made.manifest);
    auto const stored = stored_in_last(state);
    auto const has = [&](std::string const& path) {
        return std::find(stored.begin(), stored.end(), path) != stored.end();
    };
    CHECK(has("folder0/file0"));
    CHECK(has("new"));
    CHECK(has("lies about time"));
    CHECK(has("link/in it"));
    CHECK_FALSE(has("folder3/file3"));  // metadata alone
    CHECK_FALSE(has("folder4/file11")); // touched
    CHECK_FALSE(has("large"));
    CHECK(std::find(state.deleted.begin(), state.deleted.end(), "folder1/file1") !=
          state.deleted.end());
    CHECK(made.deleted == state.deleted.size());

    auto back = restoring(dir / "backups", dir / "old");
    back.at = noon(2026, 11, 23) + 1h;
    CHECK(put_back(back).errors.empty());
    CHECK(difference(past, look_at(dir / "old")) == "");
    back.at = noon(2026, 11, 22);
    CHECK(thrown([&] { put_back(back); }) == backup::errc::no_such_archive);
}

TEST_CASE("nothing changed: an increment without members", "[backup]") {
    scratch dir;
    make_hard_tree(dir / "source");
    auto const o = from_to(dir / "source", dir / "backups");
    back_up(o);
    auto const made = back_up(o);
    CHECK(made.made == backup::kind::incremental);
    CHECK(made.entries == 0);
    CHECK(made.unchanged == look_at(dir / "source").size());
    CHECK(command({"tar", "-tzf", made.file.string()}) == 0);
    check_restores(dir / "backups", look_at(dir / "source"));
}

TEST_CASE("thirty increments in a row, each restores", "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_plain_tree(source, 40);
    std::vector<facts> states;
    auto o = from_to(source, dir / "backups");
    o.full_on = std::chrono::Sunday;
    auto const first = noon(2026, 11, 23);
    for (int i = 0; i < 30; ++i) {
        auto const in = source / ("folder" + std::to_string(i % 7));
        put(in / ("file" + std::to_string(i)),
            noise(static_cast<std::size_t>(100 * i), static_cast<unsigned>(i)));
        if (i % 3 == 0) put(in / ("extra" + std::to_string(i)), "extra");
        if (i % 5 == 4)
            fs::remove(source / ("folder" + std::to_string((i - 1) % 7)) /
                       ("file" + std::to_string(i - 1)));
        o.now = [=] { return first + i * 1h; };
        CHECK(back_up(o).errors.empty());
        states.push_back(look_at(source));
    }
    for (std::size_t i = 0; i < states.size(); i += 4) {
        auto back = restoring(dir / "backups", dir / ("out" + std::to_string(i)));
        back.at = first + i * 1h;
        CHECK(put_back(back).errors.empty());
        CHECK(difference(states[i], look_at(back.target)) == "");
    }
}

TEST_CASE("names have the date, the second run of a day the time, and nothing is overwritten",
          "[backup]") {
    scratch dir;
    make_plain_tree(dir / "etc", 3);
    auto o = from_to(dir / "etc/", dir / "backups"); // a trailing slash is no component
    o.now = [] { return noon(2026, 11, 23); };
    o.what = backup::kind::full;
    CHECK(back_up(o).file == dir / "backups" / "etc_full_20261123.tar.gz");
    CHECK(back_up(o).file == dir / "backups" / "etc_full_20261123_120000.tar.gz");
    CHECK(back_up(o).file == dir / "backups" / "etc_full_20261123_120001.tar.gz");
    o.what = backup::kind::incremental;
    CHECK(back_up(o).file == dir / "backups" / "etc_incr_20261123.tar.gz");
    CHECK(back_up(o).file == dir / "backups" / "etc_incr_20261123_120000.tar.gz");
    CHECK(names(dir / "backups") ==
          std::vector<std::string>{
              ".etc.lock", "etc_full_20261123.manifest.json", "etc_full_20261123.tar.gz",
              "etc_full_20261123_120000.manifest.json", "etc_full_20261123_120000.tar.gz",
              "etc_full_20261123_120001.manifest.json", "etc_full_20261123_120001.tar.gz",
              "etc_incr_20261123.manifest.json", "etc_incr_20261123.tar.gz",
              "etc_incr_20261123_120000.manifest.json", "etc_incr_20261123_120000.tar.gz",
              "etc_manifest.json"});
    CHECK(get(dir / "backups" / "etc_manifest.json") ==
          get(dir / "backups" / "etc_incr_20261123_120000.manifest.json"));
    check_restores(dir / "backups", look_at(dir / "etc"));
}

TEST_CASE("full on Mondays, else increments, and a full again after a missed Monday", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 3);
    auto o = from_to(dir / "source", dir / "backups");
    auto const made_on = [&](int day) {
        o.now = [=] { return noon(2026, 11, day); };
        return back_up(o).made;
    };
    CHECK(made_on(12) == backup::kind::full); // a Thursday, but there is no base
    CHECK(made_on(13) == backup::kind::incremental);
    CHECK(made_on(16) == backup::kind::full); // Monday
    CHECK(made_on(17) == backup::kind::incremental);
    CHECK(made_on(22) == backup::kind::incremental);
    CHECK(made_on(24) == backup::kind::full); // Monday the 23rd was missed
    o.what = backup::kind::incremental;
    CHECK(made_on(30) == backup::kind::incremental);
}

TEST_CASE("an increment without a base is refused", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 1);
    auto o = from_to(dir / "source", dir / "backups");
    o.what = backup::kind::incremental;
    CHECK(thrown([&] { back_up(o); }) == backup::errc::no_such_archive);
    CHECK(names(dir / "backups") == std::vector<std::string>{".source.lock"});
}

TEST_CASE("a base that is of no use makes the next run a full and is named", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 3);
    auto const o = from_to(dir / "source", dir / "backups");
    auto const full = back_up(o);
    CHECK(back_up(o).made == backup::kind::incremental);
    SECTION("its archive is gone") { fs::remove(full.file); }
    SECTION("its archive was cut") { fs::resize_file(full.file, fs::file_size(full.file) - 1); }
    SECTION("the manifests are damaged") {
        for (auto const& name : names(dir / "backups"))
            if (name.ends_with("manifest.json")) fs::resize_file(dir / "backups" / name, 300);
    }
    auto const made = back_up(o);
    CHECK(made.made == backup::kind::full);
    REQUIRE(made.notes.size() >= 1);
    check_restores(dir / "backups", look_at(dir / "source"));
}

TEST_CASE("a damaged latest manifest is replaced by the dated one", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 3);
    auto const o = from_to(dir / "source", dir / "backups");
    back_up(o);
    put(dir / "backups" / "source_manifest.json", "{}");
    auto const done = put_back(restoring(dir / "backups", dir / "out"));
    CHECK(done.corrupt); // it is said ...
    CHECK(done.errors.size() == 1);
    CHECK(difference(look_at(dir / "source"), look_at(dir / "out")) ==
          ""); // ... and nothing is missing
    auto const made = back_up(o);
    CHECK(made.made == backup::kind::incremental);
    CHECK(made.notes.size() == 1);
    check_restores(dir / "backups", look_at(dir / "source"));
}

TEST_CASE("another hash or another source makes a full", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 3);
    auto o = from_to(dir / "source", dir / "backups");
    back_up(o);
    o.hash = backup::hash::md5;
    CHECK(back_up(o).made == backup::kind::full);
    make_plain_tree(dir / "elsewhere" / "source", 3);
    o.source = dir / "elsewhere" / "source";
    auto const made = back_up(o);
    CHECK(made.made == backup::kind::full);
    CHECK(made.notes.size() == 1);
}

TEST_CASE("a destination inside the source is left out of it", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 3);
    auto const o = from_to(dir / "source", dir / "source" / "folder0" / "backups");
    auto const made = back_up(o);
    CHECK(made.notes.size() == 1);
    for (auto const& e : manifest_of(made.manifest).entries)
        CHECK(e.path.find("backups") == std::string::npos);
    auto same = from_to(dir / "source", dir / "source");
    CHECK(thrown([&] { back_up(same); }) == backup::errc::bad_source);
}

TEST_CASE("bad names and sources are refused", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 1);
    for (auto const* name : {"a/b", "..", ".hidden", "new\nline"}) {
        auto o = from_to(dir / "source", dir / "backups");
        o.name = name;
        CHECK(thrown([&] { back_up(o); }) == backup::errc::bad_name);
    }
    auto o = from_to("/", dir / "backups");
    CHECK(thrown([&] { back_up(o); }) == backup::errc::bad_name);
    o.source = dir / "source" / "folder0" / "file0";
    CHECK(thrown([&] { back_up(o); }) == backup::errc::bad_source);
    o.source = dir / "missing";
    CHECK(thrown([&] { back_up(o); }) == std::errc::no_such_file_or_directory);
}

TEST_CASE("two runs of one name at once: the second is locked out", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 3);
    auto const o = from_to(dir / "source", dir / "backups");
    back_up(o);
    {
        auto const held = file_lock::try_acquire(dir / "backups" / ".source.lock");
        REQUIRE(held);
        CHECK(thrown([&] { back_up(o); }) == backup::errc::locked);
        auto other = o;
        other.name = "other";
        back_up(other); // another name is free
    }
    CHECK(back_up(o).made == backup::kind::incremental);
}

TEST_CASE("what may not be read is named, kept from before, and the rest is stored", "[backup]") {
    if (::geteuid() != 0) skip("needs root to become somebody who may not read");
    scratch dir;
    auto const source = dir / "source";
    make_plain_tree(source, 20);
    fs::create_directory(dir / "backups");
    ::chmod(dir.path().c_str(), 0755);
    auto const as_nobody = [&](std::string const& result) {
        auto const child = ::fork();
        if (child == 0) {
            int code = 99;
            try {
                if (::setresgid(65534, 65534, 65534) == 0 &&
                    ::setresuid(65534, 65534, 65534) == 0) {
                    auto const made = back_up(from_to(source, dir / "backups"));
                    std::string text;
                    for (auto const& e : made.errors) text += e.path + ": " + e.message + "\n";
                    put(dir / "backups" / result, text);
                    code = 0;
                }
            } catch (...) {
            }
            ::_exit(code);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        return WEXITSTATUS(status);
    };
    ::chmod((dir / "backups").c_str(), 0777);
    ::chmod((source / "folder2" / "file2").c_str(), 0);
    REQUIRE(as_nobody("first") == 0);
    CHECK(get(dir / "backups" / "first") == "folder2/file2: Permission denied\n");
    auto expected = look_at(source);
    expected.erase("folder2/file2");
    {
        scratch out;
        CHECK(put_back(restoring(dir / "backups", out / "r")).errors.empty());
        CHECK(difference(expected, look_at(out / "r")) == "");
    }

    ::chmod((source / "folder2" / "file2").c_str(), 0644);
    REQUIRE(as_nobody("second") == 0);
    CHECK(get(dir / "backups" / "second") == "");
    auto const complete = look_at(source);
    check_restores(dir / "backups", complete);

    // A folder and a file that were stored before and are closed now come back as they were.
    ::chmod((source / "folder3").c_str(), 0);
    ::chmod((source / "folder4" / "file4").c_str(), 0);
    put(source / "folder5" / "file5", "new content");
    REQUIRE(as_nobody("third") == 0);
    CHECK(get(dir / "backups" / "third") ==
          "folder3: Permission denied\nfolder4/file4: Permission denied\n");
    auto mixed = complete;
    auto const now = look_at(source);
    for (auto const* path : {"folder3", "folder5/file5", "folder5"}) mixed[path] = now.at(path);
    check_restores(dir / "backups", mixed);
}

TEST_CASE("the hash of the manifest is the hash of what was archived, whatever a writer does",
          "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_plain_tree(source, 60);
    put(source / "log", noise(3'000'000));
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        for (unsigned i = 0; !stop; ++i) {
            auto const in = source / ("folder" + std::to_string(i % 7));
            auto const file = in / ("file" + std::to_string(i % 60));
            std::error_code ignored;
            switch (i % 5) {
            case 0: put(file, noise(i % 5000, i)); break;
            case 1: fs::remove(file, ignored); break;
            case 2: fs::resize_file(source / "log", 2'000'000 + i % 1'500'000, ignored); break;
            case 3: fs::rename(file, in / ("moved" + std::to_string(i % 60)), ignored); break;
            case 4: {
                int const log = ::open((source / "log").c_str(), O_WRONLY | O_APPEND);
                auto const line = noise(500, i);
                if (::write(log, line.data(), line.size()) < 0) stop = true;
                ::close(log);
            }
            }
        }
    });
    auto o = from_to(source, dir / "backups");
    int failures = 0;
    for (int i = 0; i < 12; ++i) {
        back_up(o);
        auto const done = put_back(restoring(dir / "backups", dir / ("out" + std::to_string(i))));
        failures += static_cast<int>(done.errors.size());
    }
    stop = true;
    writer.join();
    CHECK(failures == 0);
    back_up(o); // and what moved under its feet is caught by the next one
    check_restores(dir / "backups", look_at(source));
}

TEST_CASE("a cancelled run leaves nothing under a final name", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 50);
    put(dir / "source" / "large", noise(30'000'000));
    offload_pool pool(offload_pool::options{2, "test", nullptr});
    int cancelled = 0;
    for (auto limit : {1ms, 5ms, 20ms, 60ms, 100ms}) {
        auto const body = [&]() -> awaitable<> {
            auto o = from_to(dir / "source", dir / "backups");
            try {
                co_await with_timeout(limit, backup::run(pool, o), "test");
            } catch (error const& failure) {
                CHECK(failure.code() == errc::timed_out);
                ++cancelled;
            }
        };
        run(body);
    }
    CHECK(cancelled == 5); // 30 MB take longer than that by far
    CHECK(names(dir / "backups") == std::vector<std::string>{".source.lock"});
    back_up(from_to(dir / "source", dir / "backups"));
    check_restores(dir / "backups", look_at(dir / "source"));
}
