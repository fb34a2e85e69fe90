#include "test.hpp"

#include "cli/doctor.hpp"

#include <trawl/task_group.hpp>

#include <asio/ip/udp.hpp>
#include <asio/use_awaitable.hpp>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

using namespace trawl::cli;
using namespace std::chrono_literals;

namespace {

/// A ~/.ssh of our own.
class folder {
public:
    folder() {
        char name[] = "/tmp/trawl-doctor-XXXXXX";
        path_ = ::mkdtemp(name);
    }
    ~folder() { std::filesystem::remove_all(path_); }

    void put(std::string const& name, std::string const& text, unsigned mode) const {
        std::ofstream(path_ / name) << text;
        ::chmod((path_ / name).c_str(), mode);
    }
    std::filesystem::path const& path() const { return path_; }

private:
    std::filesystem::path path_;
};

std::string const key = "-----BEGIN OPENSSH PRIVATE KEY-----\n";

/// Answers one query with `rcode` (RFC 1035 §4.1.1) and its own question; -1: stays silent.
trawl::awaitable<> name_server(asio::ip::udp::socket& socket, int rcode) {
    for (;;) {
        char packet[512];
        asio::ip::udp::endpoint from;
        auto const size =
            co_await socket.async_receive_from(asio::buffer(packet), from, asio::use_awaitable);
        if (rcode < 0 || size < 12) continue;
        packet[2] = static_cast<char>(0x81);
        packet[3] = static_cast<char>(0x80 | rcode);
        packet[11] = 0; // no additional record
        co_await socket.async_send_to(asio::buffer(packet, size), from, asio::use_awaitable);
    }
}

doctor::finding ask(int rcode) {
    doctor::finding seen;
    auto body = [&]() -> trawl::awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        asio::ip::udp::socket socket(executor, {asio::ip::address_v4::loopback(), 0});
        trawl::dns::resolver::options where;
        where.servers.push_back("127.0.0.1:" + std::to_string(socket.local_endpoint().port()));
        where.deadline = 300ms;
        auto scope = [&](trawl::task_group& group) -> trawl::awaitable<> {
            group.spawn_background(name_server(socket, rcode));
            seen = co_await doctor::name_servers(where);
        };
        co_await trawl::with_group(scope);
    };
    trawl::test::run(body);
    return seen;
}

} // namespace

TEST_CASE("one way to ping is enough, and both are reported", "[cli][doctor]") {
    auto const both = doctor::pinging(0, "0\t2147483647\n", {1000}, "/x/trawl");
    REQUIRE(both.size() == 2);
    CHECK((both[0].ok && both[1].ok));
    CHECK((both[0].repair.empty() && both[1].repair.empty()));

    auto const raw_only = doctor::pinging(0, "1\t0\n", {0, 1000}, "/x/trawl");
    CHECK((raw_only[0].ok && raw_only[1].ok));
    CHECK(raw_only[1].detail.find("not needed") != std::string::npos);

    auto const unprivileged = doctor::pinging(EPERM, "100 1000", {5, 1000}, "/x/trawl");
    CHECK((unprivileged[0].ok && unprivileged[1].ok));
    CHECK(unprivileged[0].repair == "sudo setcap cap_net_raw+ep '/x/trawl'");
}

TEST_CASE("no way to ping is two problems, each with its command", "[cli][doctor]") {
    auto const none = doctor::pinging(EPERM, "100 999", {99, 1000}, "/it's/trawl");
    REQUIRE(none.size() == 2);
    CHECK_FALSE(none[0].ok);
    CHECK_FALSE(none[1].ok);
    CHECK(none[0].detail == "Operation not permitted");
    CHECK(none[0].repair == "sudo setcap cap_net_raw+ep '/it'\\''s/trawl'");
    CHECK(none[1].repair.find("sysctl -w net.ipv4.ping_group_range=") != std::string::npos);
    CHECK_FALSE(doctor::pinging(EPERM, "", {0}, "trawl")[1].ok); // the kernel does not tell
}

TEST_CASE("few file descriptors are a problem", "[cli][doctor]") {
    CHECK(doctor::descriptors(4096).ok);
    CHECK(doctor::descriptors(~std::uint64_t(0)).detail == "no limit");
    auto const few = doctor::descriptors(1024);
    CHECK_FALSE(few.ok);
    CHECK(few.repair.find("nofile") != std::string::npos);
}

TEST_CASE("a clock that nobody keeps, or that is years behind, is a problem", "[cli][doctor]") {
    CHECK(doctor::clock(true, 0.01, 1'800'000'000).ok);
    CHECK_FALSE(doctor::clock(false, 16, 1'800'000'000).ok);
    CHECK_FALSE(doctor::clock(true, 0, 86'400).ok);
    CHECK(doctor::clock(true, 0, 86'400).repair == "sudo timedatectl set-ntp true");
}

TEST_CASE("private keys that others can read are a problem that names them", "[cli][doctor]") {
    folder const ssh;
    CHECK(doctor::keys(ssh.path() / "missing").ok);
    CHECK(doctor::keys(ssh.path()).repair == "ssh-keygen -t ed25519");
    ssh.put("id_ed25519", key, 0600);
    ssh.put("id_ed25519.pub", "ssh-ed25519 AAAA", 0644);
    ssh.put("id_notes", "no key", 0644);
    auto const good = doctor::keys(ssh.path());
    CHECK(good.ok);
    CHECK(good.detail.rfind("1 in ", 0) == 0);
    CHECK(good.repair.empty());

    ssh.put("id_rsa", key, 0640);
    auto const open = doctor::keys(ssh.path());
    CHECK_FALSE(open.ok);
    CHECK(open.repair == "chmod 600 '" + (ssh.path() / "id_rsa").string() + "'");

    ::chmod(ssh.path().c_str(), 0770);
    CHECK(doctor::keys(ssh.path()).repair == "chmod 700 '" + ssh.path().string() + "'");
}

TEST_CASE("a known_hosts file that others can write is a problem", "[cli][doctor]") {
    folder const ssh;
    auto const none = doctor::known_hosts(ssh.path());
    CHECK(none.ok);
    CHECK(none.repair.rfind("ssh-keyscan", 0) == 0);
    std::string const entry =
        "a.example ssh-ed25519 "
        "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n";
    ssh.put("known_hosts", entry, 0644);
    auto const good = doctor::known_hosts(ssh.path());
    CHECK(good.ok);
    CHECK(good.detail.rfind("1 entries in ", 0) == 0);
    ssh.put("known_hosts", entry, 0666);
    auto const open = doctor::known_hosts(ssh.path());
    CHECK_FALSE(open.ok);
    CHECK(open.repair == "chmod 600 '" + (ssh.path() / "known_hosts").string() + "'");
}

TEST_CASE("a name server that denies an impossible name is well", "[cli][doctor]") {
    auto const seen = ask(3); // NXDOMAIN
    CHECK(seen.ok);
    CHECK(seen.detail == "answers");
}

TEST_CASE("a name server that is silent or refuses is a problem", "[cli][doctor]") {
    for (int const rcode : {-1, 2, 5}) {
        auto const seen = ask(rcode);
        INFO("rcode " << rcode << ": " << seen.detail);
        CHECK_FALSE(seen.ok);
        CHECK_FALSE(seen.repair.empty());
    }
}
