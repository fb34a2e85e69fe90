#include "fixture.hpp"

#include <algorithm>
#include <random>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

backup::verify_report verify(fs::path const& archives) {
    backup::verify_options o;
    o.archives = archives;
    offload_pool pool(offload_pool::options{2, "test", nullptr});
    backup::verify_report seen;
    auto body = [&]() -> awaitable<> { seen = co_await backup::verify(pool, o); };
    run(body);
    return seen;
}

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

TEST_CASE("any bit that flips in an archive or a manifest is found, and its file named",
          "[backup]") {
    chain c;
    std::mt19937 random(3);
    std::vector<fs::path> files;
    for (auto const& f : fs::directory_iterator(c.dir / "backups"))
        if (f.file_size() > 0) files.push_back(f.path());
    REQUIRE(files.size() == 7);
    for (auto const& file : files) {
        auto const whole = get(file);
        for (int i = 0; i < 12; ++i) {
            auto damaged = whole;
            auto const bit = random() % (whole.size() * 8);
            if (i % 4 == 3)
                damaged.resize(bit / 8);
            else
                damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
            put(file, damaged);
            INFO(file << " bit " << bit);
            CHECK(names(verify(c.dir / "backups"), file.filename().string()));
        }
        put(file, whole);
    }
    CHECK(verify(c.dir / "backups").errors.empty());
}

TEST_CASE("in a damaged archive each damaged file is named and no other", "[backup]") {
    chain c;
    auto const whole = get(c.made[0].file);
    put(c.made[0].file, std::string_view(whole).substr(0, whole.size() / 2));
    auto const seen = verify(c.dir / "backups");
    auto back = restoring(c.dir / "backups", c.dir / "out");
    auto const restored = put_back(back);
    std::vector<std::string> lost, named;
    for (auto const& p : restored.errors) lost.push_back(p.path);
    for (auto const& p : seen.errors)
        if (p.message.starts_with("is damaged in ")) named.push_back(p.path);
    std::sort(lost.begin(), lost.end());
    std::sort(named.begin(), named.end());
    CHECK(lost.size() > 3);
    CHECK(named == lost);
}

TEST_CASE("an archive or a parent that is missing or another one is named", "[backup]") {
    chain c;
    auto const backups = c.dir / "backups";
    SECTION("archive") {
        fs::remove(c.made[1].file);
        CHECK(names(verify(backups), c.made[1].file.filename().string()));
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
