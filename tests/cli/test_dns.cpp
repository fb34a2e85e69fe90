#include "cli/scratch_folder.hpp"
#include "cli/verb_child.hpp"
#include "dns/name_server.hpp"
#include "icmp/namespaces.hpp"
#include "test.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace trawl;
using namespace std::chrono_literals;
using test::name_server;

namespace {

/// A process of ours, ended with its object.
class child {
public:
    explicit child(pid_t number) : number_(number) { REQUIRE(number >= 0); }
    child(child const&) = delete;
    child& operator=(child const&) = delete;
    bool has_ended() const {
        siginfo_t end{};
        return ::waitid(P_PID, static_cast<id_t>(number_), &end, WEXITED | WNOHANG | WNOWAIT) ==
                   0 &&
               end.si_pid != 0;
    }
    ~child() {
        ::kill(number_, SIGKILL);
        ::waitpid(number_, nullptr, 0);
    }

private:
    pid_t number_;
};

/// A scripted name server in a process of its own.
class served {
public:
    explicit served(name_server::script script) : process_(start(std::move(script))) {}
    std::string where() const { return "127.0.0.1:" + std::to_string(port_); }

private:
    pid_t start(name_server::script script) {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        auto const number = ::fork();
        if (number == 0) serve(script, ends[1]);
        REQUIRE(::read(ends[0], &port_, sizeof port_) == sizeof port_);
        ::close(ends[0]);
        ::close(ends[1]);
        return number;
    }

    [[noreturn]] static void serve(name_server::script script, int tell) {
        auto body = [&]() -> awaitable<> {
            auto executor = co_await asio::this_coro::executor;
            name_server server(executor, script);
            auto const port = server.port();
            if (::write(tell, &port, sizeof port) != sizeof port) ::_exit(1);
            auto running = [&](task_group& group) -> awaitable<> {
                server.start(group);
                co_await sleep_for(60s);
            };
            co_await with_group(running);
        };
        test::run(body, 60s);
        ::_exit(0);
    }

    std::uint16_t port_ = 0;
    child process_;
};

struct asked {
    int code = 0;
    std::string text;
    std::vector<boost::json::object> records;
    std::map<std::string, boost::json::object> by_name;
    boost::json::object const& summary() const { return records.back(); }
};

/// Runs `trawl dns WORDS...` in a child process.
asked dns(std::vector<std::string> words, bool json = true) {
    auto ended =
        test::run_verb("dns", cli::add_dns, std::move(words), {.json = json, .quiet = true});
    asked seen;
    seen.code = ended.code;
    seen.text = std::move(ended.out);
    std::istringstream lines(json ? seen.text : std::string());
    for (std::string line; std::getline(lines, line);) {
        auto record = boost::json::parse(line).as_object();
        if (auto const* name = record.if_contains("name"))
            seen.by_name[std::string(name->as_string())] = record;
        seen.records.push_back(std::move(record));
    }
    return seen;
}

std::optional<name_server::reply> by_name(name_server::query const& q) {
    if (q.name.starts_with("up"))
        return {{.records = {name_server::address(q.name, "10.0.0.7"),
                             name_server::address(q.name, "10.0.0.8")}}};
    if (q.name.ends_with("in-addr.arpa"))
        return {{.records = {{q.name, name_server::ptr, name_server::encode("h." + q.name)}}}};
    if (q.name.starts_with("gone")) return {{.rcode = 3}};
    if (q.name.starts_with("empty")) return name_server::reply{};
    if (q.name.starts_with("broken")) return {{.rcode = 2}};
    return std::nullopt;
}

} // namespace

TEST_CASE("dns accounts for every name", "[cli][dns]") {
    served const server(by_name);
    auto const seen = dns({"--server", server.where(), "-t", "0.05", "up[1-20].example",
                           "gone.example", "empty.example", "broken.example", "mute.example"});
    CHECK(seen.code == cli::some_failed);
    REQUIRE(seen.records.size() == 25);
    auto const& up = seen.by_name.at("up7.example");
    CHECK(up.at("type") == "answer");
    CHECK(up.at("record") == "A");
    CHECK(up.at("status") == "answered");
    CHECK(up.at("values") == boost::json::array{"10.0.0.7", "10.0.0.8"});
    CHECK(up.at("ttl") == 60);
    CHECK(up.at("elapsed").as_double() > 0);
    CHECK(seen.by_name.at("gone.example").at("status") == "no_such_name");
    CHECK(seen.by_name.at("empty.example").at("status") == "no_data");
    CHECK(seen.by_name.at("broken.example").at("status") == "server_failure");
    CHECK(seen.by_name.at("broken.example").at("ttl").is_null());
    CHECK(seen.by_name.at("mute.example").at("status") == "timed_out");
    auto const& end = seen.summary();
    CHECK(end.at("type") == "summary");
    CHECK(end.at("targets") == 24);
    CHECK(end.at("answered") == 20);
    for (auto one : {"no_such_name", "no_data", "server_failure", "timed_out"})
        CHECK(end.at(one) == 1);
    CHECK(end.at("not_asked") == 0);
    CHECK(end.at("exit") == cli::some_failed);
}

TEST_CASE("dns writes a line for each name", "[cli][dns]") {
    served const server(by_name);
    auto const seen =
        dns({"--server", server.where(), "-j", "1", "up.example", "gone.example"}, false);
    CHECK(seen.text == "up.example: 10.0.0.7, 10.0.0.8\ngone.example: no such name\n");
}

TEST_CASE("dns asks addresses for their names", "[cli][dns]") {
    served const server(by_name);
    auto const seen = dns({"--server", server.where(), "--reverse", "10.0.1.0/28"});
    CHECK(seen.code == cli::all_well);
    REQUIRE(seen.records.size() == 17);
    CHECK(seen.by_name.at("10.0.1.9").at("record") == "PTR");
    CHECK(seen.by_name.at("10.0.1.9").at("values") ==
          boost::json::array{"h.9.1.0.10.in-addr.arpa"});
}

TEST_CASE("dns tells that nobody was reached by its exit code", "[cli][dns]") {
    served const server([](name_server::query const&) { return std::nullopt; });
    auto const seen = dns({"--server", server.where(), "-t", "0.01", "--tries", "1", "a.example"});
    CHECK(seen.code == cli::nothing_reached);
    CHECK(dns({"--server", server.where(), "-t", "0.05", "--tries", "1", "--rate", "200", "-j", "1",
               "n[1-5].example"})
              .summary()
              .at("timed_out") == 5);
}

TEST_CASE("dns refuses what it cannot do", "[cli][dns]") {
    for (std::vector<std::string> words : {std::vector<std::string>{},
                                           {"--type", "ANY", "a.example"},
                                           {"10.0.0.1"},
                                           {"--reverse", "a.example"},
                                           {"--reverse", "--type", "MX", "10.0.0.1"},
                                           {"a.example:53"},
                                           {"a b..c"},
                                           {"--rate", "fast", "a.example"},
                                           {"--server", "nonsense", "a.example"}})
        CHECK(dns(words).code == cli::usage);
}

// ---- a real server ----

namespace {

/// NSD with two zones, in a folder of its own; nothing of the system's is read.
class nsd {
public:
    nsd() {
        // It ends at once when somebody has taken one of its ports (UDP and TCP) meanwhile.
        for (int starts = 5; starts > 0; --starts) {
            process_.emplace(start());
            if (answers()) return;
        }
        FAIL("nsd does not answer");
    }
    std::string where() const { return "127.0.0.1:" + std::to_string(port_); }
    std::filesystem::path names() const { return folder_ / "names"; }

private:
    static constexpr int hosts = 5000;

    bool answers() const {
        for (int left = 100; left > 0 && !process_->has_ended(); --left) {
            if (dns({"--server", where(), "-t", "0.2", "--tries", "1", "www.example"}).code == 0)
                return true;
            std::this_thread::sleep_for(50ms);
        }
        return false;
    }

    pid_t start() {
        if (::access("/usr/sbin/nsd", X_OK) != 0) test::skip("needs nsd");
        {
            asio::io_context io;
            asio::ip::udp::socket finder(io, {asio::ip::address_v4::loopback(), 0});
            port_ = finder.local_endpoint().port();
        }
        write_zone();
        auto const number = ::fork();
        if (number != 0) return number;
        auto const quiet = ::open("/dev/null", O_RDWR);
        for (int i : {0, 1, 2}) ::dup2(quiet, i);
        ::execl("/usr/sbin/nsd", "nsd", "-d", "-c", (folder_ / "nsd.conf").c_str(), nullptr);
        ::_exit(127);
    }

    void write_zone() const {
        auto const folder = folder_.path().string();
        std::ofstream(folder_ / "nsd.conf")
            << "server:\n ip-address: 127.0.0.1@" << port_ << "\n server-count: 1\n"
            << " username: \"\"\n chroot: \"\"\n database: \"\"\n rrl-ratelimit: 0\n zonesdir: \""
            << folder << "\"\n pidfile: \"" << folder << "/pid\"\n xfrdfile: \"" << folder
            << "/xfrd\"\n zonelistfile: \"" << folder << "/list\"\n xfrdir: \"" << folder
            << "\"\nremote-control:\n control-enable: no\nzone:\n name: example\n"
            << " zonefile: zone\n";
        std::ofstream zone(folder_ / "zone"), list(names());
        zone << "$ORIGIN example.\n$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 127.0.0.1\n"
                "@ MX 10 mail\nmail A 10.9.9.9\nmail AAAA 2001:db8::9\nwww CNAME mail\n"
                "@ CAA 0 issue \"ca.example\"\n_25._tcp.mail TLSA 3 1 1 abcd\n"
                "_sip._tcp SRV 1 2 5060 mail\n";
        zone << "long";
        for (int i = 0; i < 60; ++i) zone << " TXT \"" << std::string(100, 'x') << i << "\"\n";
        for (int i = 0; i < hosts; ++i) {
            zone << "n" << i << " A 10.1." << i / 256 << "." << i % 256 << "\n";
            list << "n" << i << ".example\n";
        }
    }

    test::scratch_folder folder_;
    std::uint16_t port_ = 0;
    std::optional<child> process_;
};

} // namespace

TEST_CASE("dns reads what NSD answers, of every type", "[cli][dns]") {
    nsd const server;
    auto const ask = [&](char const* type, char const* name) {
        auto const seen = dns({"--server", server.where(), "--type", type, name});
        CHECK(seen.code == cli::all_well);
        return seen.records.at(0).at("values").as_array();
    };
    CHECK(ask("MX", "example.") == boost::json::array{"10 mail.example"});
    CHECK(ask("soa", "example.") == boost::json::array{"ns.example h.example 1 2 3 4 5"});
    CHECK(ask("NS", "example.") == boost::json::array{"ns.example"});
    CHECK(ask("CAA", "example.") == boost::json::array{"0 issue \"ca.example\""});
    CHECK(ask("CNAME", "www.example") == boost::json::array{"mail.example"});
    CHECK(ask("A", "www.example") == boost::json::array{"10.9.9.9"});
    CHECK(ask("AAAA", "www.example") == boost::json::array{"2001:db8::9"});
    CHECK(ask("TLSA", "_25._tcp.mail.example") == boost::json::array{"3 1 1 abcd"});
    CHECK(ask("SRV", "_sip._tcp.example") == boost::json::array{"1 2 5060 mail.example"});
    CHECK(ask("TXT", "long.example").size() == 60); // over TCP
}

TEST_CASE("dns loses no name of thousands, however many are asked for at once", "[cli][dns]") {
    nsd const server;
    for (auto jobs : {"10", "1000", "5000"}) {
        auto const seen =
            dns({"--server", server.where(), "-j", jobs, "@" + server.names().string()});
        CHECK(seen.code == cli::all_well);
        CHECK(seen.summary().at("answered") == 5000);
    }
}

TEST_CASE("dns gets every answer though a third of the packets is lost", "[cli][dns]") {
    test::network_namespace const alone;
    nsd const server;
    auto const nft = [](std::string const& rule) {
        return std::system(("nft '" + rule + "' >/dev/null 2>&1").c_str()) == 0;
    };
    auto const port = server.where().substr(server.where().find(':') + 1);
    for (auto const& rule :
         {std::string("add table inet loss"),
          std::string("add chain inet loss in { type filter hook input priority 0; }"),
          "add rule inet loss in udp dport " + port + " numgen random mod 100 < 30 drop",
          "add rule inet loss in udp sport " + port + " numgen random mod 100 < 30 drop"})
        if (!nft(rule)) test::skip("nft cannot drop packets by chance");
    auto const seen = dns({"--server", server.where(), "@" + server.names().string()});
    CHECK(seen.code == cli::all_well);
    CHECK(seen.summary().at("answered") == 5000);
}
