#include "descriptors.hpp"
#include "dns/lookups.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <stdlib.h>
#include <unistd.h>

using namespace trawl::test;
using asio::ip::make_address;
using trawl::awaitable;
using trawl::task_group;
using trawl::dns::errc;

namespace {

class file {
public:
    explicit file(std::string const& content) {
        std::string name = (std::filesystem::temp_directory_path() / "trawl-dns-XXXXXX").string();
        auto const descriptor = mkstemp(name.data());
        REQUIRE(descriptor >= 0);
        close(descriptor);
        path = name;
        std::ofstream(path) << content;
    }
    ~file() { std::filesystem::remove(path); }
    std::filesystem::path path;
};

} // namespace

TEST_CASE("a name has the addresses of both families, IPv6 first", "[dns]") {
    auto const script = [](query const& q) -> answer {
        if (q.type == name_server::a)
            return {{.records = {name_server::address(q.name, "10.0.0.7"),
                                 name_server::address(q.name, "10.0.0.8")}}};
        return {{.records = {name_server::address(q.name, "2001:db8::7")}}};
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        resolver dns(executor, asking(server));
        co_await expect(dns.addresses("web.example"), "2001:db8::7 10.0.0.7 10.0.0.8");
        CHECK(server.asked().size() == 2);
        CHECK(dns.in_flight() == 0);
    });
}

TEST_CASE("one family is enough", "[dns]") {
    auto const script = [](query const& q) -> answer {
        bool const wanted =
            q.name.starts_with("v4") ? q.type == name_server::a : q.type == name_server::aaaa;
        if (!wanted) return name_server::reply{};
        return both(q);
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        resolver dns(executor, asking(server));
        co_await expect(dns.addresses("v4.example"), "10.0.0.7");
        co_await expect(dns.addresses("v6.example"), "2001:db8::7");
    });
}

TEST_CASE("an alias leads to the addresses of its target", "[dns]") {
    auto const script = [](query const& q) -> answer {
        if (q.type != name_server::a) return name_server::reply{};
        return {{.records = {{q.name, name_server::cname, name_server::encode("real.example")},
                             name_server::address("real.example", "10.0.0.9")}}};
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        resolver dns(executor, asking(server));
        co_await expect(dns.addresses("www.example"), "10.0.0.9");
    });
}

TEST_CASE("each way to fail has its own code", "[dns]") {
    auto const script = [](query const& q) -> answer {
        if (q.name.starts_with("nxdomain")) return {{.rcode = 3}};
        if (q.name.starts_with("nodata")) return name_server::reply{};
        if (q.name.starts_with("servfail")) return {{.rcode = 2}};
        if (q.name.starts_with("notimp")) return {{.rcode = 4}};
        if (q.name.starts_with("refused")) return {{.rcode = 5}};
        if (q.name.starts_with("half")) // one family is known to be empty, the other is not known
            return {{.rcode = q.type == name_server::a ? 0u : 2u}};
        if (q.name.starts_with("wrong")) { // an answer to another question's record type, cut short
            auto raw = q.packet;
            raw[2] |= 0x80;
            raw[7] = 1; // one answer, which is not there
            return {{.raw = raw}};
        }
        return std::nullopt;
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        resolver dns(executor, asking(server));
        co_await expect(dns.addresses("nxdomain.example"), errc::not_found);
        co_await expect(dns.addresses("nodata.example"), errc::not_found);
        co_await expect(dns.addresses("servfail.example"), errc::server_failure);
        co_await expect(dns.addresses("notimp.example"), errc::server_failure);
        co_await expect(dns.addresses("refused.example"), errc::refused);
        co_await expect(dns.addresses("half.example"), errc::server_failure);
        co_await expect(dns.addresses("wrong.example"), errc::bad_answer);
        co_await expect(dns.names(make_address("10.0.0.1")), errc::timed_out);
        CHECK(dns.in_flight() == 0);
    });
}

TEST_CASE("what is no name is refused without asking", "[dns]") {
    with_server(both, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        resolver dns(executor, asking(server));
        std::string const label(63, 'a');
        names const refused{std::string(),
                            std::string("."),
                            std::string("a..b"),
                            std::string(".a"),
                            std::string("a b"),
                            std::string("a\tb"),
                            std::string("b\xc3\xbc"),
                            label + "a",
                            std::string("a\0b", 3),
                            std::string("10.0.0.1\0", 9),
                            std::string("a\\b"),
                            std::string(254, 'a'),
                            label + "." + label + "." + label + "." + label};
        for (auto const& bad : refused) {
            INFO(bad);
            co_await expect(dns.addresses(bad), errc::bad_name);
        }
        CHECK(server.asked().empty());
        co_await expect(dns.addresses(label + ".example."), "2001:db8::7 10.0.0.7");
    });
}

TEST_CASE("literals, localhost and the hosts file need no server", "[dns]") {
    file const hosts("10.1.1.1 known.example known\n::5 localhost\n");
    with_server(both, [&](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.hosts = hosts.path;
        resolver dns(executor, how);
        co_await expect(dns.addresses("10.0.0.1"), "10.0.0.1");
        co_await expect(dns.addresses("2001:db8::1"), "2001:db8::1");
        co_await expect(dns.addresses("KNOWN.example."), "10.1.1.1");
        co_await expect(dns.addresses("localhost"), "::5");
        co_await expect(dns.addresses("a.LocalHost."), "127.0.0.1 ::1");
        co_await expect(dns.names(make_address("10.1.1.1")), "known.example");
        CHECK(server.asked().empty());
    });
}

TEST_CASE("an address has the names of its PTR records", "[dns]") {
    auto const script = [](query const& q) -> answer {
        if (q.name == "7.0.0.10.in-addr.arpa")
            return {{.records = {{q.name, name_server::ptr, name_server::encode("one.example")},
                                 {q.name, name_server::ptr, name_server::encode("two.example")}}}};
        if (q.name == "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa")
            return {{.records = {{q.name, name_server::ptr, name_server::encode("six.example")}}}};
        return {{.rcode = 3}};
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        resolver dns(executor, asking(server));
        co_await expect(dns.names(make_address("10.0.0.7")), "one.example two.example");
        co_await expect(dns.names(make_address("2001:db8::1")), "six.example");
        co_await expect(dns.names(make_address("10.0.0.8")), errc::not_found);
    });
}

TEST_CASE("a short name is completed with the search list", "[dns]") {
    file const conf("nameserver 127.0.0.1\nsearch first.example second.example\n");
    auto const script = [](query const& q) -> answer {
        if (q.name == "web.second.example" || q.name == "a.b") return both(q);
        return {{.rcode = 3}};
    };
    with_server(script, [&](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.resolv_conf = conf.path;
        resolver dns(executor, how);
        co_await expect(dns.addresses("web"), "2001:db8::7 10.0.0.7");
        CHECK(server.asked().front().name == "web.first.example");
        CHECK(server.asked().size() == 4);
        co_await expect(dns.addresses("a.b"), "2001:db8::7 10.0.0.7");
        CHECK(server.asked().size() == 6); // as it is first
        co_await expect(dns.addresses("web."), errc::not_found);
        CHECK(server.asked().size() == 8); // as it is only
        co_await expect(dns.addresses("gone"), errc::not_found);
        CHECK(server.asked().back().name == "gone");
    });
}

TEST_CASE("no more look-ups are under way than options.in_flight", "[dns]") {
    std::size_t most = 0;
    resolver* dns = nullptr;
    auto const script = [&](query const& q) -> answer {
        most = std::max(most, dns->in_flight());
        return both(q);
    };
    with_server(script, [&](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.in_flight = 7;
        how.timeout = 5s;
        resolver object(executor, how);
        dns = &object;
        int answered = 0;
        auto look_up = [&](int i) -> awaitable<> {
            auto const found = co_await object.addresses("n" + std::to_string(i) + ".example");
            answered += found.size() == 2;
        };
        auto body = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 500; ++i) group.spawn(look_up(i));
            co_await group.join();
        };
        co_await trawl::with_group(body);
        CHECK(answered == 500);
        CHECK(most == 7);
        // On a busy machine one may be asked again before its answer is read.
        CHECK(std::ranges::count(server.asked(), std::size_t{0}, &query::number) == 1000);
    });
}

TEST_CASE("one place is enough for both families", "[dns]") {
    with_server(both, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.in_flight = 1;
        resolver dns(executor, how);
        co_await expect(dns.addresses("web.example"), "2001:db8::7 10.0.0.7");
    });
}

TEST_CASE("a cancelled lookup leaves no question and no descriptor behind", "[dns]") {
    auto const silent = [](query const& q) -> answer {
        if (q.name.starts_with("good")) return both(q);
        return std::nullopt;
    };
    with_server(silent, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.timeout = 20s;
        how.in_flight = 1;
        resolver dns(executor, how);
        auto const before = open_descriptors();
        std::vector<std::chrono::milliseconds> const limits{0ms, 1ms, 20ms};
        for (auto limit : limits) {
            auto first = dns.addresses("web.example");
            auto const first_found = co_await trawl::within(limit, std::move(first));
            CHECK_FALSE(first_found);
            auto second = dns.names(make_address("10.0.0.1"));
            auto const second_found = co_await trawl::within(limit, std::move(second));
            CHECK_FALSE(second_found);
            CHECK(dns.in_flight() == 0);
            CHECK(open_descriptors() == before);
        }
        // One that waits for a place only.
        auto body = [&](task_group& group) -> awaitable<> {
            auto look_up = [&](std::string name) -> awaitable<> {
                co_await failure_of(dns.addresses(std::move(name)));
            };
            group.spawn(look_up("silent.example"));
            auto waiting = dns.addresses("waiting.example");
            auto const waiting_found = co_await trawl::within(20ms, std::move(waiting));
            CHECK_FALSE(waiting_found);
            CHECK(dns.in_flight() == 1);
            group.cancel();
        };
        co_await trawl::with_group(body);
        CHECK(dns.in_flight() == 0);
        co_await expect(dns.addresses("good.example"), "2001:db8::7 10.0.0.7");
        CHECK(open_descriptors() == before);
    });
}

TEST_CASE("destroying the resolver ends its lookups", "[dns]") {
    auto const silent = [](query const&) -> answer { return std::nullopt; };
    with_server(silent, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.timeout = 20s;
        how.in_flight = 3; // so that some of the ten wait for a place
        auto dns = std::make_unique<resolver>(executor, how);
        int closed = 0;
        auto look_up = [&](int i) -> awaitable<> {
            auto const code = co_await failure_of(dns->addresses("n" + std::to_string(i)));
            closed += code == errc::closed;
        };
        auto body = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 10; ++i) group.spawn(look_up(i));
            co_await trawl::sleep_for(5ms);
            dns.reset();
            co_await group.join();
        };
        co_await trawl::with_group(body);
        CHECK(closed == 10);
    });
}

TEST_CASE("a loop that ends with lookups under way leaks nothing", "[dns]") {
    auto const before = open_descriptors();
    for (bool in_frame : {true, false}) {
        asio::io_context io(1);
        asio::ip::udp::socket silent(io, {asio::ip::address_v4::loopback(), 0});
        resolver::options how;
        how.servers = {"127.0.0.1:" + std::to_string(silent.local_endpoint().port())};
        how.hosts.clear();
        resolver outside(io.get_executor(), how);
        auto look_up = [&]() -> awaitable<> {
            if (!in_frame) co_await outside.addresses("web.example");
            resolver inside(io.get_executor(), how);
            co_await inside.addresses("web.example");
        };
        asio::co_spawn(io, look_up, asio::detached);
        io.run_for(5ms);
        CHECK(outside.in_flight() == (in_frame ? 0 : 1));
        CHECK(open_descriptors() > before);
    }
    CHECK(open_descriptors() == before);
}
