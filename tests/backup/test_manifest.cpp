#include "backup/manifest.hpp"

#include "backup/entry_line.hpp"
#include "backup/hash.hpp"
#include "test.hpp"

using namespace trawl::backup;
using namespace trawl::backup::detail;

namespace {

entry folder(std::string path) {
    entry e;
    e.path = std::move(path);
    e.type = file_type::folder;
    e.mode = 0755;
    return e;
}

entry file(std::string path, std::string_view content = "content") {
    entry e;
    e.path = std::move(path);
    e.mode = 0644;
    e.size = content.size();
    e.content = hasher(hash::sha256).of(content);
    e.archive = 0;
    return e;
}

manifest example() {
    manifest m;
    m.name = "etc";
    m.root = "/etc";
    m.started_ns = 1'795'000'000'123'456'789;
    chain_link full{kind::full,
                    1'794'000'000'000'000'001,
                    "etc_full_20261116.tar.gz",
                    1234,
                    hasher(hash::sha256).of("archive"),
                    "etc_full_20261116.manifest.json",
                    hasher(hash::sha256).of("manifest"),
                    1 << 20,
                    {700, 500}};
    chain_link incr = full;
    incr.made = kind::incremental;
    incr.archive = "etc_incr_20261117.tar.gz";
    incr.manifest = "etc_incr_20261117.manifest.json";
    incr.manifest_hash = {};
    incr.blocks = {1000};
    m.chain = {full, incr};
    m.entries = {folder(""), folder("a"), file("a/new\nline"), file("a/\xff not utf-8"),
                 file("a-b")};
    auto& odd = m.entries[4];
    odd.uid = 4'000'000'000;
    odd.gid = 1;
    odd.mtime_ns = -1'000'000'001;
    odd.ctime_ns = 9'007'199'254'740'993; // a double would lose the last digit
    odd.inode = 18'446'744'073'709'551'615u;
    odd.archive = 1;
    odd.offset = (1 << 20) - 1024;
    odd.size = 9'000'000'000'000; // sparse
    odd.stored = 1024;
    odd.flags = flag_unsettled | flag_stale;
    odd.attributes = {{"security.x", std::string("\0\xff", 2)}, {"user.y", "text"}};
    entry link = file("b");
    link.content = {};
    link.archive = no_archive;
    link.hard_link = true;
    link.link = "a-b";
    entry symlink;
    symlink.path = "c";
    symlink.type = file_type::symlink;
    symlink.link = "/\x80 \"x\"";
    entry device;
    device.path = "d";
    device.type = file_type::block;
    device.device = 0x801;
    m.entries.insert(m.entries.end(), {link, symlink, device});
    m.deleted = {"gone", "gone/\xfe"};
    m.errors = {{"secret", "Permission denied"}, {"\xfd", "Input/output error"}};
    return m;
}

/// The file of example() that grew.
entry in_parts() {
    auto e = file("a/new\nline");
    e.parts = {{0, 512, 4, hasher(hash::sha256).of("cont")},
               {1, 1024, 3, hasher(hash::sha256).of("ent")}};
    e.archive = 1;
    e.offset = 1024;
    return e;
}

std::string complaint_about(std::string_view text) {
    std::string complaint;
    return parse_manifest(text, complaint) ? std::string() : complaint;
}

} // namespace

TEST_CASE("a manifest comes back with every field", "[backup]") {
    auto const before = example();
    auto const text = serialize(before);
    std::string complaint;
    auto const after = parse_manifest(text, complaint);
    INFO(complaint);
    REQUIRE(after);
    CHECK(serialize(*after) == text);
    CHECK(after->name == "etc");
    CHECK(after->root == "/etc");
    CHECK(after->started_ns == before.started_ns);
    REQUIRE(after->chain.size() == 2);
    CHECK(after->chain[0].manifest_hash == before.chain[0].manifest_hash);
    CHECK(after->self().archive == "etc_incr_20261117.tar.gz");
    REQUIRE(after->entries.size() == before.entries.size());
    auto const& odd = after->entries[4];
    CHECK(odd.inode == before.entries[4].inode);
    CHECK(odd.ctime_ns == 9'007'199'254'740'993);
    CHECK(odd.mtime_ns == -1'000'000'001);
    CHECK(odd.attributes == before.entries[4].attributes);
    CHECK(odd.content == before.entries[4].content);
    CHECK(odd.offset == before.entries[4].offset);
    CHECK(odd.stored == 1024);
    CHECK(after->chain[0].blocks == before.chain[0].blocks);
    CHECK(after->chain[1].block_bytes == 1 << 20);
    CHECK(after->entries[3].path == "a/\xff not utf-8");
    CHECK(after->entries[5].hard_link);
    CHECK(after->entries[6].link == before.entries[6].link);
    CHECK(after->entries[7].device == 0x801);
    CHECK(after->deleted == before.deleted);
    CHECK(after->errors[1].path == "\xfd");
}

TEST_CASE("a manifest that was cut anywhere is refused and the line is named", "[backup]") {
    auto const text = serialize(example());
    for (std::size_t n = 0; n < text.size(); ++n) {
        auto const complaint = complaint_about(std::string_view(text).substr(0, n));
        if (!complaint.starts_with("line ")) FAIL("cut at " << n << ": " << complaint);
    }
    CHECK(complaint_about(text + "\n") != "");
    CHECK(complaint_about(text + text) != "");
}

TEST_CASE("a manifest with any bit flipped is refused and the line is named", "[backup]") {
    auto const text = serialize(example());
    for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
        auto damaged = text;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
        if (!complaint_about(damaged).starts_with("line ")) FAIL("bit " << bit);
    }
}

TEST_CASE("lines that are swapped, doubled or lost are noticed", "[backup]") {
    auto const text = serialize(example());
    std::vector<std::string> lines;
    for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos;
         begin = end + 1)
        lines.push_back(text.substr(begin, end - begin + 1));
    auto const joined = [](std::vector<std::string> const& all) {
        std::string t;
        for (auto const& l : all) t += l;
        return t;
    };
    REQUIRE(joined(lines) == text);
    for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
        auto swapped = lines, doubled = lines, lost = lines;
        std::swap(swapped[i], swapped[i + 1]);
        doubled.insert(doubled.begin() + static_cast<std::ptrdiff_t>(i), lines[i]);
        lost.erase(lost.begin() + static_cast<std::ptrdiff_t>(i));
        CHECK(complaint_about(joined(swapped)) != "");
        CHECK(complaint_about(joined(doubled)) != "");
        CHECK(complaint_about(joined(lost)) != "");
    }
}

TEST_CASE("a manifest that leads elsewhere is refused although its checksum is right", "[backup]") {
    auto const refused = [](auto change) {
        auto m = example();
        change(m);
        return complaint_about(serialize(m));
    };
    CHECK(refused([](manifest&) {}) == "");
    for (auto const* path :
         {"/etc/passwd", "..", "../x", "a/../../x", "a//b", "a/./b", "a/", "./a"}) {
        INFO(path);
        CHECK(refused([&](manifest& m) { m.entries.back().path = path; }) != "");
    }
    CHECK(refused([](manifest& m) { m.entries.back().path = std::string("d\0e", 3); }) != "");
    CHECK(refused([](manifest& m) { m.entries.back().path = "no folder/d"; }) != "");
    CHECK(refused([](manifest& m) { m.entries.back().path = "c/d"; }) != ""); // beneath a symlink
    CHECK(refused([](manifest& m) { m.entries[5].link = "c"; }) != "");
    CHECK(refused([](manifest& m) { m.entries[5].link = "zz"; }) != "");
    CHECK(refused([](manifest& m) { m.entries[2].archive = 2; }) != "");
    CHECK(refused([](manifest& m) { m.entries[2].archive = no_archive; }) != "");
    CHECK(refused([](manifest& m) { m.entries[2].content = {}; }) != "");
    CHECK(refused([](manifest& m) { m.entries[2].mode = 010000; }) != "");
    CHECK(refused([](manifest& m) { m.entries.erase(m.entries.begin()); }) != "");
    CHECK(refused([](manifest& m) { m.chain[1].archive = "../x"; }) != "");
    CHECK(refused([](manifest& m) { m.chain[0].manifest = "/x"; }) != "");
    CHECK(refused([](manifest& m) { m.chain[0].manifest_hash = {}; }) != "");
    CHECK(refused([](manifest& m) { m.chain[0].made = kind::incremental; }) != "");
    CHECK(refused([](manifest& m) { m.chain[1].made = kind::differential; }) == "");
    CHECK(refused([](manifest& m) {
              m.chain.insert(m.chain.begin() + 1, m.chain[0]);
              m.chain[1].made = kind::incremental;
              m.chain[2].made = kind::differential;
          }) != "");
    CHECK(refused([](manifest& m) { m.chain[0].blocks.push_back(35); }) !=
          ""); // 1235 of 1234 bytes
    CHECK(refused([](manifest& m) { m.chain[0].block_bytes = 0; }) != "");
    CHECK(refused([](manifest& m) { m.entries[4].offset += 1; }) != "");
    CHECK(refused([](manifest& m) { m.entries[4].offset = ~std::uint64_t(0); }) != "");
    CHECK(refused([](manifest& m) { m.entries[5].stored = 1; }) != "");
    CHECK(refused([](manifest& m) { m.entries[5].parts = in_parts().parts; }) != ""); // a link
    CHECK(refused([](manifest& m) { m.name = "x/y"; }) != "");
}

TEST_CASE("parts that are not the whole, out of order or beyond their archives are refused",
          "[backup]") {
    auto const refused = [](auto change) {
        auto m = example();
        m.entries[2] = in_parts();
        change(m.entries[2]);
        return complaint_about(serialize(m));
    };
    CHECK(refused([](entry&) {}) == "");
    auto m = example();
    m.entries[2] = in_parts();
    std::string complaint;
    auto const back = parse_manifest(serialize(m), complaint);
    REQUIRE(back);
    REQUIRE(back->entries[2].parts.size() == 2);
    auto const& tail = back->entries[2].parts[1];
    CHECK(tail.archive == 1);
    CHECK(tail.offset == 1024);
    CHECK(tail.bytes == 3);
    CHECK(tail.content == in_parts().parts[1].content);

    CHECK(refused([](entry& e) { e.size += 1; }) != "");
    CHECK(refused([](entry& e) { e.size -= 1; }) != "");
    CHECK(refused([](entry& e) { e.offset += 1; }) != "");
    CHECK(refused([](entry& e) { e.archive = 0; }) != "");
    CHECK(refused([](entry& e) { e.stored = 512; }) != "");
    CHECK(refused([](entry& e) { e.parts.pop_back(); }) != "");
    CHECK(refused([](entry& e) { std::swap(e.parts[0], e.parts[1]); }) != "");
    CHECK(refused([](entry& e) { e.parts[1].archive = e.archive = 2; }) != "");
    CHECK(refused([](entry& e) { e.parts[1].archive = e.archive = no_archive; }) != "");
    CHECK(refused([](entry& e) { e.parts[0].archive = 1; }) != "");
    CHECK(refused([](entry& e) { e.parts[0].offset = 2 << 20; }) != "");
    CHECK(refused([](entry& e) { e.parts[0].offset = ~std::uint64_t(0); }) != "");
    CHECK(refused([](entry& e) { e.parts[0].bytes = ~std::uint64_t(0); }) != "");
    CHECK(refused([](entry& e) { e.parts[1].bytes = ~std::uint64_t(0) - 3, e.size = 0; }) != "");
    CHECK(refused([](entry& e) { e.parts[0].bytes = 0, e.size = 3; }) != "");
    CHECK(refused([](entry& e) { e.parts[0].content = {}; }) != "");
    CHECK(refused([](entry& e) { e.parts[0].content = hasher(hash::md5).of("cont"); }) != "");
    CHECK(refused([](entry& e) { e.parts.resize(most_parts + 1, e.parts[0]); }) != "");
}

TEST_CASE("a plain line is read without a JSON parser to the same entry, any other is left to it",
          "[backup]") {
    auto m = example();
    m.entries[2] = in_parts();
    m.entries.push_back(file("e/../\x7f"));
    std::vector<std::string> plain;
    for (auto const& e : m.entries) {
        std::string line;
        put_entry(line, e);
        REQUIRE(line.ends_with("]\n"));
        line.pop_back();
        entry found;
        if (!read_plain_entry(line, 32, found)) continue;
        plain.push_back(e.path);
        std::string again;
        put_entry(again, found);
        CHECK(again == line + "\n");
    }
    CHECK(plain == std::vector<std::string>{"", "a", "b"});

    std::string const sum(64, 'a');
    auto const reads = [](std::string const& line) {
        entry e;
        return read_plain_entry(line, 32, e);
    };
    auto const with = [&](std::string const& number) {
        return "[\"a\",\"f\"," + number + ",0,0,7,-5,6,7,\"" + sum + "\",0,0,0]";
    };
    CHECK(reads(with("420")));
    CHECK(reads(with("0")));
    for (auto const* odd : {"-1", "007", "00", "+1", "1.0", "1e2", " 1", "1 ", "", "4294967296",
                            "\"1\"", "null", "0x1", "true"}) {
        INFO(odd);
        CHECK_FALSE(reads(with(odd)));
    }
    auto const line = with("420");
    for (std::size_t n = 0; n < line.size(); ++n) CHECK_FALSE(reads(line.substr(0, n)));
    CHECK_FALSE(reads(line + " "));
    CHECK_FALSE(reads(line + "]"));
    entry e;
    CHECK_FALSE(read_plain_entry(line, 16, e));
    // What may stand in the last column depends on the type.
    auto const ends = [&](std::string const& type, std::string const& column) {
        return reads("[\"a\",\"" + type + "\",0,0,0,7,5,6,7,null,null,null,0,{" + column + "}]");
    };
    CHECK(ends("l", "\"to\":\"x\""));
    CHECK(ends("f", "\"link\":\"x\""));
    CHECK_FALSE(ends("f", "\"to\":\"x\""));
    CHECK_FALSE(ends("l", "\"link\":\"x\""));
    CHECK_FALSE(ends("d", "\"to\":\"x\""));
    CHECK_FALSE(ends("l", "\"to\":\"x\",\"to\":\"y\""));
    CHECK_FALSE(ends("l", "\"to\":\"\\u0041\""));
    CHECK_FALSE(ends("x", "\"to\":\"x\""));
}

TEST_CASE("a manifest may come in pieces of any size, and its hash is that of all of it",
          "[backup]") {
    auto const text = serialize(example());
    for (std::size_t const size : {std::size_t(1), std::size_t(2), std::size_t(7), std::size_t(100),
                                   text.size() - 1, text.size()}) {
        manifest_parser parser;
        for (std::size_t at = 0; at < text.size(); at += size)
            parser.feed(std::string_view(text).substr(at, size));
        std::string complaint;
        auto const state = parser.finish(complaint);
        INFO(size << ": " << complaint);
        REQUIRE(state);
        CHECK(serialize(*state) == text);
        CHECK(parser.hash_of_all() == hasher(hash::sha256).of(text));
    }
    auto damaged = text;
    damaged[text.size() / 2] ^= 1;
    manifest_parser parser;
    for (char const c : damaged) parser.feed(std::string_view(&c, 1));
    std::string complaint;
    CHECK_FALSE(parser.finish(complaint));
    CHECK(complaint.starts_with("line "));
}

TEST_CASE("MD5 hashes are told from SHA-256 by the header", "[backup]") {
    auto m = example();
    m.algorithm = hash::md5;
    CHECK(complaint_about(serialize(m)) != "");
    for (auto& e : m.entries)
        if (e.content) e.content = hasher(hash::md5).of("content");
    CHECK(complaint_about(serialize(m)) == "");
    CHECK(hex(hasher(hash::md5).of("abc")) == "900150983cd24fb0d6963f7d28e17f72");
    CHECK(hex(hasher(hash::sha256).of("abc")) ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("the header alone tells when a backup was made", "[backup]") {
    auto const text = serialize(example());
    std::string complaint;
    auto const header = parse_header(text.substr(0, text.find('\n')), complaint);
    REQUIRE(header);
    CHECK(header->self().created_ns == 1'794'000'000'000'000'001);
    CHECK_FALSE(parse_header("{}", complaint));
    CHECK_FALSE(parse_header("", complaint));
}
