#include "icmp/flights.hpp"
#include "test.hpp"

#include <deque>
#include <random>

using namespace trawl::icmp::detail;
using namespace std::chrono_literals;
using trawl::time_point;

namespace {

constexpr time_point start{1000s};

flight sent_at(time_point when, std::uint32_t whom = 0) {
    flight f;
    f.sent = when;
    f.whom = whom;
    f.phase = flight::waiting;
    return f;
}

} // namespace

TEST_CASE("flights expire in the order of sending, each after the timeout", "[icmp]") {
    flights out(100ms, 64, false);
    for (std::uint32_t i = 0; i < 10; ++i) out.push(sent_at(start + i * 10ms, i));
    CHECK(out.next_expiry() == start + 100ms);
    std::vector<std::uint32_t> gone;
    auto const note = [&](flight const& f) { gone.push_back(f.whom); };
    CHECK_FALSE(out.expire(start + 99ms, note));
    while (out.expire(start + 130ms, note)) {
    }
    CHECK(gone == std::vector<std::uint32_t>{0, 1, 2, 3});
    CHECK(out.size() == 6);
    out.end(4, *out.find(4));
    CHECK(out.next_expiry() == start + 150ms);
}

TEST_CASE("flights that have ended are gone, or kept until their timeout", "[icmp]") {
    bool const keep = GENERATE(false, true);
    flights out(100ms, 64, keep);
    auto const position = out.push(sent_at(start));
    out.end(position, *out.find(position));
    CHECK_FALSE(out.expire(start + 50ms, [](auto&) {}));
    CHECK((out.find(position) != nullptr) == keep);
    CHECK_FALSE(out.expire(start + 100ms, [](auto&) {}));
    CHECK(out.find(position) == nullptr);
}

TEST_CASE("a flight is found by the low bits of its position", "[icmp]") {
    flights out(100ms, 1 << 18, false, 0xfffe); // positions from there
    std::vector<std::uint64_t> positions;
    for (std::uint32_t i = 0; i < 140000; ++i) positions.push_back(out.push(sent_at(start, i)));
    auto const number = static_cast<std::uint16_t>(positions[70000]);
    auto const any = [](flight const&) { return true; };
    auto const whom = [](std::uint32_t n) { return [n](flight const& f) { return f.whom == n; }; };
    CHECK(out.find_sequence(number, any) == positions[70000 + 65536]); // the latest
    CHECK(out.find_sequence(number, whom(70000)) == positions[70000]);
    CHECK(out.find_sequence(number, whom(70000 - 65536)) == positions[70000 - 65536]);
    CHECK_FALSE(out.find_sequence(number, whom(1)));
    flights empty(100ms, 64, false);
    CHECK_FALSE(empty.find_sequence(0, any));
    CHECK_FALSE(empty.find_sequence(0xffff, any));
}

TEST_CASE("flights agree with a plain list, whatever comes", "[icmp]") {
    std::mt19937 chance(GENERATE(1, 2, 3, 4, 5, 6, 7, 8));
    bool const keep = chance() % 2 == 0;
    flights out(1000us, 64, keep); // a small ring, so that many are moved out of it
    struct entry {
        std::uint64_t position;
        std::uint32_t whom;
        time_point sent;
    };
    std::deque<entry> model;
    auto now = start;
    std::uint32_t next = 0;
    for (int step = 0; step < 20000; ++step) {
        now += std::chrono::microseconds(chance() % 5);
        out.cool(now - 100us);
        switch (chance() % 4) {
        case 0:
        case 1: {
            auto const position = out.push(sent_at(now, next));
            model.push_back({position, next++, now});
            break;
        }
        case 2: {
            if (model.empty()) break;
            auto const which = model.begin() + static_cast<std::ptrdiff_t>(chance() % model.size());
            auto* f = out.find(which->position);
            REQUIRE(f);
            REQUIRE(f->whom == which->whom);
            out.end(which->position, *f);
            model.erase(which);
            break;
        }
        default:
            while (out.expire(now, [&](flight const& f) {
                REQUIRE(!model.empty());
                REQUIRE(f.whom == model.front().whom);
                REQUIRE(model.front().sent + 1000us <= now);
                model.pop_front();
            })) {
            }
            REQUIRE((model.empty() || model.front().sent + 1000us > now));
        }
        REQUIRE(out.size() == model.size());
        auto const recent =
            std::ranges::count_if(model, [&](auto const& e) { return e.sent > now - 100us; });
        REQUIRE(out.hot() <= model.size());
        if (model.size() < 64) REQUIRE(out.hot() == static_cast<std::size_t>(recent));
    }
}
