// Where the mail of a domain goes (src/mail/route), and domains of other scripts (src/mail/idn).
#include "mail/route.hpp"

#include "dns/name_server.hpp"
#include "mail/idn.hpp"
#include "test.hpp"

#include <set>

using namespace std::string_literals;
using namespace trawl;
using namespace trawl::smtp::detail;
using smtp::status;
using test::name_server;

namespace {

dns::answer mx(std::vector<std::pair<unsigned, std::string>> records) {
    dns::answer made;
    made.status = dns::status::answered;
    for (auto& [preference, name] : records)
        made.values.emplace_back(dns::mx{static_cast<std::uint16_t>(preference), name});
    return made;
}

dns::answer nothing(dns::status status, std::error_code why = {}) {
    dns::answer made;
    made.status = status;
    made.why = why;
    return made;
}

route order(dns::answer const& found, std::vector<std::string> own = {}, unsigned seed = 1) {
    std::mt19937 random(seed);
    return route_of(found, "d.example", own, random);
}

dns::answer addresses(std::vector<std::string> texts, bool authenticated = false) {
    dns::answer made;
    made.status = dns::status::answered;
    made.name = "mx.example";
    made.authenticated = authenticated;
    for (auto const& text : texts) made.values.emplace_back(asio::ip::make_address(text));
    return made;
}

using names = std::vector<std::string>;

} // namespace

TEST_CASE("exchangers are tried by preference, lowest first", "[mail]") {
    auto const found = order(mx({{20, "b.example"}, {10, "A.example"}, {30, "c.example"}}));
    CHECK_FALSE(found.none);
    CHECK(found.by_mx);
    CHECK(found.exchangers == names{"a.example", "b.example", "c.example"});
}

TEST_CASE("equal preferences are shuffled, and others keep their place", "[mail]") {
    std::set<names> seen;
    for (unsigned seed = 0; seed < 100; ++seed) {
        auto const found = order(
            mx({{5, "first.example"}, {10, "a.example"}, {10, "b.example"}, {10, "c.example"}}), {},
            seed);
        CHECK(found.exchangers.front() == "first.example");
        seen.insert(found.exchangers);
    }
    CHECK(seen.size() == 6);
}

TEST_CASE("an exchanger that is named twice is tried once, and sixteen at most", "[mail]") {
    CHECK(order(mx({{10, "a.example"}, {20, "a.example"}})).exchangers == names{"a.example"});
    std::vector<std::pair<unsigned, std::string>> many;
    for (unsigned i = 0; i < 100; ++i) many.push_back({i, "mx" + std::to_string(i) + ".example"});
    auto const found = order(mx(many));
    CHECK(found.exchangers.size() == 16);
    CHECK(found.exchangers.back() == "mx15.example");
}

TEST_CASE("this host and whatever is not preferred to it take no part", "[mail]") {
    auto const records =
        mx({{10, "a.example"}, {20, "Me.example"}, {20, "b.example"}, {30, "c.example"}});
    CHECK(order(records, {"me.example."}).exchangers == names{"a.example"});
    auto const found = order(mx({{10, "me.example"}, {20, "c.example"}}), {"me.example"});
    CHECK(found.none.status == status::refused);
    CHECK(found.none.enhanced == "5.4.6");
    CHECK(found.none.text == "the mail of d.example loops back to this host");
}

TEST_CASE("a null MX refuses mail, but not beside another MX", "[mail]") {
    auto const found = order(mx({{0, "."}}));
    CHECK(found.none.status == status::refused);
    CHECK(found.none.enhanced == "5.1.10");
    CHECK(order(mx({{0, "."}, {10, "a.example"}})).exchangers == names{"a.example"});
}

TEST_CASE("a domain without MX is its own exchanger; one that does not exist refuses", "[mail]") {
    auto const found = order(nothing(dns::status::no_data));
    CHECK_FALSE(found.none);
    CHECK_FALSE(found.by_mx);
    CHECK(found.exchangers == names{"d.example"});
    auto const missing = order(nothing(dns::status::no_such_name));
    CHECK(missing.none.status == status::refused);
    CHECK(missing.none.enhanced == "5.1.2");
    CHECK(missing.exchangers.empty());
}

TEST_CASE("name servers that fail or say nothing defer mail", "[mail]") {
    auto const failed = order(nothing(dns::status::server_failure, dns::errc::server_failure));
    CHECK(failed.none.status == status::deferred);
    CHECK(failed.none.enhanced == "4.4.3");
    auto const silent = order(nothing(dns::status::timed_out, dns::errc::timed_out));
    CHECK(silent.none.status == status::deferred);
    CHECK(silent.none.text.find("dns d.example MX: ") == 0);
}

TEST_CASE("address literals are read as RFC 5321 writes them", "[mail]") {
    CHECK(address_literal("[192.0.2.1]")->to_string() == "192.0.2.1");
    CHECK(address_literal("[IPv6:2001:db8::1]")->to_string() == "2001:db8::1");
    CHECK(address_literal("[ipv6:::1]")->to_string() == "::1");
    for (auto const* text :
         {"192.0.2.1", "[192.0.2]", "[2001:db8::1]", "[IPv6:192.0.2.1]", "[]", "[IPv6:]",
          "[IPv6:fe80::1%eth0]", "[", "[IPv6:2001:db8::1", "[a.example]"})
        CHECK_FALSE(address_literal(text));
}

TEST_CASE("addresses that are known are used though the other question failed", "[mail]") {
    auto const late = nothing(dns::status::timed_out, dns::errc::timed_out);
    auto const none = nothing(dns::status::no_data);
    auto const both =
        host_of(addresses({"2001:db8::1"}, true), addresses({"192.0.2.1"}, true), "x");
    CHECK(both.addresses.size() == 2);
    CHECK(both.addresses.front().is_v6());
    CHECK(both.authenticated);
    CHECK(both.name == "mx.example");
    CHECK_FALSE(
        host_of(addresses({"2001:db8::1"}, true), addresses({"192.0.2.1"}), "x").authenticated);
    auto const one = host_of(late, addresses({"192.0.2.1"}, true), "x");
    CHECK_FALSE(one.none);
    CHECK(one.addresses.size() == 1);
    CHECK(host_of(late, none, "x").none.status == status::deferred);
    CHECK(host_of(none, late, "x").none.status == status::deferred);
    CHECK(host_of(none, none, "x").none.status == status::refused);
    CHECK(host_of(none, none, "x").none.enhanced == "5.4.4");
}

TEST_CASE("a route is found by asking, also for an exchanger that is an alias", "[mail]") {
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto const answers = [](name_server::query const& q) -> std::optional<name_server::reply> {
            name_server::reply made;
            made.authenticated = true;
            auto const encode = [](std::string_view name) { return name_server::encode(name); };
            if (q.type == name_server::mx && q.name == "d.example") {
                auto data = encode("alias.example");
                data.insert(data.begin(), {0, 10});
                made.records = {{"d.example", name_server::mx, data}};
            } else if (q.name == "alias.example" && q.type == name_server::a) {
                made.records = {{"alias.example", name_server::cname, encode("real.example")},
                                name_server::address("real.example", "192.0.2.7")};
            } else if (q.name == "nowhere.example")
                made.rcode = 3;
            else if (q.name == "broken.example")
                made.rcode = 2;
            return made;
        };
        name_server server(executor, answers);
        dns::resolver::options how;
        how.servers = {server.where()};
        dns::resolver resolver(executor, how);
        std::mt19937 random(1);
        auto const asking = [&](task_group& group) -> awaitable<> {
            server.start(group);
            std::vector<std::string> own;
            auto found = co_await find_route(resolver, "d.example", own, random);
            CHECK(found.exchangers == names{"alias.example"});
            CHECK(found.authenticated);
            auto host = co_await find_host(resolver, "alias.example");
            CHECK(host.name == "real.example");
            CHECK(host.addresses.size() == 1);
            CHECK(host.authenticated);
            found = co_await find_route(resolver, "nowhere.example", own, random);
            CHECK(found.none.status == status::refused);
            found = co_await find_route(resolver, "broken.example", own, random);
            CHECK(found.none.status == status::deferred);
            auto const before = server.asked().size();
            found = co_await find_route(resolver, "[127.0.0.9]", own, random);
            CHECK(found.exchangers == names{"[127.0.0.9]"});
            host = co_await find_host(resolver, "[127.0.0.9]");
            CHECK(host.addresses.front().to_string() == "127.0.0.9");
            found = co_await find_route(resolver, "[a.b]", own, random);
            CHECK(found.none.status == status::refused);
            CHECK(server.asked().size() == before);
        };
        co_await with_group(asking);
    };
    test::run(main);
}

TEST_CASE("domains of other scripts get their form for DNS", "[mail]") {
    using mime::detail::to_ascii;
    CHECK(to_ascii("Example.org") == "Example.org");
    CHECK(to_ascii("_tcp.a-b.example") == "_tcp.a-b.example");
    CHECK(to_ascii("b\xc3\xbc"
                   "cher.example") == "xn--bcher-kva.example");
    CHECK(to_ascii("B\xc3\x9c"
                   "CHER.example") == "xn--bcher-kva.example");
    CHECK(to_ascii("stra\xc3\x9f"
                   "e.example") == "xn--strae-oqa.example"); // not "strasse"
    CHECK(to_ascii("\xe4\xbe\x8b\xe3\x80\x82"
                   "example") == "xn--fsq.example"); // U+3002 is a dot
    for (auto const& bad :
         {"a\xe2\x84\x80"
          "b.example"s,
          "\xcc\x81"
          "a.example"s,
          "\xff.example"s, "b\xc3\xbc\0.example"s, "\xc3\xbc" + std::string(70, 'a') + ".example"})
        CHECK_THROWS_AS(to_ascii(bad), error);
}
