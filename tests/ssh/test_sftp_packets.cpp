#include "ssh/sftp_packets.hpp"
#include "test.hpp"

using namespace trawl::sftp;
using namespace trawl::sftp::detail;
using namespace std::string_literals;

namespace {

/// The packet without its length, as the stream hands it over.
std::string body(packet_writer& from) { return from.take().substr(4); }

reply read(packet_writer& from) {
    auto parsed = parse_reply(body(from));
    REQUIRE(parsed);
    return std::move(*parsed);
}

attributes full() {
    attributes a;
    a.size = 0x1'0000'0002;
    a.owner = ownership{1000, 1001};
    a.permissions = 0100644;
    a.times = file_times{7, 8};
    return a;
}

} // namespace

TEST_CASE("a request is laid out as the draft says", "[sftp][packets]") {
    attributes a;
    a.permissions = 0644;
    packet_writer request(packet::open, 0x01020304);
    request.text("/x").u32(open_write | open_create).attrs(a);
    CHECK(request.take() == "\0\0\0\x17"
                            "\x03"
                            "\1\2\3\4"
                            "\0\0\0\2/x"
                            "\0\0\0\x0a"
                            "\0\0\0\4"
                            "\0\0\1\xa4"s);
    CHECK(make_init() == "\0\0\0\5\1\0\0\0\3"s);
}

TEST_CASE("attributes read back as they were written, whatever parts they have",
          "[sftp][packets]") {
    for (int parts = 0; parts < 16; ++parts) {
        auto a = full();
        if (parts & 1) a.size.reset();
        if (parts & 2) a.owner.reset();
        if (parts & 4) a.permissions.reset();
        if (parts & 8) a.times.reset();
        packet_writer packet_of(packet::attrs, 1);
        packet_of.attrs(a);
        CHECK(parse_attributes(read(packet_of)) == a);
    }
}

TEST_CASE("extended attributes are passed over", "[sftp][packets]") {
    packet_writer with(packet::attrs, 1);
    with.u32(0x80000004).u32(0600).u32(2).text("a").text("b").text("c").text("d");
    auto const found = parse_attributes(read(with));
    REQUIRE(found);
    CHECK(found->permissions == 0600u);
    packet_writer endless(packet::attrs, 1);
    endless.u32(0x80000000).u32(0xffffffff).text("a");
    CHECK_FALSE(parse_attributes(read(endless)));
}

TEST_CASE("every reply is refused when it ends before its parts", "[sftp][packets]") {
    packet_writer status_of(packet::status, 9), handle_of(packet::handle, 9),
        data_of(packet::data, 9), names_of(packet::name, 9), attrs_of(packet::attrs, 9),
        space_of(packet::extended_reply, 9);
    status_of.u32(4).text("words").text("en");
    handle_of.text("handle");
    data_of.text("data");
    names_of.u32(2).text("a").text("long a").attrs(full()).text("b").text("").attrs({});
    attrs_of.attrs(full());
    for (int i = 0; i < 11; ++i) space_of.u64(1);
    for (auto* whole : {&status_of, &handle_of, &data_of, &names_of, &attrs_of, &space_of}) {
        auto const bytes = body(*whole);
        auto const all_parse = [](reply const& r) {
            return int(parse_status(r).has_value()) + int(parse_handle(r).has_value()) +
                   int(parse_data(r).has_value()) + int(parse_names(r).has_value()) +
                   int(parse_attributes(r).has_value()) + int(parse_file_system(r).has_value());
        };
        auto const parsed = parse_reply(bytes);
        REQUIRE(parsed);
        CHECK(parsed->id == 9);
        CHECK(all_parse(*parsed) == 1);
        // A status may end behind its number: some servers leave the words out.
        auto const needed = parsed->type == packet::status ? 9 : bytes.size();
        for (std::size_t size = 0; size < needed; ++size) {
            auto const cut = parse_reply(bytes.substr(0, size));
            CHECK(bool(cut) == (size >= 5));
            if (cut) CHECK(all_parse(*cut) == 0);
        }
    }
}

TEST_CASE("the parts of replies are what was sent", "[sftp][packets]") {
    packet_writer status_of(packet::status, 1), bare(packet::status, 1), data_of(packet::data, 2),
        names_of(packet::name, 3);
    auto const said = parse_status(read(status_of.u32(3).text("no\0way"s).text("")));
    REQUIRE(said);
    CHECK(said->code == 3);
    CHECK(said->words == "no\0way"s);
    auto const words = parse_status(read(bare.u32(2)));
    REQUIRE(words);
    CHECK(words->words.empty());
    auto const data = read(data_of.text("\0\1\2"s));
    CHECK(parse_data(data) == "\0\1\2"s);
    auto const names = parse_names(read(
        names_of.u32(2).text("a").text("-rw a").attrs(full()).text("b/../c").text("").attrs({})));
    REQUIRE(names);
    REQUIRE(names->size() == 2);
    CHECK((*names)[0].name == "a");
    CHECK((*names)[0].attrs == full());
    CHECK((*names)[1].name == "b/../c"); // READLINK and REALPATH answer so; listdir() refuses it
}

TEST_CASE("more names than there is room for are refused without memory for them",
          "[sftp][packets]") {
    packet_writer many(packet::name, 3);
    many.u32(0xffffffff).text("a").text("").attrs({});
    CHECK_FALSE(parse_names(read(many)));
}

TEST_CASE("a handle longer than the draft allows is refused", "[sftp][packets]") {
    packet_writer most(packet::handle, 1), more(packet::handle, 1);
    CHECK(parse_handle(read(most.text(std::string(256, 'h')))));
    CHECK_FALSE(parse_handle(read(more.text(std::string(257, 'h')))));
}

TEST_CASE("what no server sends is no reply", "[sftp][packets]") {
    for (int type = 0; type < 256; ++type) {
        auto const parsed = parse_reply(std::string(1, static_cast<char>(type)) + "\0\0\0\1"s);
        CHECK(bool(parsed) == ((type >= 101 && type <= 105) || type == 201));
    }
}

TEST_CASE("the server's version and extensions are read", "[sftp][packets]") {
    auto const v = parse_version("\2\0\0\0\3\0\0\0\1a\0\0\0\2bc\0\0\0\1d\0\0\0\0"s);
    REQUIRE(v);
    CHECK(v->number == 3);
    CHECK(v->extensions == std::map<std::string, std::string>{{"a", "bc"}, {"d", ""}});
    CHECK(parse_version("\2\0\0\0\6"s)->number == 6);
    CHECK_FALSE(parse_version("\2\0\0\0"s));
    CHECK_FALSE(parse_version("\1\0\0\0\3"s));
    CHECK_FALSE(parse_version("\2\0\0\0\3\0\0\0\1a"s)); // a name without data
    CHECK_FALSE(parse_version(""));
}

TEST_CASE("a stream gives the same packets wherever it is cut", "[sftp][packets]") {
    packet_writer one(packet::data, 1), two(packet::status, 2);
    auto const stream = one.text(std::string(300, 'x')).take() + two.u32(0).text("").take();
    for (std::size_t step = 1; step <= stream.size(); ++step) {
        std::vector<std::string> got;
        packet_stream cutter;
        auto const keep = [&](std::string packet) { got.push_back(std::move(packet)); };
        for (std::size_t at = 0; at < stream.size(); at += step)
            REQUIRE(cutter.feed(std::string_view(stream).substr(at, step), keep));
        REQUIRE(got.size() == 2);
        CHECK(got[0].size() == 309);
        CHECK(got[1].size() == 13);
    }
}

TEST_CASE("a length that no packet has ends the stream for good", "[sftp][packets]") {
    auto const ignore = [](std::string const&) { FAIL("a packet came out"); };
    for (auto const& head : {"\0\0\0\0"s, "\0\0\0\4"s, "\0\4\0\1"s, "\xff\xff\xff\xff"s, "Welc"s}) {
        packet_stream cutter;
        CHECK_FALSE(cutter.feed(head, ignore));
        CHECK_FALSE(cutter.feed("\0\0\0\5abcde"s, ignore));
    }
    packet_stream longest;
    CHECK(longest.feed("\0\4\0\0"s, ignore));
}

TEST_CASE("a block is cut to what was read into it", "[sftp][packets]") {
    packet_writer request(packet::write, 1);
    auto const read = [](char* into) { return std::string("abc").copy(into, 10); };
    CHECK(request.text("h").u64(0).text(10, read) == 3);
    packet_writer same(packet::write, 1);
    CHECK(request.take() == same.text("h").u64(0).text("abc").take());
}

TEST_CASE("packets that are built behind each other are those built alone", "[sftp][packets]") {
    auto const alone = [](std::uint32_t id) {
        return packet_writer(packet::write, id).text("h").u64(id).text("bytes").take();
    };
    auto both = packet_writer(packet::write, 2, alone(1)).text("h").u64(2).text("bytes").take();
    CHECK(both == alone(1) + alone(2));
}

TEST_CASE("names that lead out of their folder are not safe", "[sftp][packets]") {
    for (auto const* name : {"a", ".a", "...", "a..", " ", "\xff", "a\n", "\\"})
        CHECK(safe_name(name));
    for (auto const& name : {""s, "."s, ".."s, "/"s, "a/b"s, "../a"s, "a/"s, "a\0b"s})
        CHECK_FALSE(safe_name(name));
}
