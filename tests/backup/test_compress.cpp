#include "backup/compress.hpp"

#include "backup/archive.hpp"
#include "backup/local_store.hpp"
#include "fixture.hpp"

#include <zlib.h>

using namespace trawl::backup;
using namespace trawl::backup::detail;
using trawl::test::noise;

namespace {

std::string squeeze(std::string const& plain, codec chosen, level effort, std::size_t block) {
    block_compressor compressor(chosen, effort);
    auto out = compressor.head();
    for (std::size_t at = 0; at < plain.size(); at += block) {
        auto const part = compressor.compress(std::string_view(plain).substr(at, block));
        compressor.count(part);
        out += part.bytes;
    }
    return out + compressor.tail();
}

/// One zlib stream, as the strictest readers see it: the first member and nothing behind it.
std::string one_member(std::string const& bytes, std::size_t expected) {
    z_stream stream{};
    REQUIRE(inflateInit2(&stream, 31) == Z_OK);
    std::string out(expected + 1, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    auto const result = inflate(&stream, Z_FINISH);
    CHECK(result == Z_STREAM_END); // CRC and length agree
    CHECK(stream.avail_in == 0);
    out.resize(stream.total_out);
    inflateEnd(&stream);
    return out;
}

} // namespace

TEST_CASE("blocks join to one gzip member that gives back every byte", "[backup]") {
    auto const text = [] {
        std::string t;
        for (int i = 0; i < 30'000; ++i) t += "line " + std::to_string(i * 7919) + "\n";
        return t;
    }();
    for (auto effort : {level::fast, level::standard, level::best})
        for (std::size_t block : {1u << 20, 65536u, 1000u})
            for (std::size_t size : {std::size_t(0), std::size_t(1), std::size_t(999),
                                     std::size_t(1000), std::size_t(1001), text.size()}) {
                auto const plain = text.substr(0, size);
                CHECK(one_member(squeeze(plain, codec::gzip, effort, block), plain.size()) ==
                      plain);
            }
    for (std::size_t size :
         {std::size_t(1) << 20, (std::size_t(1) << 20) + 1, std::size_t(5'000'000)}) {
        auto const plain = noise(size);
        CHECK(one_member(squeeze(plain, codec::gzip, level::standard, 1 << 20), plain.size()) ==
              plain);
    }
}

TEST_CASE("gzip itself finds nothing wrong", "[backup]") {
    trawl::test::scratch dir;
    trawl::test::put(dir / "x.gz", squeeze(noise(3'000'000) + std::string(3'000'000, 'a'),
                                           codec::gzip, level::standard, 1 << 20));
    CHECK(trawl::test::command({"gzip", "-t", (dir / "x.gz").string()}) == 0);
}

TEST_CASE("zstd frames hold the whole stream", "[backup]") {
    trawl::test::scratch dir;
    tar_writer tar;
    entry e;
    e.path = "file";
    auto const content = noise(9'000'000);
    e.size = content.size();
    tar.begin(e);
    tar.data(content);
    tar.finish();
    for (auto effort : {level::fast, level::standard, level::best}) {
        trawl::test::put(dir / "x.tar.zst", squeeze(tar.pending(), codec::zstd, effort, 4 << 20));
        auto const file = open_local(dir / "x.tar.zst");
        tar_reader reader(*file);
        auto const member = reader.next();
        REQUIRE(member);
        CHECK(member->what.path == "file");
        std::string found;
        for (auto piece = reader.data(); !piece.empty(); piece = reader.data()) found += piece;
        CHECK(found == content);
        CHECK_FALSE(reader.next());
    }
}

TEST_CASE("names survive the archive whatever their encoding", "[backup]") {
    trawl::test::scratch dir;
    std::vector<std::string> const names{"plain",
                                         "caf\xc3\xa9",
                                         "cafe\xcc\x81",
                                         "\xe1\x84\x80\xe1\x85\xa1",
                                         "not utf-8 \xff\xfe",
                                         "new\nline",
                                         "x=y",
                                         " ",
                                         "-x",
                                         std::string(255, 'l'),
                                         "deep/" + std::string(200, 'm') + "/" +
                                             std::string(200, 'n'),
                                         "\xf0\x9f\x90\x9f",
                                         "back\\slash",
                                         "\x01\x7f"};
    tar_writer tar;
    for (auto const& name : names) {
        entry e;
        e.path = name;
        e.size = 1;
        e.mtime_ns = -1;
        REQUIRE(tar.begin(e));
        tar.data("x");
    }
    tar.finish();
    trawl::test::put(dir / "x.tar", tar.pending());
    auto const file = open_local(dir / "x.tar");
    std::vector<std::string> found;
    tar_reader reader(*file);
    while (auto member = reader.next()) {
        CHECK(member->what.has_content());
        found.push_back(member->what.path);
    }
    CHECK(found == names);
    CHECK(trawl::test::command({"tar", "-tf", (dir / "x.tar").string()}) == 0);
}
