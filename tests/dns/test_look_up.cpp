#include "dns/lookups.hpp"

using namespace trawl::test;
using trawl::awaitable;
using trawl::task_group;
using trawl::dns::errc;
using trawl::dns::status;
using trawl::dns::type;

namespace {

using wire = name_server::bytes;

std::string joined(trawl::dns::answer const& found) {
    std::string text;
    for (auto const& one : found.values) text += (text.empty() ? "" : ", ") + to_string(one);
    return text;
}

name_server::record negative(std::string zone, unsigned char minimum) {
    wire data(2 + 20, 0); // two root names, five numbers
    data.back() = minimum;
    return {std::move(zone), name_server::soa, data, 600};
}

} // namespace

TEST_CASE("a look-up gives the records, their ttl and the AD bit", "[dns]") {
    auto const script = [](query const& q) -> answer {
        wire record{0, 10};
        auto const host = name_server::encode("mail.example");
        record.insert(record.end(), host.begin(), host.end());
        name_server::reply made;
        made.records = {{q.name, name_server::mx, record, 90}};
        made.authenticated = q.packet[3] & 0x20; // who asks for it
        return made;
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        resolver dns(executor, asking(server));
        auto const found = co_await dns.look_up("example", type::mx);
        CHECK(found.status == status::answered);
        CHECK(joined(found) == "10 mail.example");
        CHECK(found.ttl == 90s);
        CHECK(found.authenticated);
        CHECK(std::get<trawl::dns::mx>(found.values[0]).preference == 10);
    });
}

TEST_CASE("each way for a look-up to end is a status", "[dns]") {
    auto const script = [](query const& q) -> answer {
        if (q.name.starts_with("nxdomain")) return {{.rcode = 3}};
        if (q.name.starts_with("nodata")) return name_server::reply{};
        if (q.name.starts_with("servfail")) return {{.rcode = 2}};
        if (q.name.starts_with("refused")) return {{.rcode = 5}};
        if (q.name.starts_with("wrong")) {
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
        auto const ends = [&](std::string name, status how, std::error_code why) -> awaitable<> {
            auto const found = co_await dns.look_up(name + ".example", type::txt);
            CHECK(found.status == how);
            CHECK(found.why == why);
            CHECK(found.values.empty());
        };
        co_await ends("nxdomain", status::no_such_name, std::error_code());
        co_await ends("nodata", status::no_data, std::error_code());
        co_await ends("servfail", status::server_failure, errc::server_failure);
        co_await ends("refused", status::server_failure, errc::refused);
        co_await ends("wrong", status::server_failure, errc::bad_answer);
        co_await ends("silent", status::timed_out, errc::timed_out);
        co_await expect(dns.look_up("a..b", type::a), errc::bad_name);
        CHECK(dns.in_flight() == 0);
    });
}

TEST_CASE("answers are kept while they hold, the negative ones too", "[dns]") {
    auto const script = [](query const& q) -> answer {
        if (q.name.starts_with("gone"))
            return {{.rcode = 3, .authority = {negative("example", 60)}}};
        if (q.name.starts_with("brief"))
            return {{.records = {{q.name, name_server::a, {10, 0, 0, 1}, 0}}}};
        return both(q);
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        resolver dns(executor, asking(server));
        for (int i = 0; i < 2; ++i)
            co_await expect(dns.addresses("web.example"), "2001:db8::7 10.0.0.7");
        CHECK(server.asked().size() == 2);
        auto const known = co_await dns.look_up("WEB.example", type::a);
        CHECK(joined(known) == "10.0.0.7");
        CHECK(server.asked().size() == 2);
        for (int i = 0; i < 2; ++i) co_await expect(dns.addresses("gone.example"), errc::not_found);
        CHECK(server.asked().size() == 4);
        for (int i = 0; i < 2; ++i) co_await dns.look_up("brief.example", type::a);
        CHECK(server.asked().size() == 6); // a ttl of 0: for this one question
    });
}

TEST_CASE("a server that does not know EDNS is asked without it", "[dns]") {
    auto const script = [](query const& q) -> answer {
        if (q.packet[11] != 0) return {{.rcode = 1}};
        return both(q);
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        resolver dns(executor, asking(server));
        for (auto name : {"one.example", "two.example", "three.example"}) {
            auto const found = co_await dns.look_up(name, type::a);
            CHECK(joined(found) == "10.0.0.7");
        }
        CHECK(server.asked().size() <= 6);
    });
}

TEST_CASE("a server that says nothing comes last from then on", "[dns]") {
    auto const silent = [](query const&) -> answer { return std::nullopt; };
    with_server(silent, [](name_server& dead) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        name_server good(executor, both);
        auto how = asking(dead);
        how.servers.push_back(good.where());
        how.timeout = 2s;
        resolver dns(executor, how);
        auto body = [&](task_group& group) -> awaitable<> {
            good.start(group);
            auto const begin = trawl::clock::now();
            co_await expect(dns.addresses("first.example"), "2001:db8::7 10.0.0.7");
            CHECK(trawl::clock::now() - begin < 1500ms); // not a whole timeout
            auto const asked = dead.asked().size();
            for (int i = 0; i < 100; ++i)
                co_await expect(dns.addresses("n" + std::to_string(i)), "2001:db8::7 10.0.0.7");
            CHECK(good.asked().size() == 202);
            CHECK(dead.asked().size() <= asked + 2); // the probe
        };
        co_await trawl::with_group(body);
    });
}

TEST_CASE("a server that came back is asked first again", "[dns]") {
    bool awake = false;
    auto const sleepy = [&](query const& q) -> answer {
        if (!awake) return std::nullopt;
        return both(q);
    };
    with_server(sleepy, [&](name_server& first) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        name_server second(executor, both);
        auto how = asking(first);
        how.servers.push_back(second.where());
        how.timeout = 2s;
        how.search = false;
        resolver dns(executor, how);
        auto body = [&](task_group& group) -> awaitable<> {
            second.start(group);
            co_await dns.look_up("a.example", type::a);
            awake = true;
            // The next look-up asks it too, to see whether it lives; it is the slower one to answer.
            co_await dns.look_up("b.example", type::a);
            co_await dns.look_up("c.example", type::a);
            auto const before = second.asked().size();
            co_await dns.look_up("d.example", type::a);
            CHECK(second.asked().size() == before);
        };
        co_await trawl::with_group(body);
    });
}

TEST_CASE("a third of the packets may be lost", "[dns]") {
    unsigned heard = 0;
    auto const lossy = [&](query const& q) -> answer {
        if (++heard % 3 == 0) return std::nullopt;
        return both(q);
    };
    with_server(lossy, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.timeout = 1s;
        resolver dns(executor, how);
        int answered = 0;
        auto look_up = [&](int i) -> awaitable<> {
            auto const found = co_await dns.look_up("n" + std::to_string(i) + ".example", type::a);
            answered += found.status == status::answered;
        };
        auto body = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 1000; ++i) group.spawn(look_up(i));
            co_await group.join();
        };
        co_await trawl::with_group(body);
        CHECK(answered == 1000);
    });
}

TEST_CASE("questions of every length leave together, and each arrives once and whole", "[dns]") {
    auto const script = [](query const& q) -> answer {
        auto const last = static_cast<unsigned char>(q.name.size());
        return {{.records = {{q.name, name_server::a, {10, 0, 0, last}}}}};
    };
    with_server(script, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.timeout = 10s; // nothing is repeated
        resolver dns(executor, how);
        auto const ask = [&](int i) -> awaitable<> {
            auto name = std::string(static_cast<std::size_t>(1 + i % 60), 'x');
            name += std::to_string(i / 60) + ".example";
            auto const found = co_await dns.look_up(name, type::a);
            CHECK(joined(found) == "10.0.0." + std::to_string(name.size()));
        };
        auto const body = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 240; ++i) group.spawn(ask(i));
            co_return;
        };
        co_await trawl::with_group(body);
        CHECK(server.asked().size() == 240);
    });
}

TEST_CASE("short names are completed by choice", "[dns]") {
    with_server(both, [](name_server& server) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto how = asking(server);
        how.search = false;
        resolver dns(executor, how);
        co_await dns.look_up("web", type::a);
        CHECK(server.asked().back().name == "web");
    });
}
