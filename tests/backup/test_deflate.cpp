#include "backup/deflate.hpp"

#include "fixture.hpp"

#include <libdeflate.h>

#include <memory>
#include <random>

#include <zlib.h>

using namespace trawl::backup;
using namespace trawl::backup::detail;
using trawl::test::noise;

namespace {

/// Content of all kinds: what does not compress, one byte, text, few symbols, long repeats.
std::string content(unsigned kind, std::size_t size, unsigned seed) {
    std::mt19937 generator(seed);
    auto const random = [&] { return static_cast<unsigned>(generator()); };
    std::string text;
    switch (kind) {
    case 0: return noise(size, seed);
    case 1: return std::string(size, 'x');
    case 2:
        while (text.size() < size) text += "line " + std::to_string(random() % 100'000) + "\n";
        break;
    case 3:
        while (text.size() < size) text += static_cast<char>('a' + random() % 3);
        break;
    case 4: // rare symbols, so that their codes get long
        while (text.size() < size)
            text += random() % 4000 == 0 ? static_cast<char>(random()) : "ab"[random() % 2];
        break;
    default:
        while (text.size() < size)
            if (text.size() > 1000 && random() % 3 != 0)
                text += text.substr(random() % (text.size() - 500), random() % 500);
            else
                text += noise(random() % 300, random());
    }
    text.resize(size);
    return text;
}

/// Inflates a stream without a final block, by zlib.
std::string inflated(std::string const& stream, std::size_t expected) {
    z_stream z{};
    REQUIRE(inflateInit2(&z, -15) == Z_OK);
    std::string out(expected + 1, '\0');
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(stream.data()));
    z.avail_in = static_cast<uInt>(stream.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    auto const result = inflate(&z, Z_SYNC_FLUSH);
    CHECK((result == Z_OK || result == Z_BUF_ERROR)); // not Z_STREAM_END: more may follow
    CHECK(z.avail_in == 0);
    out.resize(z.total_out);
    inflateEnd(&z);
    return out;
}

} // namespace

TEST_CASE("a block of any content and size ends with a full flush", "[backup]") {
    for (auto effort : {level::fast, level::standard, level::best})
        for (unsigned kind = 0; kind < 6; ++kind)
            for (std::size_t size :
                 {1ul, 2ul, 100ul, 511ul, 512ul, 65'535ul, 65'536ul, 300'001ul, 1ul << 20}) {
                INFO("level " << int(effort) << ", kind " << kind << ", " << size << " bytes");
                auto const plain = content(kind, size, kind + 7);
                auto const packed = deflate_block(plain, effort);
                CHECK(packed.ends_with(std::string("\0\0\xff\xff", 4)));
                CHECK(packed == deflate_block(plain, effort));
                CHECK((inflated(packed, size) == plain));
                CHECK((inflated(packed + packed, 2 * size) == plain + plain));
            }
}

TEST_CASE("the final block of a stream is found where zlib finds it, whatever wrote it",
          "[backup]") {
    for (int effort : {1, 3, 6, 9, 12})
        for (unsigned kind = 0; kind < 6; ++kind) {
            auto const plain = content(kind, 200'000, kind);
            std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> const made(
                libdeflate_alloc_compressor(effort), &libdeflate_free_compressor);
            std::string stream(libdeflate_deflate_compress_bound(made.get(), plain.size()), '\0');
            stream.resize(libdeflate_deflate_compress(made.get(), plain.data(), plain.size(),
                                                      stream.data(), stream.size()));
            auto const last = find_final_block(stream);
            REQUIRE(last);
            CHECK((last->end + 7) / 8 == stream.size());
            auto& marked = stream[last->begin / 8];
            marked = static_cast<char>(marked ^ 1 << last->begin % 8);
            CHECK_FALSE(find_final_block(stream));
            CHECK((inflated(stream, plain.size()) == plain));
        }
    // Fixed codes, by zlib.
    z_stream z{};
    REQUIRE(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_FIXED) == Z_OK);
    auto const plain = content(2, 5000, 1);
    std::string stream(10'000, '\0');
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
    z.avail_in = static_cast<uInt>(plain.size());
    z.next_out = reinterpret_cast<Bytef*>(stream.data());
    z.avail_out = static_cast<uInt>(stream.size());
    REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
    stream.resize(z.total_out);
    deflateEnd(&z);
    CHECK(find_final_block(stream));
}

TEST_CASE("no stream leads the search for its final block astray", "[backup]") {
    std::mt19937 generator(5);
    auto const random = [&] { return static_cast<unsigned>(generator()); };
    CHECK_FALSE(find_final_block(""));
    CHECK_FALSE(find_final_block("\7")); // a block of the type that does not exist
    for (int i = 0; i < 3000; ++i) {
        auto stream = i % 2 ? noise(random() % 300, random())
                            : deflate_block(content(static_cast<unsigned>(i) % 6, 2000, random()),
                                            level::standard);
        for (int flips = 0; flips < 3 && !stream.empty(); ++flips)
            stream[random() % stream.size()] ^= static_cast<char>(1 << random() % 8);
        if (auto const found = find_final_block(stream)) {
            CHECK(found->begin < found->end);
            CHECK((found->end + 7) / 8 == stream.size());
        }
    }
}
