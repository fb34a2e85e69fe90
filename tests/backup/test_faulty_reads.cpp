#include "faulty_reads.hpp"
#include "fixture.hpp"

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include <unistd.h>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t megabytes = 5'000'000;

bool names(std::vector<backup::problem> const& problems, std::string const& path,
           std::string const& text) {
    return std::any_of(problems.begin(), problems.end(), [&](backup::problem const& p) {
        return p.path == path && p.message.find(text) != std::string::npos;
    });
}

/// What GNU tar makes of one archive after the other.
std::string by_tar(scratch const& dir, std::vector<fs::path> const& archives,
                   std::string const& path) {
    auto const out = dir / "by tar";
    fs::remove_all(out);
    fs::create_directory(out);
    for (auto const& archive : archives)
        REQUIRE(command({"tar", "-xf", archive.string(), "-C", out.string()}) == 0);
    return fs::exists(out / path) ? get(out / path) : "no such file";
}

} // namespace

TEST_CASE("a file that cannot be read to its end is stored as far as it can, flagged and reported",
          "[backup]") {
    scratch dir;
    auto const bytes = noise(megabytes);
    make_plain_tree(dir / "source", 10);
    put(dir / "source" / "large", bytes);
    put(dir / "source" / "small", noise(3000));
    for (std::uint64_t const from : {1ul, 4096ul, 2'500'000ul, megabytes - 1}) {
        fs::remove_all(dir / "backups");
        fs::remove_all(dir / "out");
        backup::report made;
        {
            faulty_file const rotten(dir / "source" / "large", from);
            made = back_up(from_to(dir / "source", dir / "backups"));
        }
        INFO("fails from byte " << from);
        REQUIRE(made.errors.size() == 1);
        CHECK(names(made.errors, "large",
                    "only the first " + std::to_string(from) + " of 5000000 bytes"));
        CHECK(verify(dir / "backups").errors.empty());
        CHECK(put_back(restoring(dir / "backups", dir / "out")).errors.empty());
        CHECK(get(dir / "out" / "large") == bytes.substr(0, from));
        CHECK(get(dir / "out" / "small") == noise(3000));
        CHECK(by_tar(dir, {made.file}, "large") == bytes.substr(0, from));
        auto const next = back_up(from_to(dir / "source", dir / "backups"));
        CHECK(next.errors.empty());
        CHECK(next.changed == 1);
        fs::remove_all(dir / "out");
        CHECK(put_back(restoring(dir / "backups", dir / "out")).errors.empty());
        CHECK(get(dir / "out" / "large") == bytes);
    }
}

TEST_CASE("a file that cannot be read at all has no member and stays as an earlier backup has it",
          "[backup]") {
    scratch dir;
    auto const first = noise(megabytes, 1), second = noise(megabytes + 7, 2);
    fs::create_directory(dir / "source");
    put(dir / "source" / "large", first);
    put(dir / "source" / "small", "old");
    auto const full = back_up(from_to(dir / "source", dir / "backups"));
    put(dir / "source" / "large", second);
    put(dir / "source" / "small", "new one");
    for (std::uint64_t const from : {0ul, 1'000'000ul}) {
        backup::report made;
        for (auto const* name : {"large", "small"}) {
            faulty_file const rotten(dir / "source" / name, from);
            made = back_up(from_to(dir / "source", dir / "backups"));
            if (from == 0 || std::string(name) == "large")
                CHECK(names(made.errors, name, "Input/output error"));
        }
    }
    {
        faulty_file const rotten(dir / "source" / "large", 0);
        auto o = from_to(dir / "source", dir / "fresh");
        auto const made = back_up(o);
        CHECK(names(made.errors, "large", "Input/output error"));
        CHECK(by_tar(dir, {made.file}, "large") == "no such file");
    }
    {
        faulty_file const rotten(dir / "source" / "large", 1'000'000);
        scratch again;
        fs::copy(full.file, again / full.file.filename().string());
        fs::copy(full.manifest, again / full.manifest.filename().string());
        back_up(from_to(dir / "source", again.path()));
        CHECK(put_back(restoring(again.path(), dir / "out")).errors.empty());
        CHECK(get(dir / "out" / "large") == first);
        CHECK(get(dir / "out" / "small") == "new one");
    }
}

TEST_CASE("a file that ends earlier than stat says is stored as read, without zeros", "[backup]") {
    scratch dir;
    auto const bytes = noise(megabytes);
    fs::create_directory(dir / "source");
    put(dir / "source" / "large", bytes);
    put(dir / "source" / "small", bytes.substr(0, 9000));
    for (std::uint64_t const from : {1ul, 5000ul, 8999ul, 3'333'333ul}) {
        for (auto const* name : {"large", "small"}) {
            scratch to;
            backup::report made;
            {
                faulty_file const shrinks(dir / "source" / name, from, faulty_file::ends);
                made = back_up(from_to(dir / "source", to.path()));
            }
            if (from > 9000 && std::string(name) == "small") continue;
            INFO(name << " ends at " << from);
            CHECK(names(made.notes, name, "changed while it was read"));
            CHECK(made.errors.empty());
            CHECK(put_back(restoring(to.path(), to / "out")).errors.empty());
            CHECK(get(to / "out" / name) == bytes.substr(0, from));
            CHECK(by_tar(to, {made.file}, name) == bytes.substr(0, from));
        }
    }
}

TEST_CASE("a sparse file that cannot be read to its end keeps its holes before that", "[backup]") {
    scratch dir(medium::disk);
    fs::create_directory(dir / "source");
    auto const file = dir / "source" / "sparse";
    auto const bytes = noise(2'000'000);
    put(file, bytes);
    if (::truncate(file.c_str(), 40'000'000) != 0) throw std::runtime_error("truncate");
    std::ofstream(file, std::ios::app | std::ios::binary) << bytes;
    backup::report made;
    {
        faulty_file const rotten(file, 41'000'000);
        made = back_up(from_to(dir / "source", dir / "backups"));
    }
    CHECK(names(made.errors, "sparse", "only the first 41000000 of 42000000 bytes"));
    CHECK(put_back(restoring(dir / "backups", dir / "out")).errors.empty());
    CHECK(get(dir / "out" / "sparse") == get(file).substr(0, 41'000'000));
    CHECK(fs::file_size(made.file) < 8'000'000); // both passes, no hole
}
