#include "icmp/pretend_kernel.hpp"
#include "test.hpp"

using namespace trawl;
using namespace trawl::test;

namespace {

struct watched_kernel : pretend_kernel {
    watched_kernel() : pretend_kernel(settings{}) {}
    std::span<arrived const> receive(bool& more) override {
        ++reads;
        return pretend_kernel::receive(more);
    }
    time_point next_wake() const override { return now() + 1us; }
    std::size_t reads = 0;
};

} // namespace

TEST_CASE("a family that nothing was sent to is not read nor watched", "[icmp]") {
    watched_kernel v4, v6;
    engine core({}, {1, 2}, 0x1234, pretend_kernel::start);
    driver drive(core, &v4, &v6, &pretend_kernel::now);
    auto const run = [&] {
        while (!core.idle())
            if (auto const step = drive.turn(); !step.again) {
                // The channel's own time counts only where it is used.
                CHECK((core.idle() || step.wake <= pretend_kernel::now() + 1us));
                pretend_kernel::advance(pretend_kernel::now() + 100us);
            }
    };
    drive.begin(); // what came while nobody waited
    CHECK((v4.reads == 1 && v6.reads == 1));
    CHECK_FALSE((drive.listens(family::v4) || drive.listens(family::v6)));

    first_hosts hosts(100);
    auto& l = core.open({.timeout = 1s}, &hosts);
    drive.turn();
    CHECK(drive.listens(family::v4));
    CHECK_FALSE(drive.listens(family::v6));
    run();
    CHECK(l.outcomes.size() == 100);
    CHECK(v4.reads > 1);
    CHECK(v6.reads == 1);

    drive.begin();
    CHECK((v6.reads == 2 && !drive.listens(family::v4)));
    auto const before = v4.reads;
    auto& probes = core.open({.timeout = 1s});
    core.submit(probes, address("2001:db8::1"), 7);
    drive.turn();
    CHECK(drive.listens(family::v6));
    run();
    CHECK(probes.outcomes.size() == 1);
    CHECK(v4.reads == before);
}
