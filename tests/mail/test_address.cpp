#include "mail/address.hpp"
#include "test.hpp"

#include <trawl/error.hpp>

using namespace std::string_literals;
using trawl::mime::mailbox;
using trawl::mime::parse_mailbox;
using trawl::mime::parse_mailboxes;

namespace {

std::error_code fault_of(std::string const& text) {
    try {
        (void)parse_mailboxes(text);
    } catch (trawl::error const& e) {
        CHECK(e.what() == std::string(e.what(), std::char_traits<char>::length(e.what())));
        CHECK(std::string_view(e.what()).find_first_of("\r\n") == std::string_view::npos);
        return e.code();
    }
    return {};
}

} // namespace

TEST_CASE("mailboxes of RFC 5322 are read", "[mail]") {
    struct {
        char const* text;
        mailbox wanted;
    } const cases[] = {
        {"a@b.example", {"", "a@b.example"}},
        {"  a@b.example  ", {"", "a@b.example"}},
        {"<a@b.example>", {"", "a@b.example"}},
        {"Bob <bob@b.example>", {"Bob", "bob@b.example"}},
        {"Bob  B.  Builder <bob@b.example>", {"Bob B. Builder", "bob@b.example"}},
        {"\"Ops, night\" <ops@b.example>", {"Ops, night", "ops@b.example"}},
        {"\"a \\\"b\\\" \\\\ c\" <ops@b.example>", {"a \"b\" \\ c", "ops@b.example"}},
        {"Zo\xc3\xab M\xc3\xbcller <zoe@b.example>", {"Zo\xc3\xab M\xc3\xbcller", "zoe@b.example"}},
        {"\xe7\xae\xa1\xe7\x90\x86\xe5\x91\x98 <root>",
         {"\xe7\xae\xa1\xe7\x90\x86\xe5\x91\x98", "root"}},
        {"root", {"", "root"}},
        {"(the) bob (nick) @ (at) b.example (there (nested))", {"", "bob@b.example"}},
        {"o'brien+x=y@b-c.example", {"", "o'brien+x=y@b-c.example"}},
        {"\"john doe\"@b.example", {"", "\"john doe\"@b.example"}},
        {"\"john.doe\"@b.example", {"", "john.doe@b.example"}},
        {"Q <\"a@b\"@c.example>", {"Q", "\"a@b\"@c.example"}},
        {"a@[127.0.0.1]", {"", "a@[127.0.0.1]"}},
        {"a@[IPv6:::1]", {"", "a@[IPv6:::1]"}},
        {"\"\" <a@b.example>", {"", "a@b.example"}},
    };
    for (auto const& [text, wanted] : cases) {
        INFO(text);
        auto const found = parse_mailbox(text);
        CHECK(found.name == wanted.name);
        CHECK(found.address == wanted.address);
    }
}

TEST_CASE("lists of mailboxes skip empty elements", "[mail]") {
    auto const found = parse_mailboxes(", a@b.example,, \"x, y\" <c@d.example> ,root,");
    REQUIRE(found.size() == 3);
    CHECK(found[1] == mailbox{"x, y", "c@d.example"});
    CHECK(found[2].address == "root");
}

TEST_CASE("what is no mailbox is refused with its place", "[mail]") {
    auto const long_local = std::string(65, 'x') + "@b.example";
    auto const long_label = "a@" + std::string(64, 'x') + ".example";
    std::string long_domain = "a@x";
    for (int i = 0; i < 130; ++i) long_domain += ".x";
    for (std::string const& text : {""s,
                                    " "s,
                                    ","s,
                                    "<>"s,
                                    "Bob <>"s,
                                    "@b.example"s,
                                    "a@"s,
                                    "a@b@c"s,
                                    "a b@c.example"s,
                                    "Bob Builder"s,
                                    "Bob <a@b.example"s,
                                    "a@b.example>"s,
                                    "Bob <a@b.example> x"s,
                                    "a..b@c.example"s,
                                    ".a@b.example"s,
                                    "a.@b.example"s,
                                    "a@.example"s,
                                    "a@b..c"s,
                                    "a@b."s,
                                    "a@-b.example"s,
                                    "a@b-.example"s,
                                    "a@b_[.example"s,
                                    "\"a@b.example"s,
                                    "a@[1.2.3.4"s,
                                    "a@[]"s,
                                    "a@[x y]"s,
                                    "(a@b.example"s,
                                    "<@relay:a@b.example>"s,
                                    "a\x01@b.example"s,
                                    "a@b.example c@d.example"s,
                                    "a;b"s,
                                    "a@b.example;"s,
                                    ": a@b.example;"s,
                                    "team: a@b.example"s,
                                    "team: x: a@b.example;;"s,
                                    "team: a@b.example; c@d.example"s,
                                    "\xe7\xae\xa1\xe7\x90\x86\xe5\x91\x98"s,
                                    "\"\"@b.example"s,
                                    "\"a\tb\"@c.example"s,
                                    "Bob\\ <a@b.example>"s,
                                    long_local,
                                    long_label,
                                    long_domain}) {
        INFO(text);
        CHECK(fault_of(text) == trawl::mime::errc::bad_address);
    }
    CHECK_THROWS_WITH(parse_mailbox("Bob <a b>"), Catch::Matchers::Contains("at byte 8"));
    CHECK_THROWS_WITH(parse_mailbox("a@b.example, c@d.example"),
                      Catch::Matchers::Contains("not several"));
}

TEST_CASE("groups are read, and what is read is written as it was", "[mail]") {
    using trawl::mime::group;
    auto const found = trawl::mime::parse_addresses(
        "Night Team: a@b.example, \"B, C\" <c@d.example>;, root, undisclosed-recipients:;");
    REQUIRE(found.size() == 3);
    CHECK(std::get<group>(found[0]) ==
          group{"Night Team", {{"", "a@b.example"}, {"B, C", "c@d.example"}}});
    CHECK(std::get<mailbox>(found[1]) == mailbox{"", "root"});
    CHECK(std::get<group>(found[2]) == group{"undisclosed-recipients", {}});
    CHECK(trawl::mime::mailboxes_of(found).size() == 3);
    auto const text = trawl::mime::to_string(found);
    CHECK(text ==
          "Night Team: a@b.example, \"B, C\" <c@d.example>;, root, undisclosed-recipients:;");
    CHECK(trawl::mime::parse_addresses(text) == found);
}

TEST_CASE("addresses beyond ASCII are addresses that SMTPUTF8 alone carries", "[mail]") {
    for (std::string const text : {"zo\xc3\xab@b.example", "a@b\xc3\xbc.example"}) {
        CHECK(parse_mailbox(text).address == text);
        CHECK_FALSE(trawl::mime::detail::address_fault(text).empty());
        CHECK(trawl::mime::detail::address_fault(text, true).empty());
    }
    CHECK_THROWS_WITH(parse_mailbox("\xe7\xae\xa1\xe7\x90\x86"),
                      Catch::Matchers::Contains("a name without an address"));
}

TEST_CASE("line breaks and NUL anywhere in an address are refused", "[mail]") {
    std::string const good = "\"Bob B\" <bob@b.example> (x), c@d.example";
    for (std::size_t at = 0; at <= good.size(); ++at)
        for (char evil : {'\r', '\n', '\0'}) {
            auto text = good;
            text.insert(at, 1, evil);
            CHECK(fault_of(text) == trawl::mime::errc::forbidden_character);
        }
}

TEST_CASE("every byte of an address flipped gives an address or a clean refusal", "[mail]") {
    std::string const good = "\"Bob \\\" B\" <bob.x@b.example>, (c) Zo\xc3\xab <r@[::1]>";
    for (std::size_t at = 0; at < good.size(); ++at)
        for (int bits = 1; bits < 256; ++bits) {
            auto text = good;
            text[at] = static_cast<char>(text[at] ^ bits);
            try {
                for (auto const& box : parse_mailboxes(text)) {
                    CHECK(trawl::mime::detail::address_fault(box.address, true).empty());
                    CHECK(box.address.find_first_of(std::string_view("\r\n\0<>", 5)) ==
                          std::string::npos);
                }
            } catch (trawl::error const& e) {
                CHECK((e.code().category() == trawl::mime::category()));
            }
        }
}
