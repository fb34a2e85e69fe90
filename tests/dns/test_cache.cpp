#include "dns/cache.hpp"
#include "test.hpp"

using namespace std::chrono_literals;
using trawl::time_point;
using trawl::dns::answer;
using trawl::dns::status;
using trawl::dns::type;
using trawl::dns::detail::cache;

namespace {

answer lasting(std::chrono::seconds ttl, status how = status::answered) {
    answer made;
    made.status = how;
    made.ttl = ttl;
    return made;
}

time_point const start{std::chrono::hours(1)};

} // namespace

TEST_CASE("an answer is kept for its ttl, for its name and type", "[dns]") {
    cache kept(10);
    kept.put("Web.example", type::a, lasting(60s), start);
    auto const found = kept.find("web.EXAMPLE.", type::a, start + 20s);
    REQUIRE(found);
    CHECK(found->ttl == 40s);
    CHECK_FALSE(kept.find("web.example", type::aaaa, start));
    CHECK_FALSE(kept.find("web.exampl", type::a, start));
    CHECK_FALSE(kept.find("web.example", type::a, start + 60s));
    CHECK(kept.size() == 0);
}

TEST_CASE("what is no answer, or holds for no time, is not kept", "[dns]") {
    cache kept(10);
    kept.put("a.example", type::a, lasting(60s, status::server_failure), start);
    kept.put("b.example", type::a, lasting(60s, status::timed_out), start);
    kept.put("c.example", type::a, lasting(0s), start);
    CHECK(kept.size() == 0);
    kept.put("d.example", type::a, lasting(60s, status::no_such_name), start);
    kept.put("d.example", type::mx, lasting(60s, status::no_data), start);
    CHECK(kept.find("d.example", type::a, start)->status == status::no_such_name);
    CHECK(kept.find("d.example", type::mx, start)->status == status::no_data);
}

TEST_CASE("a full cache forgets what was used least recently", "[dns]") {
    cache kept(2);
    kept.put("a", type::a, lasting(60s), start);
    kept.put("b", type::a, lasting(60s), start);
    CHECK(kept.find("a", type::a, start));
    kept.put("c", type::a, lasting(60s), start);
    CHECK(kept.size() == 2);
    CHECK(kept.find("a", type::a, start));
    CHECK_FALSE(kept.find("b", type::a, start));
    kept.put("a", type::a, lasting(10s), start); // in place of what was known
    CHECK(kept.size() == 2);
    CHECK(kept.find("a", type::a, start)->ttl == 10s);
    cache none(0);
    none.put("a", type::a, lasting(60s), start);
    CHECK(none.size() == 0);
}
