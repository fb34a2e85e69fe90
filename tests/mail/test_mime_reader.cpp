#include "test.hpp"

#include <trawl/error.hpp>
#include <trawl/mime.hpp>
#include <trawl/mime_part.hpp>

#include <random>

using namespace std::string_literals;
using namespace trawl::mime;

namespace {

/// Everything but the faults, in words.
std::string shown(part const& p) {
    std::string out = "(" + p.type;
    for (auto const& [name, value] : p.parameters) out += "; " + name + "=" + value;
    if (!p.disposition.empty()) out += " | " + p.disposition;
    for (auto const& [name, value] : p.disposition_parameters) out += "; " + name + "=" + value;
    for (auto const& [name, value] : p.fields) out += "\n" + name + ": " + value;
    out += "\n[" + p.body.bytes() + "]";
    for (auto const& child : p.parts) out += "\n" + shown(child);
    return out + ")";
}

/// A message that is written from what was read, by every way, reads as the same.
void check_rebuilt(std::string const& eml) {
    auto const tree = read(eml);
    INFO(eml);
    for (auto way : {transport::seven_bit, transport::eight_bit, transport::utf8})
        CHECK(shown(read(write(tree, way))) == shown(tree));
}

bool has_fault(part const& p, std::string_view words) {
    return std::any_of(p.faults.begin(), p.faults.end(),
                       [&](auto const& f) { return f.find(words) != std::string::npos; });
}

std::string nested(std::size_t depth) {
    std::string head, foot;
    for (std::size_t i = 0; i < depth; ++i) {
        auto const b = std::to_string(i);
        head += "Content-Type: multipart/mixed; boundary=b" + b + "\r\n\r\n--b" + b + "\r\n";
        foot = "\r\n--b" + b + "--\r\n" + foot;
    }
    return head + "\r\ndeep" + foot;
}

} // namespace

TEST_CASE("a message is read into its header and parts", "[mail]") {
    auto const tree = read("From: =?utf-8?q?Zo=C3=AB?= <zoe@b.example>\r\n"
                           "To: \"Ops, night\" <ops@b.example>,\r\n\tTeam: a@b.example;\r\n"
                           "Subject: =?iso-8859-1?q?gr=FC=DFe?= and\r\n =?utf-8?b?4oKs?=\r\n"
                           "MIME-Version: 1.0\r\n"
                           "Content-Type: multipart/mixed; boundary=\"x y\"\r\n\r\n"
                           "preamble\r\n--x y\r\n"
                           "Content-Type: text/plain; charset=iso-8859-1\r\n"
                           "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
                           "gr=FC=\r\n=DFe\r\n--x y  \r\n"
                           "Content-Disposition: attachment; filename*0*=utf-8''%e2%82%ac;\r\n"
                           " filename*1=\".bin\"\r\nContent-Transfer-Encoding: base64\r\n"
                           "Content-Type: application/octet-stream\r\n\r\nAAEC\r\n"
                           "--x y--\r\nepilogue\r\n");
    CHECK(tree.faults.empty());
    CHECK(tree.value("from") == "Zo\xc3\xab <zoe@b.example>");
    CHECK(tree.value("To") == "\"Ops, night\" <ops@b.example>, Team: a@b.example;");
    CHECK(tree.value("Subject") == "gr\xc3\xbc\xc3\x9f"
                                   "e and \xe2\x82\xac");
    REQUIRE(tree.parts.size() == 2);
    CHECK(tree.parts[0].body.bytes() == "gr\xfc\xdf"
                                        "e");
    CHECK(text_of(tree.parts[0]) == "gr\xc3\xbc\xc3\x9f"
                                    "e");
    CHECK(tree.parts[1].file_name() == "\xe2\x82\xac.bin");
    CHECK(tree.parts[1].body.bytes() == "\0\1\2"s);
}

TEST_CASE("what is wrong with a message is said and the rest is read", "[mail]") {
    auto const bare =
        read("Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo");
    REQUIRE(bare.parts.size() == 2);
    CHECK(bare.parts[0].body.bytes() == "one");
    CHECK(bare.parts[1].body.bytes() == "two");
    CHECK(has_fault(bare, "does not end"));

    auto const no_blank = read("Subject: x\r\nno field here\r\nmore\r\n");
    CHECK(no_blank.body.bytes() == "no field here\r\nmore\r\n");
    CHECK(has_fault(no_blank, "no empty line"));

    auto const wrong =
        read("Content-Type: multipart/mixed; boundary=b\r\n\r\n--c\r\n\r\none\r\n--c--\r\n");
    CHECK(wrong.type == "text/plain");
    CHECK(wrong.body.bytes() == "--c\r\n\r\none\r\n--c--\r\n");
    CHECK(has_fault(wrong, "without parts"));
    CHECK(has_fault(read("Content-Type: multipart/mixed\r\n\r\nx"), "without a boundary"));

    auto const odd = read("Subject: Zo\xeb\r\nX: Zo\xc3\xab\r\nContent-Type: nonsense\r\n"
                          "Content-Transfer-Encoding: x-uuencode\r\n\r\nx\r\n");
    CHECK(odd.value("Subject") == "Zo\xc3\xab");
    CHECK(odd.value("X") == "Zo\xc3\xab");
    CHECK(odd.type == "application/octet-stream");
    CHECK(odd.faults.size() == 2);

    auto const strange = read("Subject: =?x-none?q?a=20b?= =?utf-8?q?c?=\r\n"
                              "Content-Type: text/plain; charset=x-none\r\n\r\n\xff\r\n");
    CHECK(strange.value("Subject") == "=?x-none?q?a=20b?= c");
    CHECK(text_of(strange) == "\xff\n");
    CHECK(read("").fields.empty());
    CHECK(read("From x Mon\r\nSubject: y\r\n\r\n").value("Subject") == "y");
}

TEST_CASE("file names are found in every form that is in use", "[mail]") {
    auto const name = [](std::string const& parameters) {
        return std::string(
            read("Content-Disposition: attachment; " + parameters + "\r\n\r\n").file_name());
    };
    CHECK(name("filename=a.txt") == "a.txt");
    CHECK(name("FileName=\"a \\\"b\\\".txt\"") == "a \"b\".txt");
    CHECK(name("filename=my file.txt; size=3") == "my file.txt");
    CHECK(name("filename=\"=?utf-8?b?4oKs?=.txt\"") == "\xe2\x82\xac.txt");
    CHECK(name("filename=old; filename*=utf-8'en'%E2%82%AC") == "\xe2\x82\xac");
    CHECK(name("filename*1=b; filename*0=a; filename*2*=%63") == "abc");
    CHECK(name("filename*0=a; filename*2=c") == "a");
    CHECK(name("filename*=iso-8859-1''%E9") == "\xc3\xa9");
    CHECK(name("filename*=%zz%4") == "%zz%4");
    CHECK(name("filename=a%0d%0a") == "a%0d%0a");
    CHECK(name("filename*=utf-8''a%0d%0ab") == "a  b");
    CHECK(name("x=1 (c; d); filename = (y) \"a\" (z)") == "a");
}

TEST_CASE("what is read and written anew decodes to the same tree", "[mail]") {
    auto const multi = [](std::string const& parts) {
        return "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=\"=_\"\r\n\r\n" +
               parts;
    };
    for (
        std::string const& eml :
        {""s, "\r\n"s, "Subject:\r\n\r\n"s, "Subject: x\r\n\r\nno line end"s,
         "Content-Type: text/plain; charset=utf8\r\n\r\nZo\xc3\xab\n"s,
         "Content-Transfer-Encoding: base64\r\n\r\nDQo=\r\n"s,
         "Content-Transfer-Encoding: base64\r\n\r\nCg==\r\n"s,
         "From: \"a\\\"b\" <x@y>\r\nTo: =?utf-8?q?a=2C_b?= <c@d>\r\nCc: undisclosed-recipients:;\r\n\r\n"s,
         "To: =?utf-8?q?=C3=A9=2C?= <broken\r\n\r\n"s, "To: \xc3\xa9, <a@b>\r\n\r\n"s,
         "To: =?utf-8?q?Zo=C3=AB?=\r\n\r\n"s,
         "Message-ID: <" + std::string(300, 'x') + "@y>\r\nReferences: <a@b>\r\n <c@d>\r\n\r\n",
         "Subject: =?utf-8?q?_?=\r\nX-A: \t =?utf-8?q?a=0D=0AB=3A_c=00?= \r\n\r\n"s,
         multi("--=_\r\n\r\n\r\n--=_--\r\n"),
         multi("--=_\r\nX: y\r\n\r\na\r\n--=_\r\nContent-Type: message/rfc822\r\n\r\nSubject: "
               "in\r\n\r\nbody\r\n--=_--\r\n"),
         multi("--=_\r\nContent-Type: image/png; name=\"\xe2\x82\xac\"\r\n\r\nraw\xff\r\n--=_--"),
         multi("--=_\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: "
               "base64\r\n\r\nU3ViamVjdDogeA0KDQp5\r\n--=_--"),
         nested(20), nested(60)})
        check_rebuilt(eml);
}

TEST_CASE("nesting, parts and headers are read up to a limit", "[mail]") {
    limits few;
    few.depth = 3, few.parts = 5, few.header = 200, few.fields = 3;
    auto const deep = read(nested(6), few);
    auto const* inner = &deep;
    while (!inner->parts.empty()) inner = &inner->parts.front();
    CHECK(has_fault(*inner, "nested too deep"));
    CHECK(inner->body.bytes().find("deep") != std::string::npos);

    std::string many = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    for (int i = 0; i < 20; ++i) many += "--b\r\n\r\nx\r\n";
    CHECK(read(many + "--b--", few).parts.size() == 5);
    auto const wide = read("A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n e\r\n\r\nbody", few);
    CHECK(wide.fields.size() == 3);
    CHECK(wide.body.bytes() == "body");
    CHECK(has_fault(wide, "beyond the limit"));
    auto const big = read("A: 1\r\nB: " + std::string(500, 'x') + "\r\n y\r\n\r\nbody", few);
    CHECK(big.fields.size() == 1);
    CHECK(big.body.bytes() == "body");
}

TEST_CASE("the message that tutorials make is read for what it means and told what it lacks",
          "[mail]") {
    auto const tree = read("Content-Type: text/plain; charset=\"utf8\"\nMIME-Version: 1.0\n"
                           "Content-Transfer-Encoding: base64\nFrom: =?utf8?b?566h55CG5ZGY?=\n"
                           "To: =?utf8?b?5rWL6K+V?=\nSubject: "
                           "=?utf8?b?"
                           "566h55CG5ZGY566h55CG5ZGY5ZGY566h55CG5ZGY566h55CG5ZGY566h55CG5ZGY566h55C"
                           "G5ZGY566h55CG5ZGY?=\n\n5rWL6K+V\n");
    CHECK(tree.param("charset") == "utf-8");
    CHECK(tree.value("From") == "\xe7\xae\xa1\xe7\x90\x86\xe5\x91\x98");
    CHECK(text_of(tree) == "\xe6\xb5\x8b\xe8\xaf\x95");
    auto const again = write(tree, transport::seven_bit);
    CHECK(again.find("utf8") == std::string::npos);
    message letter;
    CHECK_THROWS_WITH(letter.from(tree.value("From")),
                      Catch::Matchers::Contains("a name without an address"));
}
