#include "ssh/fixture.hpp"

#include "ssh/base64.hpp"

#include <trawl/offload_pool.hpp>
#include <trawl/ssh.hpp>
#include <trawl/task_group.hpp>

using namespace trawl;
using namespace trawl::test;
using verdict = ssh::host_keys::verdict;

namespace {

ssh::host_key key(std::string const& type, char fill) {
    auto const number = [](std::size_t n) { return std::string{0, 0, 0, static_cast<char>(n)}; };
    return {type, number(type.size()) + type + number(32) + std::string(32, fill)};
}

std::string line(std::string const& names, ssh::host_key const& k) {
    return names + " " + k.type + " " + ssh::detail::to_base64(k.blob) + "\n";
}

auto const ed_a = key("ssh-ed25519", 'a');
auto const ed_b = key("ssh-ed25519", 'b');
auto const ec_a = key("ecdsa-sha2-nistp256", 'a');
auto const rsa = key("ssh-rsa", 'r');

/// Keeps what is logged.
struct notes : observer {
    void log(severity, std::string_view where, std::string_view text) override {
        lines.push_back(std::string(where) + ": " + std::string(text));
    }
    std::vector<std::string> lines;
};

ssh::host_keys::answer remember(ssh::host_keys& index, std::string host, ssh::host_key k,
                                std::uint16_t port = 22) {
    ssh::host_keys::answer out;
    auto body = [&]() -> awaitable<> { out = co_await index.remember(host, port, k); };
    run(body);
    return out;
}

} // namespace

TEST_CASE("a key on record matches, an other one has changed, a stranger is unknown",
          "[ssh][host_keys]") {
    ssh::host_keys index;
    index.parse("# comment\n" + line("web,10.0.0.1", ed_a) + line("[db]:2222", ed_b), "FILE");
    CHECK(index.size() == 2);
    auto const match = index.check("web", 22, ed_a);
    CHECK(match.verdict == verdict::match);
    CHECK(match.place == "FILE:2");
    CHECK(index.check("10.0.0.1", 22, ed_a).verdict == verdict::match);
    auto const changed = index.check("WEB", 22, ed_b);
    CHECK(changed.verdict == verdict::changed);
    CHECK(changed.place == "FILE:2");
    REQUIRE(changed.on_record);
    CHECK(changed.on_record->fingerprint() == ed_a.fingerprint());
    CHECK(index.check("db", 2222, ed_b).verdict == verdict::match);
    CHECK(index.check("db", 22, ed_b).verdict == verdict::unknown);
    CHECK(index.check("web", 2222, ed_a).verdict == verdict::unknown);
    CHECK(index.check("other", 22, ed_a).verdict == verdict::unknown);
}

TEST_CASE("a host known by other types of key only counts as changed", "[ssh][host_keys]") {
    ssh::host_keys index;
    index.parse(line("web", rsa), "FILE");
    auto const answer = index.check("web", 22, ed_a);
    CHECK(answer.verdict == verdict::changed);
    REQUIRE(answer.on_record);
    CHECK(answer.on_record->type == "ssh-rsa");
}

TEST_CASE("with several keys any of them matches, and the one of the same type explains a change",
          "[ssh][host_keys]") {
    ssh::host_keys index;
    index.parse(line("web", rsa) + line("web", ed_a) + line("web", ec_a), "FILE");
    CHECK(index.check("web", 22, ec_a).verdict == verdict::match);
    CHECK(index.check("web", 22, ec_a).place == "FILE:3");
    auto const changed = index.check("web", 22, ed_b);
    CHECK(changed.verdict == verdict::changed);
    CHECK(changed.place == "FILE:2");
    CHECK(index.types("web", 22) ==
          std::vector<std::string>{"ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256"});
    CHECK(index.types("nobody", 22).empty());
}

TEST_CASE("a revoked key is refused even where another line vouches for it", "[ssh][host_keys]") {
    ssh::host_keys index;
    index.parse(line("web", ed_a) + "@revoked " + line("*", ed_a), "FILE");
    auto const answer = index.check("web", 22, ed_a);
    CHECK(answer.verdict == verdict::revoked);
    CHECK(answer.place == "FILE:2");
    CHECK(index.check("other", 22, ed_a).verdict == verdict::revoked);
    CHECK(index.check("other", 22, ed_b).verdict ==
          verdict::unknown); // revoking one key says nothing of others
    CHECK(index.types("other", 22).empty());
}

TEST_CASE("wildcards and negations apply, later lines join earlier answers", "[ssh][host_keys]") {
    ssh::host_keys index;
    index.parse(line("*.example,!bad.example", ed_a), "FILE");
    CHECK(index.check("good.example", 22, ed_a).verdict == verdict::match);
    CHECK(index.check("bad.example", 22, ed_a).verdict == verdict::unknown);
    index.parse(line("bad.example", ed_b) + line("good.*", ec_a), "SECOND");
    CHECK(index.check("bad.example", 22, ed_b).verdict == verdict::match);
    CHECK(index.check("good.example", 22, ec_a).place == "SECOND:2");
    CHECK(index.types("good.example", 22).size() == 2);
}

TEST_CASE("lines that cannot be used are reported with their number and skipped",
          "[ssh][host_keys]") {
    scratch folder;
    notes seen;
    auto const file = folder / "known_hosts";
    write_text(file, "web nonsense\n" + line("web", ed_a));
    ssh::host_keys index(ssh::host_keys::options{.file = file, .log = &seen});
    CHECK(index.size() == 1);
    REQUIRE(seen.lines.size() == 1);
    CHECK(seen.lines[0] ==
          "ssh known_hosts " + file.string() + ":1: not a known_hosts line, skipped");
}

TEST_CASE("a certificate authority is named where no key is on record, and vouches for none",
          "[ssh][host_keys]") {
    ssh::host_keys index;
    index.parse(line("@cert-authority *.example", ed_a) + line("web.example", ed_b), "FILE");
    auto const stranger = index.check("other.example", 22, ed_b);
    CHECK(stranger.verdict == verdict::unknown);
    CHECK(stranger.authority == "FILE:1");
    // Not even for a host that shows the authority's own key.
    CHECK(index.check("other.example", 22, ed_a).verdict == verdict::unknown);
    CHECK(index.types("other.example", 22).empty());
    auto const known = index.check("web.example", 22, ed_b);
    CHECK(known.verdict == verdict::match);
    CHECK(known.authority.empty());
    CHECK(index.check("web.example", 22, ed_a).verdict == verdict::changed);
    CHECK(index.check("elsewhere", 22, ed_b).authority.empty());
}

TEST_CASE("a missing file is empty and made private when the first key comes", "[ssh][host_keys]") {
    scratch folder;
    auto const file = folder / "new" / "known_hosts";
    ssh::host_keys index(ssh::host_keys::options{.file = file});
    CHECK(index.size() == 0);
    auto const answer = remember(index, "Web", ed_a, 2222);
    CHECK(answer.verdict == verdict::match);
    CHECK(answer.place == file.string() + ":1");
    CHECK(read_text(file) == line("[web]:2222", ed_a));
    struct stat status;
    REQUIRE(::stat(file.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    REQUIRE(::stat(file.parent_path().c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
}

TEST_CASE("a new key goes on a line of its own after a file without a last newline",
          "[ssh][host_keys]") {
    scratch folder;
    auto const file = folder / "known_hosts";
    auto const first = line("web", ed_a);
    write_text(file, first.substr(0, first.size() - 1));
    ssh::host_keys index(ssh::host_keys::options{.file = file});
    CHECK(remember(index, "db", ed_b).place == file.string() + ":2");
    CHECK(read_text(file) == first + line("db", ed_b));
}

TEST_CASE("the same key is written once, another one for the host is refused", "[ssh][host_keys]") {
    scratch folder;
    auto const file = folder / "known_hosts";
    ssh::host_keys index(ssh::host_keys::options{.file = file});
    CHECK(remember(index, "web", ed_a).verdict == verdict::match);
    CHECK(remember(index, "web", ed_a).verdict == verdict::match);
    CHECK(remember(index, "web", ed_b).verdict == verdict::changed);
    CHECK(read_text(file) == line("web", ed_a));
}

TEST_CASE("what another process appended meanwhile decides", "[ssh][host_keys]") {
    scratch folder;
    auto const file = folder / "known_hosts";
    ssh::host_keys mine(ssh::host_keys::options{.file = file});
    ssh::host_keys theirs(ssh::host_keys::options{.file = file});
    CHECK(remember(theirs, "web", ed_a).verdict == verdict::match);
    CHECK(remember(theirs, "db", ec_a).verdict == verdict::match);
    auto const answer = remember(mine, "web", ed_b);
    CHECK(answer.verdict == verdict::changed);
    CHECK(answer.place == file.string() + ":1");
    CHECK(mine.check("web", 22, ed_b).verdict == verdict::changed); // the provisional entry is gone
    CHECK(mine.check("web", 22, ed_a).verdict == verdict::match);
    CHECK(mine.check("db", 22, ec_a).verdict == verdict::match);
    CHECK(read_text(file) == line("web", ed_a) + line("db", ec_a));
    // A file that was replaced (ssh-keygen -R) is read from its beginning.
    write_text(folder / "other", line("gone", ed_a) + line("mail", ed_a));
    std::filesystem::rename(folder / "other", file);
    CHECK(remember(mine, "mail", ed_b).verdict == verdict::changed);
    CHECK(remember(mine, "new", ed_b).place == file.string() + ":3");
}

TEST_CASE("a file that cannot be written fails with its name, and the key stays unknown",
          "[ssh][host_keys]") {
    ssh::host_keys index(ssh::host_keys::options{.file = "/proc/trawl/known_hosts"});
    try {
        remember(index, "web", ed_a);
        FAIL("did not throw");
    } catch (error const& thrown) {
        CHECK(thrown.code() == ssh::errc::bad_known_hosts);
        CHECK(std::string(thrown.what()).find("/proc/trawl") != std::string::npos);
    }
    CHECK(index.check("web", 22, ed_a).verdict == verdict::unknown);
    CHECK(index.types("web", 22).empty());
}

TEST_CASE("a folder in the file's place cannot be read", "[ssh][host_keys]") {
    scratch folder;
    try {
        ssh::host_keys index(ssh::host_keys::options{.file = folder.path()});
        FAIL("did not throw");
    } catch (error const& thrown) {
        CHECK(thrown.code() == ssh::errc::bad_known_hosts);
    }
}

TEST_CASE("200 sessions that meet one host agree, and one line is written on the pool",
          "[ssh][host_keys]") {
    scratch folder;
    auto const file = folder / "known_hosts";
    offload_pool pool(offload_pool::options{.threads = 2});
    ssh::host_keys index(ssh::host_keys::options{.file = file, .blocking = &pool});
    int matches = 0, changes = 0;
    auto meet = [&](int i) -> awaitable<> {
        auto const answer = co_await index.remember("web", 22, i == 0 || i % 2 == 0 ? ed_a : ed_b);
        (answer.verdict == verdict::match ? matches : changes) += 1;
    };
    auto all = [&](task_group& group) -> awaitable<> {
        for (int i = 0; i < 200; ++i) group.spawn(meet(i));
        co_return;
    };
    auto body = [&]() -> awaitable<> { co_await with_group(all); };
    run(body);
    CHECK(matches == 100);
    CHECK(changes == 100);
    CHECK(read_text(file) == line("web", ed_a));
}

TEST_CASE("a hashed file of 10,000 lines answers, and its search leaves the loop free",
          "[ssh][host_keys]") {
    // One real salt for all lines would be found by luck; each has its own, as ssh-keygen -H makes
    // them.
    std::string text;
    for (int i = 0; i < 10'000; ++i) {
        auto salt = "salt" + std::to_string(i);
        salt.resize(20, '#');
        text += "|1|" + ssh::detail::to_base64(salt) + "|" +
                ssh::detail::to_base64(std::string(20, 'x')) + " " + line("", ed_a).substr(1);
    }
    ssh::host_keys index;
    index.parse(text, "FILE");
    CHECK(index.size() == 10'000);
    int turns = 0;
    bool searched = false;
    auto search = [&]() -> awaitable<> {
        co_await index.prepare("web", 22);
        searched = true;
    };
    auto count = [&]() -> awaitable<> {
        while (!searched) {
            ++turns;
            co_await yield();
        }
    };
    auto all = [&](task_group& group) -> awaitable<> {
        group.spawn(search());
        group.spawn(count());
        co_return;
    };
    auto body = [&]() -> awaitable<> { co_await with_group(all); };
    run(body);
    CHECK(turns >= 30);
    CHECK(index.check("web", 22, ed_a).verdict == verdict::unknown);
}

TEST_CASE("a host with a certificate is refused while only its authority is on record",
          "[ssh][host_keys]") {
    scratch keys;
    for (auto const* name : {"authority", "host"}) make_key(keys, name, "ed25519");
    run_program({"/usr/bin/ssh-keygen", "-q", "-s", (keys / "authority").string(), "-I", "test",
                 "-h", "-n", "127.0.0.1", (keys / "host.pub").string()},
                keys);
    auto const host = (keys / "host").string();
    sshd const at("HostKey " + host + "\nHostCertificate " + host + "-cert.pub");
    auto how = good_options(at);
    how.known = std::make_shared<ssh::host_keys>();
    how.known->parse("@cert-authority * " + read_text(keys / "authority.pub"), "known_hosts");
    auto const thrown = connect_failure(how);
    CHECK(thrown.code() == ssh::errc::host_key_unknown);
    INFO(thrown.what());
    CHECK(thrown.said().find("the @cert-authority at known_hosts:1 cannot vouch for it") !=
          std::string::npos);
    how.known->parse(known_hosts_line(at.port(), read_text(keys / "host.pub")), "known_hosts");
    CHECK(run_once(how, "echo in").out == "in\n");
}
