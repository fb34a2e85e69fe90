#include "dns/lookups.hpp"

using namespace trawl::test;
using asio::ip::make_address;
using trawl::awaitable;
using trawl::task_group;
using trawl::dns::errc;

TEST_CASE("a lost question is asked again", "[dns]") {
    auto const script = [](query const& q) -> answer {
        if (q.number < 2) return std::nullopt;
        return both(q);
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.timeout = 20ms;
        resolver dns(executor, how);
        co_await expect(dns.addresses("web.example"), "2001:db8::7 10.0.0.7");
        CHECK(server.asked().size() == 6);
    });
}

TEST_CASE("an answer that comes after the question was repeated counts once", "[dns]") {
    auto const script = [](query const& q) -> answer {
        auto reply = *both(q);
        reply.delay = q.number == 0 ? 60ms : 120ms;
        return reply;
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.timeout = 40ms;
        resolver dns(executor, how);
        co_await expect(dns.addresses("web.example"), "2001:db8::7 10.0.0.7");
        CHECK(server.asked().size() == 4);
        co_await trawl::sleep_for(130ms); // the second answers arrive when nobody asks
        co_await expect(dns.addresses("other.example"), "2001:db8::7 10.0.0.7");
    });
}

TEST_CASE("a server that says nothing costs the tries, and the deadline at most", "[dns]") {
    auto const silent = [](query const&) -> answer { return std::nullopt; };
    with_server(silent, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.timeout = 20ms;
        how.tries = 2;
        auto begin = trawl::clock::now();
        {
            resolver dns(executor, how);
            co_await expect(dns.addresses("web.example"), errc::timed_out);
            CHECK(trawl::clock::now() - begin >= 55ms); // 20 + 40, less what c-ares rounds off
            CHECK(trawl::clock::now() - begin < 5s);
            CHECK(server.asked().size() == 4);
        }
        how.timeout = 20s;
        how.deadline = 50ms;
        begin = trawl::clock::now();
        resolver dns(executor, how);
        co_await expect(dns.addresses("web.example"), errc::timed_out);
        CHECK(trawl::clock::now() - begin >= 50ms);
        CHECK(trawl::clock::now() - begin < 5s);
        CHECK(dns.in_flight() == 0);
    });
}

TEST_CASE("IPv6 is not waited for when IPv4 has answered", "[dns]") {
    auto const script = [](query const& q) -> answer {
        if (q.type == name_server::aaaa) return std::nullopt;
        return both(q);
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.timeout = 20s;
        resolver dns(executor, how);
        auto const begin = trawl::clock::now();
        co_await expect(dns.addresses("web.example"), "10.0.0.7");
        CHECK(trawl::clock::now() - begin < 5s);
        CHECK(dns.in_flight() == 0); // the other question went with the lookup
    });
}

TEST_CASE("an answer too long for UDP comes over TCP", "[dns]") {
    auto const script = [](query const& q) -> answer {
        if (!q.tcp) return {{.truncated = true}};
        name_server::reply all;
        for (int i = 1; i <= 200; ++i) {
            auto const last = std::to_string(i);
            all.records.push_back(name_server::address(
                q.name, q.type == name_server::a ? "10.0.0." + last : "2001:db8::" + last));
        }
        return all;
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.timeout = 2s;
        resolver dns(executor, how);
        auto const all = co_await dns.addresses("many.example");
        CHECK(all.size() == 400);
        CHECK(all.front() == make_address("2001:db8::1"));
        CHECK(all.back() == make_address("10.0.0.200"));
    });
}

TEST_CASE("a server that is not there is told from one that is silent", "[dns]") {
    trawl::test::run([]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        resolver::options how;
        how.hosts.clear();
        how.timeout = 100ms;
        {
            asio::ip::udp::socket finder(executor, {asio::ip::address_v4::loopback(), 0});
            how.servers = {"127.0.0.1:" + std::to_string(finder.local_endpoint().port())};
        }
        resolver dns(executor, how);
        co_await expect(dns.addresses("web.example"), errc::no_server);
    });
}

TEST_CASE("the next server is asked when one fails", "[dns]") {
    auto const failing = [](query const&) -> answer { return {{.rcode = 2}}; };
    with_server(failing, [](name_server& bad) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        name_server good(executor, both);
        auto how = asking(bad);
        how.servers.push_back(good.where());
        resolver dns(executor, how);
        auto body = [&](task_group& group) -> awaitable<> {
            good.start(group);
            co_await expect(dns.addresses("web.example"), "2001:db8::7 10.0.0.7");
        };
        co_await trawl::with_group(body);
        CHECK_FALSE(bad.asked().empty());
        // The good one has gone silent: what the other says is all that is known.
        co_await expect(dns.addresses("other.example"), errc::server_failure);
    });
}

TEST_CASE("servers are written ADDR, ADDR:PORT or [V6]:PORT", "[dns]") {
    asio::io_context io;
    auto const accepted = [&](std::string text) {
        resolver::options how;
        how.servers = {std::move(text)};
        try {
            resolver const dns(io.get_executor(), how);
            return true;
        } catch (trawl::error const& e) {
            CHECK(e.code() == errc::bad_server);
            return false;
        }
    };
    for (auto good : {"127.0.0.1", "127.0.0.1:5353", "::1", "[::1]", "[::1]:5353", "2001:db8::1"})
        CHECK(accepted(good));
    for (auto bad : {"", "dns.example", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
                     "127.0.0.1:x", "[::1", "[::1]x", "[::1]:", "10.0.0", ":53"})
        CHECK_FALSE(accepted(bad));
}
