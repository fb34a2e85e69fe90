#include "cli/hilbert.hpp"
#include "test.hpp"

#include <cstdlib>
#include <vector>

using namespace trawl;
using cli::hilbert;
using cli::square;

TEST_CASE("the Hilbert curve visits every square once, each beside the one before", "[cli][live]") {
    for (unsigned order = 0; order <= 8; ++order) {
        unsigned const side = 1u << order;
        std::vector<bool> seen(std::size_t{side} * side);
        for (std::uint64_t step = 0; step < seen.size(); ++step) {
            auto const at = hilbert(order, step);
            REQUIRE((at.x < side && at.y < side));
            REQUIRE_FALSE(seen[at.y * side + at.x]);
            seen[at.y * side + at.x] = true;
            if (step == 0) continue;
            auto const before = hilbert(order, step - 1);
            auto const far = [](unsigned a, unsigned b) { return a > b ? a - b : b - a; };
            REQUIRE(far(at.x, before.x) + far(at.y, before.y) == 1);
        }
    }
}

TEST_CASE("a coarser Hilbert curve goes through the squares of the finer one", "[cli][live]") {
    for (std::uint64_t step = 0; step < 65536; ++step) {
        auto const fine = hilbert(8, step), coarse = hilbert(6, step / 16);
        // Two orders up the curve has the same orientation.
        REQUIRE(coarse == square{fine.x / 4, fine.y / 4});
    }
    CHECK(hilbert(8, 0) == square{0, 0});
    CHECK(hilbert(8, 65535) == square{255, 0});
}
