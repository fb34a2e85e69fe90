#include "dns/message.hpp"
#include "test.hpp"

using namespace trawl::dns;
using namespace trawl::dns::detail;
using namespace std::string_literals;

namespace {

/// A packet put together by hand.
class packet {
public:
    packet& u8(unsigned v) { return bytes_.push_back(static_cast<unsigned char>(v)), *this; }
    packet& u16(unsigned v) { return u8(v >> 8 & 255).u8(v & 255); }
    packet& u32(unsigned v) { return u16(v >> 16).u16(v & 0xffff); }
    packet& raw(std::string const& text) {
        for (char c : text) u8(static_cast<unsigned char>(c));
        return *this;
    }
    packet& head(unsigned flags, unsigned answers, unsigned authority = 0, unsigned more = 0) {
        return u16(7).u16(0x8180 | flags).u16(1).u16(answers).u16(authority).u16(more);
    }
    packet& question(unsigned of) { return raw("\3web\7example\0"s).u16(of).u16(1); }
    packet& record(unsigned of, unsigned ttl, std::string const& data, unsigned owner = 0xc00c) {
        u16(owner).u16(of).u16(1).u32(ttl).u16(static_cast<unsigned>(data.size()));
        return raw(data);
    }
    answer read(type wanted) const { return parse_answer(bytes_, "Web.example.", wanted); }

    std::vector<unsigned char> bytes_;
};

std::string first(answer const& found) {
    return found.values.empty() ? "none" : to_string(found.values.front());
}

packet of(type wanted, std::string const& data) {
    auto const number = static_cast<unsigned>(wanted);
    packet made;
    made.head(0, 1).question(number).record(number, 300, data);
    return made;
}

} // namespace

TEST_CASE("every type of record is read and written as in a zone file", "[dns]") {
    CHECK(first(of(type::a, "\x0a\0\0\x07"s).read(type::a)) == "10.0.0.7");
    CHECK(first(of(type::aaaa, "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\7")
                    .read(type::aaaa)) == "2001:db8::7");
    CHECK(first(of(type::ns, "\2ns\xc0\x10"s).read(type::ns)) == "ns.example");
    CHECK(first(of(type::cname, "\1a\xc0\x0c"s).read(type::cname)) == "a.web.example");
    CHECK(first(of(type::ptr, "\0"s).read(type::ptr)) == ".");
    CHECK(first(of(type::mx, "\0\x0a\4mail\xc0\x10"s).read(type::mx)) == "10 mail.example");
    CHECK(first(of(type::srv, "\0\1\0\2\1\xbb\1x\xc0\x10"s).read(type::srv)) ==
          "1 2 443 x.example");
    CHECK(first(of(type::soa, "\2ns\xc0\x10\1h\xc0\x10\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5"s)
                    .read(type::soa)) == "ns.example h.example 1 2 3 4 5");
    CHECK(first(of(type::txt, "\3a b\4\"\\\1\xff"s).read(type::txt)) ==
          "\"a b\" \"\\\"\\\\\\001\\255\"");
    CHECK(first(of(type::tlsa, "\3\1\1\xab\xcd"s).read(type::tlsa)) == "3 1 1 abcd");
    CHECK(first(of(type::caa, "\x80\5issueca.example"s).read(type::caa)) ==
          "128 issue \"ca.example\"");
    CHECK(first(of(type::ns, "\4a.\\ \1\x80\0"s).read(type::ns)) == "a\\.\\\\\\032.\\128");
}

TEST_CASE("types have names in both cases", "[dns]") {
    for (auto one : {type::a, type::ns, type::cname, type::soa, type::ptr, type::mx, type::txt,
                     type::aaaa, type::srv, type::tlsa, type::caa})
        CHECK(type_of(to_string(one)) == one);
    CHECK(type_of("aaaa") == type::aaaa);
    for (auto none : {"", "AA", "AAAAA", "ANY", "?"}) CHECK_FALSE(type_of(none));
}

TEST_CASE("an answer tells its name, its least ttl and whether it was proved", "[dns]") {
    packet made;
    made.head(0x20, 3).question(1);
    made.record(5, 30, "\4real\xc0\x10"s);                     // web.example is real.example
    made.record(1, 300, "\1\2\3\4"s, 0xc000 | (12 + 17 + 12)); // which has that address
    made.record(1, 300, "\5\6\7\x08"s);                        // not ours: web.example is an alias
    auto const found = made.read(type::a);
    CHECK(found.status == status::answered);
    CHECK(found.values.size() == 1);
    CHECK(first(found) == "1.2.3.4");
    CHECK(found.name == "real.example");
    CHECK(found.ttl.count() == 30);
    CHECK(found.authenticated);
}

TEST_CASE("names are the same in either case, and a dot in a label is none between two", "[dns]") {
    packet made;
    made.head(0, 3).question(1);
    made.record(5, 30, "\4REAL\2a.\xc0\x10"s); // web.example is REAL.a\..example
    made.u8(4).raw("real").u8(2).raw("A.").u16(0xc010).u16(1).u16(1).u32(60).u16(4).raw("\1\2\3\4");
    made.u8(4).raw("real").u8(1).raw("a").u16(0xc010).u16(1).u16(1).u32(60).u16(4).raw(
        "\5\6\7\x08");
    auto const found = made.read(type::a);
    CHECK(found.name == "real.a\\..example");
    CHECK(found.values.size() == 1);
    CHECK(first(found) == "1.2.3.4");
}

TEST_CASE("nothing there is told from nobody there", "[dns]") {
    std::string const soa = "\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\x63"s;
    auto const no_data =
        packet().head(0, 0, 1).question(1).record(6, 60, soa, 0xc010).read(type::a);
    CHECK(no_data.status == status::no_data);
    CHECK(no_data.ttl.count() == 60); // the lesser of the SOA's ttl and its minimum
    auto const nobody =
        packet().head(3, 0, 1).question(1).record(6, 600, soa, 0xc010).read(type::a);
    CHECK(nobody.status == status::no_such_name);
    CHECK(nobody.ttl.count() == 99);
    CHECK(packet().head(3, 0).question(1).read(type::a).ttl.count() == 0); // no SOA: not to be kept
    CHECK(of(type::a, "\1\2\3\4").read(type::mx).status == status::no_data);
}

TEST_CASE("an RCODE is a failure, the extended ones too", "[dns]") {
    for (unsigned code : {1u, 2u, 4u, 6u, 15u})
        CHECK(packet().head(code, 0).question(1).read(type::a).why == errc::server_failure);
    CHECK(packet().head(5, 0).question(1).read(type::a).why == errc::refused);
    auto const bad_version =
        packet().head(0, 0, 0, 1).question(1).u8(0).u16(41).u16(1232).u32(0x01000000).u16(0);
    CHECK(bad_version.read(type::a).why == errc::server_failure);
}

TEST_CASE("what is cut off anywhere is no answer", "[dns]") {
    auto const whole = of(type::mx, "\0\x0a\4mail\xc0\x10"s);
    for (std::size_t size = 0; size < whole.bytes_.size(); ++size) {
        auto const found = parse_answer(bytes(whole.bytes_).first(size), "web.example", type::mx);
        CHECK(found.status == status::server_failure);
        CHECK(found.why == errc::bad_answer);
    }
}

TEST_CASE("names that run in circles, too far or past their record are refused", "[dns]") {
    auto const refused = [](type wanted, std::string const& data) {
        return of(wanted, data).read(wanted).why == errc::bad_answer;
    };
    CHECK(refused(type::ns, "\xc0\x29"s)); // to itself
    CHECK(refused(type::ns, "\xc0\xff"s)); // beyond the end
    CHECK(refused(type::ns, "\xc0"s));     // half a pointer
    CHECK(refused(type::ns, "\x40"
                            "a"s));    // a label of a kind that nobody uses
    CHECK(refused(type::ns, "\2ns"s)); // no end
    CHECK(refused(type::ns, "\0\0"s)); // bytes behind it
    CHECK(refused(type::a, "\1\2\3"s));
    CHECK(refused(type::a, "\1\2\3\4\5"s));
    CHECK(refused(type::txt, "\5abc"s));
    CHECK(refused(type::soa, "\0\0\0\0\0\1"s));
    CHECK(refused(type::tlsa, "\3\1"s));
    CHECK(refused(type::caa, "\0\7issue"s));
    std::string far; // 256 bytes and more, by labels of 63
    for (int i = 0; i < 4; ++i) far += "\x3f" + std::string(63, 'a');
    CHECK(refused(type::ns, far + '\0'));
    CHECK_FALSE(refused(type::ns, far.substr(0, 3 * 64) + "\x3d" + std::string(61, 'a') + '\0'));
}

TEST_CASE("aliases that lead in a circle are no answer", "[dns]") {
    packet made;
    made.head(0, 1).question(1).record(5, 30, "\xc0\x0c"s);
    CHECK(made.read(type::a).why == errc::bad_answer);
}

TEST_CASE("a question has the form of RFC 1035 and the end that c-ares looks for", "[dns]") {
    auto const query = [](std::string_view name, bool with_edns) {
        std::vector<unsigned char> made;
        append_query(made, 7, name, type::mx, with_edns);
        return made;
    };
    packet plain;
    plain.u16(7).u16(0x0120).u16(1).u16(0).u16(0).u16(0).question(15);
    CHECK(query("web.example.", false) == plain.bytes_);
    packet edns;
    edns.u16(7).u16(0x0120).u16(1).u16(0).u16(0).u16(1).question(15);
    edns.u8(0).u16(41).u16(1232).u32(0).u16(0);
    CHECK(query("web.example", true) == edns.bytes_);
}
