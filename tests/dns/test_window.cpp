#include "dns/window.hpp"
#include "test.hpp"

#include <trawl/task_group.hpp>

#include <deque>

using namespace std::chrono_literals;
using trawl::awaitable;
using trawl::task_group;
using trawl::dns::detail::window;

namespace {

/// A crowd before a window: everyone who is let in stays until the test lets him go.
class crowd {
public:
    crowd(window& w, task_group& group, int size) : window_(w) {
        for (int i = 0; i < size; ++i) group.spawn_background(come());
    }
    /// Lets everyone in who may come in.
    awaitable<std::size_t> settle() {
        for (auto before = ~std::size_t{0}; before != inside.size();) {
            before = inside.size();
            for (int turns = 0; turns < 1000; ++turns) co_await trawl::yield();
        }
        co_return inside.size();
    }
    std::deque<window::place> inside;

private:
    awaitable<> come() {
        auto place = co_await window_.enter();
        inside.push_back(std::move(place));
    }
    window& window_;
};

template <class Body>
void with_crowd(std::size_t most, int size, Body body) {
    trawl::test::run([&]() -> awaitable<> {
        window w(most);
        std::optional<crowd> all;
        auto both = [&](task_group& group) -> awaitable<> {
            all.emplace(w, group, size);
            co_await body(w, *all);
        };
        co_await trawl::with_group(both);
    });
}

} // namespace

TEST_CASE("a window lets in what was asked for at most", "[dns]") {
    with_crowd(10, 30, [](window& w, crowd& all) -> awaitable<> {
        auto inside = co_await all.settle();
        CHECK(inside == 10);
        all.inside.pop_front();
        inside = co_await all.settle();
        CHECK(inside == 10);
        CHECK(w.in_use() == 10);
    });
}

TEST_CASE("a window begins small and grows with the answers", "[dns]") {
    with_crowd(1000, 1000, [](window&, crowd& all) -> awaitable<> {
        auto inside = co_await all.settle();
        CHECK(inside == 256);
        for (auto& place : all.inside) place.answered();
        all.inside.pop_front();
        inside = co_await all.settle();
        CHECK(inside == 512);
    });
}

TEST_CASE("a window shrinks once for what was lost together, and the lost do not count", "[dns]") {
    with_crowd(2000, 2000, [](window&, crowd& all) -> awaitable<> {
        co_await all.settle();
        for (int round = 0; round < 4; ++round)
            for (auto& place : all.inside) place.answered();
        all.inside.pop_front();
        auto inside = co_await all.settle();
        CHECK(inside == 5 * 256);
        trawl::time_point const sent{10s}, now{11s};
        for (std::size_t i = 0; i < 600; ++i) all.inside[i].set_overdue(sent, now);
        inside = co_await all.settle();
        CHECK(inside == 600 + 1280 * 2 / 3);
        all.inside.clear();
        inside = co_await all.settle();
        CHECK(inside <= 2000);
    });
}

TEST_CASE("a window that is closed lets everyone in", "[dns]") {
    with_crowd(1, 50, [](window& w, crowd& all) -> awaitable<> {
        co_await all.settle();
        w.close();
        auto const inside = co_await all.settle();
        CHECK(inside == 50);
    });
}
