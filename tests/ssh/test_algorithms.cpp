#include "ssh/algorithms.hpp"

#include "ssh/fixture.hpp"

using namespace trawl;
using namespace trawl::test;
using names = std::vector<std::string>;

TEST_CASE("a list of algorithms is read as OpenSSH reads it", "[ssh][algorithms]") {
    auto const resolved = [](std::string_view wanted) {
        return ssh::detail::resolve_names(wanted, "a1,a2,b1");
    };
    CHECK(resolved("") == names{"a1", "a2", "b1"});
    CHECK(resolved("x,a2") == names{"x", "a2"});
    CHECK(resolved("+x,a2,y") == names{"a1", "a2", "b1", "x", "y"});
    CHECK(resolved("-a*") == names{"b1"});
    CHECK(resolved("-b1,zz") == names{"a1", "a2"});
    CHECK(resolved("^b1,x") == names{"b1", "x", "a1", "a2"});
    CHECK(resolved("-*").empty());
}

TEST_CASE("what the built-in lists name is supported, and what is not is told",
          "[ssh][algorithms]") {
    ssh::algorithms wanted;
    wanted.ciphers = "aes256-cbc,arcfour", wanted.macs = "+umac-64@openssh.com,hmac-sha1";
    wanted.key_exchanges = "^sntrup761x25519-sha512@openssh.com", wanted.host_keys = "-ssh-x";
    CHECK(ssh::unsupported_names(wanted) ==
          names{"sntrup761x25519-sha512@openssh.com", "arcfour", "umac-64@openssh.com"});
    ssh::algorithms extended{"+aes128-cbc", "+diffie-hellman-group14-sha1", "+hmac-sha1",
                             "+ssh-rsa"};
    CHECK(ssh::unsupported_names(extended).empty());
    auto how = good_options();
    how.algorithms = extended;
    CHECK(run_once(how, "echo x").out == "x\n");
}

TEST_CASE("each chosen algorithm is used, or none in common is one line", "[ssh][algorithms]") {
    sshd at("Ciphers aes256-gcm@openssh.com,aes192-ctr\nMACs hmac-sha2-512\nKexAlgorithms "
            "ecdh-sha2-nistp384,curve25519-sha256\nLogLevel DEBUG1");
    auto how = good_options(at);
    how.algorithms = {"aes192-ctr", "ecdh-sha2-nistp384", "hmac-sha2-512", "ssh-ed25519"};
    CHECK(run_once(how, "echo x").out == "x\n");
    auto const log = at.log();
    CHECK(log.find("kex: algorithm: ecdh-sha2-nistp384") != log.npos);
    CHECK(log.find("cipher: aes192-ctr MAC: hmac-sha2-512") != log.npos);

    auto const said = [&](ssh::algorithms wanted) {
        auto other = good_options(at);
        other.algorithms = std::move(wanted);
        auto const thrown = connect_failure(other);
        CHECK(thrown.code() == ssh::errc::key_exchange);
        CHECK(thrown.at() == ssh::phase::key_exchange);
        return thrown.said();
    };
    CHECK(
        said({.ciphers = "aes128-ctr"}) ==
        "no common cipher; the server has aes256-gcm@openssh.com,aes192-ctr; proposed aes128-ctr");
    CHECK(said({.ciphers = "aes192-ctr", .macs = "hmac-sha1"}).starts_with("no common MAC; "));
    CHECK(said({.key_exchanges = "diffie-hellman-group14-sha256"})
              .starts_with("no common key exchange; the server has ecdh-sha2-nistp384,"));
    CHECK(said({.host_keys = "rsa-sha2-512"}).starts_with("no common host key algorithm; "));
    CHECK(said({.ciphers = "arcfour,rot13"}) == "no cipher of \"arcfour,rot13\" is supported");
}

TEST_CASE("keys change while data flows, at either side's wish", "[ssh][algorithms]") {
    for (bool const ours : {true, false}) {
        INFO(ours);
        sshd at(ours ? "LogLevel DEBUG1" : "LogLevel DEBUG1\nRekeyLimit 1M");
        auto how = good_options(at);
        if (ours) how.rekey.bytes = 1 << 20;
        ssh::exec_options more;
        more.max_output = 16 << 20;
        auto const done = run_once(how, "head -c 12000000 /dev/zero | tr '\\0' 'x'", more);
        CHECK(done.exit_status == 0);
        CHECK(done.out == std::string(12'000'000, 'x'));
        more.input = std::string(8'000'000, 'y');
        auto const counted = run_once(how, "wc -c", more);
        CHECK(counted.out == "8000000\n");
        auto const log = at.log();
        std::size_t changes = 0;
        for (auto i = log.find("kex: algorithm"); i != log.npos;
             i = log.find("kex: algorithm", i + 1))
            ++changes;
        CHECK(changes >= 12); // of 2 sessions and some 20 MB
    }
}
