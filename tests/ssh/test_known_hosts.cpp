#include "peers/sshd.hpp"

#include "ssh/base64.hpp"
#include "ssh/known_hosts.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

using namespace trawl::test;
using namespace trawl::ssh;
using namespace trawl::ssh::detail;

namespace {

// A key of RFC 8709's form: the type and 32 bytes, each with its length.
std::string blob(std::string const& type, char fill) {
    auto const number = [](std::size_t n) {
        return std::string{static_cast<char>(n >> 24), static_cast<char>(n >> 16),
                           static_cast<char>(n >> 8), static_cast<char>(n)};
    };
    return number(type.size()) + type + number(32) + std::string(32, fill);
}

std::string key_text(std::string const& type = "ssh-ed25519", char fill = 'a') {
    return type + " " + to_base64(blob(type, fill));
}

known_entry parsed(std::string const& line) {
    known_entry out;
    REQUIRE(parse_line(line, out) == line_kind::entry);
    return out;
}

bool applies(std::string const& names, std::string const& name) {
    return parsed(names + " " + key_text()).applies_to(name);
}

} // namespace

TEST_CASE("base64 is refused unless it is whole and of the alphabet", "[ssh][known_hosts]") {
    for (std::string const text : {"", "f", "fo", "foo", "foob", "fooba", "foobar", "\0\xff\x80"})
        CHECK(from_base64(to_base64(text)) == text);
    for (char const* text :
         {"Z", "Zm", "Zm9", "Zg=", "Z===", "====", "Zm9v ", " Zm9v", "Zm9v\nZm9v", "Zm-v", "Zm=v"})
        CHECK_FALSE(from_base64(text));
}

TEST_CASE("a fingerprint reads as ssh-keygen prints it", "[ssh][known_hosts]") {
    scratch folder;
    run_program({"/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "x", "-f",
                 (folder / "k").string()},
                folder);
    auto const log = folder / "print.log";
    int status = 0;
    ::waitpid(spawn({"/usr/bin/ssh-keygen", "-l", "-f", (folder / "k.pub").string()}, log), &status,
              0);
    auto const entry = parsed("host " + read_text(folder / "k.pub"));
    CHECK(read_text(log).find(" " + entry.key.fingerprint() + " ") != std::string::npos);
    CHECK(load_private_key(folder / "k").fingerprint() == entry.key.fingerprint());
    CHECK(load_private_key(folder / "k").type() == "ssh-ed25519");
}

TEST_CASE("a host is on record in lower case, with its port unless that is 22",
          "[ssh][known_hosts]") {
    CHECK(record_name("Web.Example", 22) == "web.example");
    CHECK(record_name("Web.Example", 2222) == "[web.example]:2222");
    CHECK(record_name("2001:DB8::1", 22) == "2001:db8::1");
    CHECK(record_name("2001:db8::1", 23) == "[2001:db8::1]:23");
}

TEST_CASE("wildcards match the whole name", "[ssh][known_hosts]") {
    CHECK(wildcard_match("web", "web"));
    CHECK_FALSE(wildcard_match("web", "web1"));
    CHECK_FALSE(wildcard_match("web1", "web"));
    CHECK(wildcard_match("*", ""));
    CHECK(wildcard_match("*", "anything"));
    CHECK(wildcard_match("*.example", "a.b.example"));
    CHECK_FALSE(wildcard_match("*.example", "example"));
    CHECK(wildcard_match("web?", "web1"));
    CHECK_FALSE(wildcard_match("web?", "web"));
    CHECK_FALSE(wildcard_match("web?", "web12"));
    CHECK(wildcard_match("a*b*c", "aXbbYc"));
    CHECK_FALSE(wildcard_match("a*b*c", "aXcYb"));
    CHECK(wildcard_match("**?**", "x"));
    CHECK_FALSE(wildcard_match("", "x"));
    CHECK(wildcard_match("[*]:2222", "[web]:2222"));
    CHECK_FALSE(wildcard_match(std::string(40, '*') + "x", std::string(2000, 'a')));
}

TEST_CASE("a line names hosts by list, wildcard and negation", "[ssh][known_hosts]") {
    CHECK(applies("web,10.0.0.1", "web"));
    CHECK(applies("web,10.0.0.1", "10.0.0.1"));
    CHECK_FALSE(applies("web,10.0.0.1", "web2"));
    CHECK(applies("WEB.Example", "web.example"));
    CHECK(applies("*.example,!bad.example", "good.example"));
    CHECK_FALSE(applies("*.example,!bad.example", "bad.example"));
    CHECK_FALSE(applies("!bad.example,*.example", "bad.example"));
    CHECK_FALSE(applies("!bad.example", "good.example"));
    CHECK(applies("[web]:2222", "[web]:2222"));
    CHECK_FALSE(applies("[web]:2222", "web"));
    CHECK_FALSE(applies("web", "[web]:2222"));
    CHECK(applies("web,,", "web"));
}

TEST_CASE("lines are told apart", "[ssh][known_hosts]") {
    known_entry into;
    auto const kind = [&](std::string const& line) { return parse_line(line, into); };
    CHECK(kind("") == line_kind::nothing);
    CHECK(kind("   \t ") == line_kind::nothing);
    CHECK(kind("# web ssh-ed25519 AAAA") == line_kind::nothing);
    CHECK(kind("  # indented") == line_kind::nothing);
    CHECK(kind("web " + key_text()) == line_kind::entry);
    CHECK(kind("\t web \t" + key_text() + "  a comment here \r") == line_kind::entry);
    CHECK(into.key.type == "ssh-ed25519");
    CHECK(into.key.blob == blob("ssh-ed25519", 'a'));
    CHECK_FALSE(into.revoked);
    CHECK(kind("@revoked * " + key_text()) == line_kind::entry);
    CHECK(into.revoked);
    CHECK_FALSE(into.authority);
    CHECK(kind("@cert-authority *.example " + key_text()) == line_kind::entry);
    CHECK(into.authority);
    CHECK_FALSE(into.revoked);
    CHECK(kind("@cert-authority *.example") == line_kind::bad);
    CHECK(kind("@unheard-of * " + key_text()) == line_kind::bad);
    CHECK(kind("web") == line_kind::bad);
    CHECK(kind("web ssh-ed25519") == line_kind::bad);
    CHECK(kind("web ssh-ed25519 !!!!") == line_kind::bad);
    CHECK(kind("web ssh-rsa " + to_base64(blob("ssh-ed25519", 'a'))) == line_kind::bad);
    CHECK(kind("web ssh-ed25519 AAAA") == line_kind::bad);
    CHECK(kind("web ssh-ed25519 /////w==") == line_kind::bad);
    CHECK(kind(", " + key_text()) == line_kind::bad);
    CHECK(kind("! " + key_text()) == line_kind::bad);
    CHECK(kind("|2|AAAA|AAAA " + key_text()) == line_kind::bad);
    CHECK(kind("|1|AAAA " + key_text()) == line_kind::bad);
    CHECK(kind("|1|AAAA|AAAA " + key_text()) == line_kind::bad);
    CHECK(kind("|1||" + to_base64(std::string(20, 'x')) + " " + key_text()) == line_kind::bad);
    CHECK(kind("web 2048 35 1234567890") == line_kind::bad); // SSH 1
}

TEST_CASE("no prefix of a line is taken for more than it says", "[ssh][known_hosts]") {
    auto const line = "@revoked web,*.example " + key_text() + " comment";
    auto const needed = line.size() - std::string(" comment").size();
    known_entry into;
    for (std::size_t size = 0; size < needed; ++size) {
        auto const kind = parse_line(line.substr(0, size), into);
        INFO(line.substr(0, size));
        CHECK(kind != line_kind::entry);
    }
}

TEST_CASE("the resumed HMAC agrees with OpenSSL's for every length of salt and name",
          "[ssh][known_hosts]") {
    for (std::size_t salt_size : {1u, 19u, 20u, 63u, 64u, 65u, 200u}) {
        std::string const salt(salt_size, '\x5a');
        keyed_sha1 const mine(salt);
        for (std::size_t size = 0; size < 150; ++size) {
            std::string const name(size, static_cast<char>('a' + size % 26));
            unsigned char digest[EVP_MAX_MD_SIZE];
            unsigned length = 0;
            HMAC(EVP_sha1(), salt.data(), static_cast<int>(salt.size()),
                 reinterpret_cast<unsigned char const*>(name.data()), name.size(), digest, &length);
            auto const got = mine.digest(name);
            REQUIRE(length == got.size());
            REQUIRE(std::equal(got.begin(), got.end(), digest));
        }
    }
}

TEST_CASE("what ssh-keygen -H hashes is found again", "[ssh][known_hosts]") {
    scratch folder;
    auto const file = folder / "known_hosts";
    run_program({"/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f",
                 (folder / "k").string()},
                folder);
    auto key = read_text(folder / "k.pub");
    key.erase(key.find_last_not_of(" \n") + 1);
    write_text(file,
               "web.example " + key + "\n[10.0.0.7]:2222 " + key + "\n2001:db8::1 " + key + "\n");
    run_program({"/usr/bin/ssh-keygen", "-H", "-f", file.string()}, folder);
    auto const text = read_text(file);
    REQUIRE(text.find("web") == std::string::npos);

    std::vector<known_entry> entries;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) entries.push_back(parsed(line));
    REQUIRE(entries.size() == 3);
    std::string const names[] = {"web.example", "[10.0.0.7]:2222", "2001:db8::1"};
    for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t j = 0; j < 3; ++j) CHECK(entries[i].applies_to(names[j]) == (i == j));
    CHECK_FALSE(entries[0].plain());
}

TEST_CASE("a written line reads back as itself", "[ssh][known_hosts]") {
    host_key const key{"ssh-ed25519", blob("ssh-ed25519", 'z')};
    auto const entry = parsed(format_line("[web]:2222", key));
    CHECK(entry.applies_to("[web]:2222"));
    CHECK(entry.key.blob == key.blob);
    CHECK(entry.plain());
}
