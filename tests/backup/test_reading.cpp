#include "fixture.hpp"

#include "backup/archive.hpp"
#include "backup/local_store.hpp"
#include "backup/reading.hpp"
#include "backup/sparse.hpp"

using namespace trawl;
using namespace trawl::test;
using namespace trawl::backup::detail;
namespace fs = std::filesystem;

namespace {

/// The file that `area` makes, fed in pieces of `step` bytes; nullopt when it is refused or cut.
std::optional<std::string> unfold(std::string_view area, std::uint64_t size, std::size_t step) {
    std::string file(static_cast<std::size_t>(size), '.');
    sparse_reader reader(size);
    for (; !area.empty(); area.remove_prefix(std::min(step, area.size()))) {
        auto const place = [&](std::uint64_t at, std::string_view bytes) {
            file.replace(static_cast<std::size_t>(at), bytes.size(), bytes);
        };
        if (!reader.feed(area.substr(0, step), place)) return std::nullopt;
    }
    if (!reader.complete()) return std::nullopt;
    return file;
}

std::string padded(std::string map) {
    map.resize((map.size() + 511) / 512 * 512, '\0');
    return map;
}

/// A stream of `size` bytes in an archive of its own.
struct archive_file {
    archive_file(std::string const& plain, codec how, std::size_t block_bytes) {
        block_compressor compressor(how, backup::level::fast);
        auto bytes = compressor.head();
        link.archive = "x" + std::string(compressor.suffix());
        link.block_bytes = block_bytes;
        for (std::size_t at = 0; at < plain.size(); at += block_bytes) {
            auto const block = compressor.compress(std::string_view(plain).substr(at, block_bytes));
            compressor.count(block);
            link.blocks.push_back(static_cast<std::uint32_t>(block.bytes.size()));
            bytes += block.bytes;
        }
        put(dir / link.archive, bytes + compressor.tail());
    }
    open_archive open() const { return open_archive(open_local(dir / link.archive), link); }
    scratch dir;
    chain_link link;
};

} // namespace

TEST_CASE("a sparse area unfolds however it is cut", "[backup]") {
    auto const area = padded("3\n2\n3\n7\n1\n10\n0\n") + "abcd" + std::string(508, '\0');
    for (std::size_t step = 1; step <= area.size(); ++step)
        CHECK(unfold(area, 10, step) == "..abc..d..");
    CHECK(unfold(padded("0\n"), 4, 512) == "....");
    CHECK(unfold(padded("1\n0\n0\n"), 0, 512) == "");
    std::string map = "200\n", data; // more than a record
    for (int i = 0; i < 200; ++i) map += std::to_string(2 * i) + "\n1\n", data += 'x';
    CHECK(unfold(padded(map) + data, 400, 100)->substr(0, 6) == "x.x.x.");
}

TEST_CASE("a sparse area that lies is refused", "[backup]") {
    CHECK_FALSE(unfold(padded("1\n0\n5\n") + "abcd", 10, 512));           // cut
    CHECK_FALSE(unfold(padded("1\n0\n11\n") + "abcdefghijk", 10, 512));   // too long
    CHECK_FALSE(unfold(padded("1\n11\n0\n"), 10, 512));                   // begins beyond
    CHECK_FALSE(unfold(padded("2\n4\n2\n5\n1\n") + "abc", 10, 512));      // overlaps
    CHECK_FALSE(unfold(padded("1\n0\n18446744073709551615\n"), 10, 512)); // wraps around
    CHECK_FALSE(unfold(padded("5000000\n"), 10, 512));
    CHECK_FALSE(unfold(padded("-1\n"), 10, 512));
    CHECK_FALSE(unfold(padded("\n"), 10, 512));
    CHECK_FALSE(unfold("1\n0\n1\nx" + padded("a"), 10, 512)); // no padding
    CHECK_FALSE(unfold("", 10, 512));
}

TEST_CASE("a stream is read anywhere, block by block, and damage ends with its block", "[backup]") {
    auto plain = noise(10'500);
    plain.replace(3000, 4000, 4000, 'x');
    for (auto how : {codec::gzip, codec::zstd}) {
        archive_file const file(plain, how, 1000);
        auto const archive = file.open();
        REQUIRE(archive.file);
        CHECK(archive.map.size() == 11);
        block_reader reader(*archive.file, archive.map);
        for (std::size_t at = 0; at < plain.size(); at += 333) {
            auto const piece = reader.at(at, 700);
            CHECK(piece.size() ==
                  std::min<std::size_t>({700, 1000 - at % 1000, plain.size() - at}));
            CHECK(piece == std::string_view(plain).substr(at, piece.size()));
        }
        CHECK_THROWS_AS(reader.at(10'500, 1), std::runtime_error);
        CHECK_THROWS_AS(reader.at(11'000, 1), std::runtime_error);

        auto bytes = get(file.dir / file.link.archive);
        auto const begin = static_cast<std::size_t>(archive.map.begin(4));
        bytes[begin] = '\xff'; // no block type of deflate, no magic number of zstd
        put(file.dir / file.link.archive, bytes);
        block_reader again(*archive.file, archive.map);
        CHECK_THROWS_WITH(again.at(4100, 1), "block 4 at byte " + std::to_string(begin) +
                                                 ": damaged, cannot be inflated");
        CHECK(again.at(5000, 500) == std::string_view(plain).substr(5000, 500));
        CHECK(again.at(3999, 5) == std::string_view(plain).substr(3999, 1));

        fs::resize_file(file.dir / file.link.archive, archive.map.begin(7) + 1);
        CHECK_THROWS_AS(again.at(7000, 1), std::runtime_error);
        CHECK(again.at(6000, 1) == std::string_view(plain).substr(6000, 1));
    }
}

TEST_CASE("wishes are read in the order of the archive and cut into jobs", "[backup]") {
    chain_link link;
    link.block_bytes = 1 << 20;
    std::vector<open_archive> archives;
    for (int i = 0; i < 2; ++i) archives.emplace_back(nullptr, link);
    std::vector<entry> entries(40);
    std::vector<wish> wishes;
    for (std::uint32_t i = 0; i < 40; ++i) {
        auto& e = entries[i];
        e.archive = i % 4 == 0;
        e.size = 1 << 20;
        e.offset = (40 - i) * e.size;
        wishes.push_back({&e, i});
    }
    auto const spans = arrange(wishes, archives);
    CHECK(spans.size() == 4); // 10 MB of the newer archive, 30 of the older
    std::size_t reached = 0;
    for (auto const& s : spans) {
        CHECK(s.begin == reached);
        CHECK(s.end > s.begin);
        reached = s.end;
        for (auto i = s.begin + 1; i < s.end; ++i) {
            CHECK(wishes[i].content->archive == wishes[s.begin].content->archive);
            CHECK(wishes[i].content->offset > wishes[i - 1].content->offset);
        }
    }
    CHECK(reached == wishes.size());
    CHECK(wishes.front().content->archive == 1);
}
