#include "test.hpp"

#include <trawl/error.hpp>
#include <trawl/targets.hpp>

#include <net/if.h>

#include <string>
#include <vector>

namespace targets = trawl::targets;

namespace {

std::vector<std::string> all(targets::list const& list) {
    std::vector<std::string> found;
    targets::cursor walk(list);
    while (auto target = walk.next()) found.push_back(target->to_string());
    return found;
}

std::vector<std::string> all(std::string_view text) { return all(targets::parse(text)); }

using texts = std::vector<std::string>;

std::string first_and_last(std::string_view text) {
    auto const list = targets::parse(text);
    return std::to_string(list.size()) + ": " + list.at(0).to_string() + " " +
           list.at(list.size() - 1).to_string();
}

std::string complaint(std::string_view text, targets::origin from = {}) {
    try {
        targets::list().add(text, from);
    } catch (trawl::error const& e) {
        CHECK(e.code() == trawl::errc::bad_target);
        return e.where() + ": " + e.said();
    }
    return "accepted";
}

} // namespace

TEST_CASE("an address is itself", "[targets]") {
    CHECK(all("10.0.0.7") == texts{"10.0.0.7"});
    CHECK(all("0.0.0.0 255.255.255.255") == texts{"0.0.0.0", "255.255.255.255"});
    CHECK(all("2001:DB8::7") == texts{"2001:db8::7"});
    CHECK(all("[::1]") == texts{"::1"});
    CHECK(all("::ffff:10.0.0.1") == texts{"::ffff:10.0.0.1"});
    auto const one = targets::parse("10.0.0.7").at(0);
    CHECK(one.address == asio::ip::make_address("10.0.0.7"));
    CHECK(one.name.empty());
    CHECK_FALSE(one.port);
}

TEST_CASE("a CIDR is every address of its network", "[targets]") {
    CHECK(first_and_last("127.0.0.0/24") == "256: 127.0.0.0 127.0.0.255");
    CHECK(first_and_last("127.0.0.0/16") == "65536: 127.0.0.0 127.0.255.255");
    CHECK(first_and_last("10.1.2.3/8") == "16777216: 10.0.0.0 10.255.255.255");
    CHECK(first_and_last("10.1.2.3/32") == "1: 10.1.2.3 10.1.2.3");
    CHECK(first_and_last("10.1.2.3/31") == "2: 10.1.2.2 10.1.2.3");
    CHECK(first_and_last("0.0.0.0/0") == "4294967296: 0.0.0.0 255.255.255.255");
    CHECK(first_and_last("2001:db8::/120") == "256: 2001:db8:: 2001:db8::ff");
    CHECK(first_and_last("2001:db8::1/128") == "1: 2001:db8::1 2001:db8::1");
    CHECK(first_and_last("2001:db8::1:0/65") == "9223372036854775808: 2001:db8:: "
                                                "2001:db8::7fff:ffff:ffff:ffff");
}

TEST_CASE("a range has both its ends", "[targets]") {
    CHECK(all("10.0.0.9-11") == texts{"10.0.0.9", "10.0.0.10", "10.0.0.11"});
    CHECK(all("10.0.0.9-9") == texts{"10.0.0.9"});
    CHECK(first_and_last("10.0.0.1-254") == "254: 10.0.0.1 10.0.0.254");
    CHECK(first_and_last("10.0.0.1-10.0.3.9") == "777: 10.0.0.1 10.0.3.9");
    CHECK(all("10.0.0.255-10.0.1.0") == texts{"10.0.0.255", "10.0.1.0"});
    CHECK(first_and_last("2001:db8::1-ff") == "255: 2001:db8::1 2001:db8::ff");
    CHECK(first_and_last("2001:db8::1-2001:db8::1:0") == "65536: 2001:db8::1 2001:db8::1:0");
    CHECK(first_and_last("[::1-f]:22") == "15: [::1]:22 [::f]:22");
}

TEST_CASE("a host list keeps zero padding and the order of its brackets", "[targets]") {
    CHECK(all("node[01-03,25].example") ==
          texts{"node01.example", "node02.example", "node03.example", "node25.example"});
    CHECK(all("n[8-11]") == texts{"n8", "n9", "n10", "n11"});
    CHECK(all("n[08-11]") == texts{"n08", "n09", "n10", "n11"});
    CHECK(all("n[098-101]") == texts{"n098", "n099", "n100", "n101"});
    CHECK(all("n[3,1-2]") == texts{"n3", "n1", "n2"});
    CHECK(all("n[1,01,001,1]") == texts{"n1", "n01", "n001"});
    CHECK(all("n[1-5,3-7]") == texts{"n1", "n2", "n3", "n4", "n5", "n6", "n7"});
    CHECK(all("n[0]x") == texts{"n0x"});
    CHECK(all("r[1-2]-[01-02].x") == texts{"r1-01.x", "r1-02.x", "r2-01.x", "r2-02.x"});
    CHECK(all("[1-2]a[7]b[5-6]") == texts{"1a7b5", "1a7b6", "2a7b5", "2a7b6"});
    CHECK(all("r[9-10][01-02]") == texts{"r901", "r902", "r1001", "r1002"});
    CHECK(all("n[1-2]:2222") == texts{"n1:2222", "n2:2222"});
    CHECK(targets::parse("n[000000000000000001-999999999999999999]").size() ==
          999'999'999'999'999'999);
}

TEST_CASE("a name is kept as it was written", "[targets]") {
    for (auto name :
         {"localhost", "web.example", "Web.Example.", "xn--bcher-kva.example", "_dmarc.a",
          "3com.com", "1.2.3.4.in-addr.arpa", "a-b", "10-0-0-1.example", "n1e"})
        CHECK(all(name) == texts{name});
    CHECK(targets::parse("web.example").has_names());
    CHECK_FALSE(targets::parse("10.0.0.0/8").has_names());
    CHECK(targets::parse("10.0.0.1, 10.0.0.0/30:22").has_ports());
    CHECK(targets::parse("web.example:8080").has_ports());
    CHECK_FALSE(targets::parse("10.0.0.0/8, web.example").has_ports());
    CHECK_FALSE(targets::list().has_ports());
    auto const host = targets::parse("web.example:8080").at(0);
    CHECK_FALSE(host.address);
    CHECK(host.name == "web.example");
    CHECK(host.port == 8080);
}

TEST_CASE("every form takes a port", "[targets]") {
    CHECK(all("10.0.0.1:22") == texts{"10.0.0.1:22"});
    CHECK(all("10.0.0.0/31:22") == texts{"10.0.0.0:22", "10.0.0.1:22"});
    CHECK(all("10.0.0.1-2:65535") == texts{"10.0.0.1:65535", "10.0.0.2:65535"});
    CHECK(all("[2001:db8::7]:1") == texts{"[2001:db8::7]:1"});
    CHECK(all("[2001:db8::/127]:22") == texts{"[2001:db8::]:22", "[2001:db8::1]:22"});
    CHECK(all("web:22") == texts{"web:22"});
    CHECK(targets::parse("web").at(0).host() == "web");
    CHECK(targets::parse("[::1]:22").at(0).host() == "::1");
}

TEST_CASE("a zone belongs to one address", "[targets]") {
    auto const index = std::to_string(if_nametoindex("lo"));
    auto const named = targets::parse("fe80::1%lo").at(0);
    REQUIRE(named.address);
    CHECK(std::to_string(named.address->to_v6().scope_id()) == index);
    CHECK(targets::parse("[fe80::1%" + index + "]:22").at(0).address == named.address);
    CHECK(targets::parse("fe80::1%1 fe80::1%2 fe80::1").size() == 3);
    CHECK(targets::list().exclude("fe80::1").add("fe80::1%1 fe80::1%2 fe80::2%1").size() == 1);
    CHECK(targets::list().add("fe80::1%1 fe80::1%2").exclude("fe80::1%2").size() == 1);
}

TEST_CASE("blanks and commas separate targets", "[targets]") {
    CHECK(all(" 10.0.0.1,10.0.0.2\t web\n,n[1,2]\r\n") ==
          texts{"10.0.0.1", "10.0.0.2", "web", "n1", "n2"});
    CHECK(targets::parse("").empty());
    CHECK(targets::parse(" , \n").empty());
    targets::list none;
    CHECK(none.empty());
    CHECK_FALSE(targets::cursor(none).next());
    CHECK_FALSE(targets::cursor(none, {.seed = 7}).next());
}

TEST_CASE("a bad target is named with its position and the reason", "[targets]") {
    struct {
        char const* text;
        int column;
        char const* why;
    } const bad[] = {
        {"10.0.0.256", 8, "an octet is at most 255"},
        {"256.0.0.1", 1, "an octet is at most 255"},
        {"10.0.0.99999999999999999999", 8, "an octet is at most 255"},
        {"10.0.0.01", 8, "an octet has a leading zero"},
        {"10.0.0", 7, "an IPv4 address has four octets"},
        {"10", 3, "an IPv4 address has four octets"},
        {"10.0.0.1.2", 9, "an octet is a number, not '.'"},
        {"10..0.1", 4, "an octet is missing"},
        {"10.0.0.", 8, "an octet is missing"},
        {"10.0.0.0/33", 10, "a prefix length is at most 32"},
        {"10.0.0.0/", 10, "a prefix length is missing"},
        {"10.0.0.0/08", 10, "a prefix length has a leading zero"},
        {"10.0.0.0/255.0.0.0", 13, "a prefix length is a number, not '.'"},
        {"10.0.0.0/8/8", 11, "a prefix length is a number, not '/'"},
        {"10.0.0.0/8-9", 11, "a prefix length is a number, not '-'"},
        {"10.0.0.9-8", 10, "the range ends before it begins"},
        {"10.0.0.9-10.0.0.8", 10, "the range ends before it begins"},
        {"10.0.0.9-", 10, "an octet is missing"},
        {"10.0.0.9-300", 10, "an octet is at most 255"},
        {"10.0.0.9-1.2", 13, "an IPv4 address has four octets"},
        {"10.0.0.1-2-3", 11, "an octet is a number, not '-'"},
        {"10.0.0.1:", 10, "a port is missing"},
        {"10.0.0.1:0", 10, "a port is at least 1"},
        {"10.0.0.1:65536", 10, "a port is at most 65535"},
        {"10.0.0.1:022", 10, "a port has a leading zero"},
        {"10.0.0.1:ssh", 10, "a port is a number, not 's'"},
        {"web:-1", 5, "a port is a number, not '-'"},
        {":22", 1, "a host is missing before the port"},
        {"::g", 3, "'g' is not part of an IPv6 address"},
        {"1::2::3", 1, "not an IPv6 address"},
        {"web:22:33", 1, "'w' is not part of an IPv6 address"},
        {"2001:db8::/129", 12, "a prefix length is at most 128"},
        {"2001:db8::/", 12, "a prefix length is missing"},
        {"2001:db8::9-8", 13, "the range ends before it begins"},
        {"2001:db8::9-12345", 13, "a range ends with an IPv6 address or its last group"},
        {"2001:db8::9-", 13, "a range ends with an IPv6 address or its last group"},
        {"2001:db8::9-x", 13, "a range ends with an IPv6 address or its last group"},
        {"fe80::1%", 9, "a zone is missing"},
        {"fe80::1%0", 9, "a zone is at least 1"},
        {"fe80::1%nosuch0", 9, "no such interface: \"nosuch0\""},
        {"[::1", 5, "']' is missing"},
        {"[::1]22", 6, "only :PORT may follow ']'"},
        {"[::1]:", 7, "a port is missing"},
        {"[::1]:x", 7, "a port is a number, not 'x'"},
        {"[10.0.0.1]:22", 4, "a bracket holds numbers, not '.'"},
        {"n[1-", 5, "']' is missing"},
        {"n[1", 4, "']' is missing"},
        {"n[]", 3, "a number is missing"},
        {"n[1,]", 5, "a number is missing"},
        {"n[,1]", 3, "a number is missing"},
        {"n[1-]", 5, "a number is missing"},
        {"n[-1]", 3, "a number is missing"},
        {"n[a-b]", 3, "a bracket holds numbers, not 'a'"},
        {"n[1-2-3]", 6, "a bracket holds numbers, not '-'"},
        {"n[5-3]", 5, "the range ends before it begins"},
        {"n[1-03]", 5, "zero padding of both ends of a range must agree"},
        {"n[1[2]]", 4, "a bracket holds numbers, not '['"},
        {"n]1[", 5, "']' is missing"},
        {"n]", 2, "']' is not part of a name"},
        {"n[1234567890123456789]", 3, "a number has at most 18 digits"},
        {"n[1-20][1-20]", 8, "brackets that touch need zero padding (01-20)"},
        {"n[1-20]5[1-20]", 9, "brackets that touch need zero padding (01-20)"},
        {"n[1-20][1-3][1-20]", 13, "brackets that touch need zero padding (01-20)"},
        {"n[1-999999999]a[1-999999999]a[1-999]", 30, "more than 2^64 names"},
        {"[1-4].[1-4]", 1, "neither an address nor a name"},
        {"-", 1, "a label begins with '-'"},
        {"-a", 1, "a label begins with '-'"},
        {"a-", 2, "a label ends with '-'"},
        {"a.-b", 3, "a label begins with '-'"},
        {"a-.b", 2, "a label ends with '-'"},
        {"n[1-2]-", 7, "a label ends with '-'"},
        {"a..b", 3, "a label is missing before '.'"},
        {".a", 1, "a label is missing before '.'"},
        {".", 1, "a label is missing before '.'"},
        {"*.example", 1, "'*' is not part of a name"},
        {"user@host", 5, "'@' is not part of a name"},
        {"@file", 1, "'@' is not part of a name"},
        {"web/24", 4, "'/' is not part of a name"},
        {"a%b", 2, "'%' is not part of a name"},
        {"b\x01", 2, "byte 0x01 is not part of a name"},
        {"b\xc3\xbc", 2, "a name is ASCII: write an international name as xn--..."},
    };
    for (auto const& [text, column, why] : bad) {
        INFO(text);
        auto const said = complaint(text);
        CHECK(said.starts_with("column " + std::to_string(column) + ": \""));
        CHECK(said.ends_with(std::string("\": ") + why));
    }
    CHECK(complaint("b\x01\n") == R"(column 2: "b\x01": byte 0x01 is not part of a name)");
    CHECK(complaint("10.0.0.1, 10.0.0.300") ==
          R"(column 18: "10.0.0.300": an octet is at most 255)");
}

TEST_CASE("a NUL inside a target is refused", "[targets]") {
    using namespace std::string_view_literals;
    CHECK(complaint("::1\0"sv) ==
          R"(column 4: "::1\x00": byte 0x00 is not part of an IPv6 address)");
    CHECK(complaint("fe80::1%lo\0x"sv).starts_with("column 9: "));
    CHECK(complaint("web\0x"sv) == R"(column 4: "web\x00x": byte 0x00 is not part of a name)");
    CHECK(complaint("10.0.0.1\0"sv) ==
          R"(column 9: "10.0.0.1\x00": byte 0x00 is not part of a name)");
}

TEST_CASE("the position tells argument and column or file, line and column", "[targets]") {
    CHECK(complaint("10.0.0.300", {"argument 2"}) ==
          R"(argument 2, column 8: "10.0.0.300": an octet is at most 255)");
    CHECK(complaint("10.0.0.300", {"hosts.txt", 7}) ==
          R"(hosts.txt:7:8: "10.0.0.300": an octet is at most 255)");
    CHECK(complaint("10.0.0.300", {"hosts.txt", 7, 5}) ==
          R"(hosts.txt:7:12: "10.0.0.300": an octet is at most 255)");
}

TEST_CASE("names are as long as RFC 1035 lets them be", "[targets]") {
    std::string const label(63, 'a');
    CHECK(all(label).size() == 1);
    CHECK(complaint(label + "a").ends_with("a label has at most 63 characters"));
    auto const longest = label + "." + label + "." + label + "." + std::string(61, 'b');
    CHECK(longest.size() == 253);
    CHECK(all(longest).size() == 1);
    CHECK(all(longest + ".").size() == 1);
    CHECK(complaint(longest + "b").ends_with("a name has at most 253 characters"));
    CHECK(complaint(std::string(61, 'a') + "[1-100]").starts_with("column 1: "));
    CHECK(complaint(std::string(100, '!')).find("!...\"") != std::string::npos);
}

TEST_CASE("a refused text leaves the list as it was", "[targets]") {
    targets::list list;
    list.add("10.0.0.0/30");
    CHECK_THROWS_AS(list.add("10.1.0.0/16 bad/"), trawl::error);
    CHECK_THROWS_AS(list.exclude("10.0.0.1 bad/"), trawl::error);
    CHECK(list.size() == 4);
    // Two host lists too large to be compared: the text before the refused word must not stay
    // either.
    list.add("a[1-9999]b[1-9999]");
    auto const before = list.size();
    CHECK_THROWS_AS(list.add("web a[1-99999]b[1-9999]"), trawl::error);
    CHECK(list.size() == before);
    CHECK(complaint("a[1-9999]b[1-9999] a[1-99999]b[1-9999]") ==
          "column 20: \"a[1-99999]b[1-9999]\": may repeat names of another large host list: list "
          "them once");
}
