#include "fixture.hpp"

#include <algorithm>
#include <cstdlib>
#include <random>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

bool names(backup::verify_report const& seen, std::string const& what) {
    return std::any_of(seen.errors.begin(), seen.errors.end(),
                       [&](backup::problem const& p) { return p.path == what; });
}

/// A full and two increments.
struct chain {
    scratch dir;
    std::vector<backup::report> made;
    chain() {
        make_plain_tree(dir / "source", 20);
        for (int i = 0; i < 3; ++i) {
            put(dir / "source" / ("new" + std::to_string(i)),
                noise(2000, static_cast<unsigned>(i)));
            made.push_back(back_up(from_to(dir / "source", dir / "backups")));
        }
    }
};

} // namespace

TEST_CASE("a chain that is as it was written verifies", "[backup]") {
    chain c;
    auto const seen = verify(c.dir / "backups");
    CHECK(seen.errors.empty());
    CHECK(seen.manifests == 4); // the copy, too
    CHECK(seen.archives == 3);
    CHECK(seen.files == 23);
    CHECK(seen.bytes == c.made[0].bytes_out + c.made[1].bytes_out + c.made[2].bytes_out);
    CHECK(thrown([&] { verify(c.dir / "source"); }) == backup::errc::no_such_archive);
    CHECK(thrown([&] { verify(c.dir / "missing"); }) == backup::errc::no_such_archive);
}

TEST_CASE("any bit that flips and any cut in an archive or a manifest is named, and what it costs",
          "[backup]") {
    bool const everything = std::getenv("TRAWL_LONG") != nullptr;
    int const flips = everything ? 2000 : 60, cuts = everything ? 200 : 14;
    chain c;
    auto const source = look_at(c.dir / "source");
    std::mt19937 random(3);
    std::vector<fs::path> files;
    for (auto const& f : fs::directory_iterator(c.dir / "backups"))
        if (f.file_size() > 0) files.push_back(f.path());
    std::sort(files.begin(), files.end());
    REQUIRE(files.size() == 7);
    auto const out = c.dir / "out";
    for (int i = 0; i < flips + cuts; ++i) {
        auto const& file = files[static_cast<std::size_t>(i) % files.size()];
        auto const whole = get(file);
        auto damaged = whole;
        auto const bit = random() % (whole.size() * 8);
        if (i >= flips)
            damaged.resize(bit / 8);
        else
            damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
        put(file, damaged);
        auto const seen = verify(c.dir / "backups");
        INFO(file << " bit " << bit << (i < flips ? " flipped" : ": the end"));
        CHECK(names(seen, file.filename().string()));
        if (file.extension() == ".gz") { // what is not named comes back, what is named does not
            auto expected = source;
            std::vector<std::string> named, lost;
            for (auto const& d : seen.damaged) {
                CHECK(d.archive == file.filename());
                bool const in_latest =
                    std::find(d.manifests.begin(), d.manifests.end(),
                              c.made[2].manifest.filename()) != d.manifests.end();
                if (in_latest) named.push_back(d.path), expected.erase(d.path);
            }
            auto const restored = put_back(restoring(c.dir / "backups", out));
            for (auto const& p : restored.errors) lost.push_back(p.path);
            std::sort(named.begin(), named.end());
            CHECK(named == lost);
            CHECK(difference(expected, look_at(out)) == "");
            fs::remove_all(out);
        }
        put(file, whole);
    }
    auto const at_last = verify(c.dir / "backups");
    CHECK(at_last.errors.empty());
    CHECK(at_last.damaged.empty());
}

TEST_CASE("a damaged content is named in each state that needs it, under its name there",
          "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 3);
    put(dir / "source" / "old name", noise(3'000'000));
    auto const full = back_up(from_to(dir / "source", dir / "backups"));
    fs::rename(dir / "source" / "old name", dir / "source" / "new name");
    auto const increment = back_up(from_to(dir / "source", dir / "backups"));
    auto bytes = get(full.file);
    bytes[bytes.size() / 2] ^= 1;
    put(full.file, bytes);
    auto const seen = verify(dir / "backups");
    REQUIRE(seen.damaged.size() == 2);
    CHECK(seen.damaged[0].path == "new name");
    CHECK(seen.damaged[0].manifests ==
          std::vector<std::string>{increment.manifest.filename().string()});
    CHECK(seen.damaged[1].path == "old name");
    CHECK(seen.damaged[1].manifests == std::vector<std::string>{full.manifest.filename().string()});
    CHECK(seen.damaged[1].archive == full.file.filename());
}

TEST_CASE("an archive whose manifest is lost is looked at by one that stands on it", "[backup]") {
    chain c;
    auto bytes = get(c.made[0].file);
    bytes[bytes.size() / 2] ^= 1;
    put(c.made[0].file, bytes);
    put(c.made[0].manifest, "{\n");
    auto const seen = verify(c.dir / "backups");
    CHECK(names(seen, c.made[0].manifest.filename().string()));
    CHECK(names(seen, c.made[0].file.filename().string()));
    REQUIRE_FALSE(seen.damaged.empty());
    CHECK(seen.damaged[0].archive == c.made[0].file.filename());
}

TEST_CASE("an archive without a manifest is noted", "[backup]") {
    chain c;
    put(c.dir / "backups" / "source_incr_20270101.tar.gz", "x");
    put(c.dir / "backups" / "other_full_20270101.tar.gz", "x");
    auto const seen = verify(c.dir / "backups");
    CHECK(seen.errors.empty());
    REQUIRE(seen.notes.size() == 1);
    CHECK(seen.notes[0].path == "source_incr_20270101.tar.gz");
}

TEST_CASE("an archive or a parent that is missing or another one is named", "[backup]") {
    chain c;
    auto const backups = c.dir / "backups";
    SECTION("archive") {
        fs::remove(c.made[1].file);
        auto const seen = verify(backups);
        CHECK(names(seen, c.made[1].file.filename().string()));
        REQUIRE(seen.damaged.size() == 1);
        CHECK(seen.damaged[0].path == "new1");
    }
    SECTION("parent") {
        fs::remove(c.made[0].manifest);
        auto const seen = verify(backups);
        CHECK(names(seen, c.made[1].manifest.filename().string()));
        CHECK(names(seen, c.made[2].manifest.filename().string()));
    }
    SECTION("another parent") {
        scratch other;
        make_plain_tree(other / "source", 2);
        auto const fresh = back_up(from_to(other / "source", other / "backups"));
        fs::copy_file(fresh.manifest, c.made[0].manifest, fs::copy_options::overwrite_existing);
        fs::copy_file(fresh.file, c.made[0].file, fs::copy_options::overwrite_existing);
        CHECK(names(verify(backups), c.made[1].manifest.filename().string()));
    }
    SECTION("renamed manifest") {
        fs::rename(c.made[2].manifest, backups / "source_incr_20270101.manifest.json");
        auto const seen = verify(backups);
        CHECK(names(seen, "source_incr_20270101.manifest.json"));
        CHECK(names(seen, "source_manifest.json"));
    }
}
