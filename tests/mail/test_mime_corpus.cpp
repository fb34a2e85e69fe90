// Messages of every kind that the builder knows, judged by programs that others wrote.
#include "judge.hpp"
#include "peers.hpp"
#include "test.hpp"

#include <trawl/mime.hpp>

#include <cstdlib>
#include <filesystem>
#include <iterator>

using namespace std::string_literals;
using namespace trawl::mime;
using trawl::test::output_of;
using trawl::test::temporary_folder;
using trawl::test::write_file;

namespace {

std::string const texts[] = {"",
                             "plain\n",
                             "Zo\xc3\xab gr\xc3\xbc\xc3\x9ft\n",
                             "\xe7\xae\xa1\xe7\x90\x86\n.\n..\nFrom x\n" + std::string(1200, 'w'),
                             "latin \xe9\n",
                             "\x1b[1mbold\x1b[0m = 2\n"};
std::string const names[] = {"a.txt", "my \"file\".bin",
                             "\xe2\x82\xac \xe7\xae\xa1\xe7\x90\x86.pdf",
                             std::string(150, 'n') + ".zip"};

/// Message number `i`: each bit group of it chooses one feature.
message made(std::size_t i) {
    message letter;
    letter.from("Zo\xc3\xab \"Ops\" <zoe@example.org>")
        .to("a@example.org, \"B, C\" <b@example.org>");
    letter.subject(i % 2 ? "plain words"
                         : "\xf0\x9f\x90\x9f " + std::string(120, 's') + " \xc3\xa9");
    letter.text(texts[i % std::size(texts)]);
    if (i & 1) letter.html("<p>" + texts[(i + 2) % std::size(texts)] + "<img src=\"cid:l@x\"></p>");
    if (i & 2) letter.embed("\x89PNG\0"s, "l@x", "logo.png");
    if (i & 4)
        letter.attach(std::string(i * 100, static_cast<char>(i)), names[i % 4],
                      "application/octet-stream");
    if (i & 8)
        letter.cc("Team: t@example.org;").sender("s@example.org").references("p@example.org");
    if (i & 16) {
        message inner;
        inner.from("in@example.org")
            .to("a@example.org")
            .subject("\xc3\xa9")
            .text("inner\n")
            .attach("\0"s, "z.bin");
        letter.attach(inner);
    }
    return letter;
}
constexpr std::size_t kinds = 96;

std::size_t leaves(part const& p) {
    if (p.parts.empty()) return 1;
    std::size_t all = 0;
    for (auto const& child : p.parts) all += leaves(child);
    return all;
}

struct corpus {
    temporary_folder folder;
    std::vector<std::filesystem::path> files;
    std::vector<part> trees;
    corpus() {
        for (std::size_t i = 0; i < kinds; ++i) {
            auto const way = i % 2 ? transport::eight_bit : transport::seven_bit;
            auto const first = made(i).serialize(way);
            // Half of them are what the reader and the writer make of the builder's message.
            auto const eml = i % 4 < 2 ? first : write(read(first), way);
            files.push_back(folder.path / (std::to_string(100 + i) + ".eml"));
            write_file(files.back(), eml);
            trees.push_back(read(eml));
        }
    }
};

bool is_there(char const* command) {
    return std::system(("command -v "s + command + " >/dev/null 2>&1").c_str()) == 0;
}

} // namespace

TEST_CASE("what is built reads back without a fault, and as the same when it is written anew",
          "[mail]") {
    for (std::size_t i = 0; i < kinds; ++i) {
        auto const tree = read(made(i).serialize());
        auto const check = [](auto const& self, part const& p) -> void {
            CHECK(p.faults.empty());
            for (auto const& child : p.parts) self(self, child);
        };
        check(check, tree);
        CHECK(leaves(read(write(tree, transport::seven_bit))) == leaves(tree));
        CHECK(leaves(made(i).tree()) == leaves(tree));
    }
}

TEST_CASE("Python's email finds no defect in a message of any kind", "[mail]") {
    corpus const all;
    write_file(all.folder.path / "judge.py", R"PY(
import sys, glob
from email import policy, message_from_bytes
for path in sorted(glob.glob(sys.argv[1] + '/*.eml')):
    raw = open(path, 'rb').read()
    leaves = 0
    for part in message_from_bytes(raw, policy=policy.default).walk():
        if part.defects: print('FAULT', path, part.defects)
        for name, value in part.items():
            if getattr(value, 'defects', ()): print('FAULT', path, name, value.defects)
        if not part.is_multipart(): leaves += 1; part.get_payload(decode=True)
    print(leaves)
)PY");
    std::string wanted;
    for (auto const& tree : all.trees) wanted += std::to_string(leaves(tree)) + "\n";
    CHECK(output_of("/usr/bin/python3 " + (all.folder.path / "judge.py").string() + " " +
                    all.folder.path.string() + " 2>&1") == wanted);
}

TEST_CASE("reformime sees the parts that were put in", "[mail]") {
    if (!is_there("reformime")) trawl::test::skip("needs reformime (package maildrop)");
    corpus const all;
    for (std::size_t i = 0; i < kinds; ++i) {
        auto const said = output_of("reformime -i < " + all.files[i].string() + " 2>&1");
        std::size_t found = 0;
        for (std::size_t at = 0; (at = said.find("content-type: ", at)) != std::string::npos;
             ++at) {
            auto const type = said.substr(at + 14, said.find('\n', at) - at - 14);
            found += !type.starts_with("multipart/") && type != "message/rfc822";
        }
        INFO(said);
        CHECK(found == leaves(all.trees[i]));
    }
}

TEST_CASE("munpack takes out the bytes that were attached", "[mail]") {
    if (!is_there("munpack")) trawl::test::skip("needs munpack (package mpack)");
    corpus const all;
    for (std::size_t i = 4; i < kinds; i = (i + 1) | 4) {
        auto const into = all.folder.path / "out";
        std::filesystem::create_directory(into);
        auto const said =
            output_of("munpack -q -f -C " + into.string() + " " + all.files[i].string() + " 2>&1");
        auto const wanted = std::string(i * 100, static_cast<char>(i));
        bool found = false;
        for (auto const& file : std::filesystem::directory_iterator(into))
            found |= trawl::test::read_file(file.path()) == wanted;
        INFO(said);
        CHECK(found);
        std::filesystem::remove_all(into);
    }
}
