#include "icmp/namespaces.hpp"
#include "test.hpp"

#include <trawl/icmp.hpp>
#include <trawl/task_group.hpp>

#include <asio/this_coro.hpp>

#include <cstdlib>
#include <iostream>
#include <malloc.h>

using namespace trawl;
using namespace std::chrono_literals;

namespace {

bool const thorough = std::getenv("TRAWL_LONG") != nullptr;

std::size_t allocated() {
    auto const all = ::mallinfo2();
    return all.uordblks + all.hblkhd;
}

/// How much more than `before` is allocated when `pinger` has sent so many.
awaitable<std::size_t> allocated_after(icmp::pinger& pinger, std::uint64_t sent,
                                       std::size_t before) {
    while (pinger.stats().sent < sent) co_await sleep_for(5ms);
    co_return allocated() - before;
}

void tell(char const* what, std::size_t count, std::size_t bytes, time_point began) {
    if (!std::getenv("TRAWL_FIGURES")) return;
    auto const took = std::chrono::duration<double>(clock::now() - began).count();
    std::cout << "# " << count << ' ' << what << ": " << bytes / count << " bytes each, " << took
              << " s\n";
}

} // namespace

TEST_CASE("echoes of a sweep that are out at once take 32 bytes each, and none is lost", "[icmp]") {
    test::far_network far; // which swallows what it has no route for
    far.sh("ping -c 1 -w 5 10.99.0.2");
    test::run(
        []() -> awaitable<> {
            // Long enough for all to be out.
            std::size_t const count = thorough ? 1u << 20 : 1u << 16;
            icmp::sweep::options asking;
            asking.timeout = thorough ? 60s : 3s;
            asking.retries = 0;
            icmp::pinger::options how;
            how.outstanding = count;
            auto const before = allocated();
            icmp::pinger pinger(co_await asio::this_coro::executor, how);
            icmp::sweep sweep(pinger, targets::parse(thorough ? "10.128.0.0/12" : "10.128.0.0/16"),
                              asking);
            auto const began = clock::now();
            std::size_t most = 0;
            auto watch = [&]() -> awaitable<> {
                most = co_await allocated_after(pinger, count, before);
                CHECK(sweep.progress().down == 0); // all of them were out
            };
            auto body = [&](task_group& group) -> awaitable<> {
                group.spawn(watch());
                for (bool more = true; more;) {
                    auto const batch = co_await sweep.next_batch();
                    more = !batch.empty();
                }
            };
            co_await with_group(body);
            tell("echoes", count, most, began);
            CHECK(most < count * 36 + (1u << 20)); // and the pinger itself
            CHECK(sweep.progress().down == count);
            CHECK(pinger.stats().sent == count);
            CHECK(pinger.stats().drops == 0);
        },
        300s);
}

TEST_CASE("probes that are awaited at once take less than 3 KB each, and none is lost", "[icmp]") {
    test::network_namespace here;
    here.sh("sysctl net.ipv4.icmp_echo_ignore_all=1");
    test::run(
        []() -> awaitable<> {
            std::size_t const count = thorough ? 1'000'000 : 20'000;
            icmp::pinger::options how;
            how.timeout = thorough ? 60s : 3s;
            icmp::pinger pinger(co_await asio::this_coro::executor, how);
            auto const before = allocated();
            auto const began = clock::now();
            std::size_t most = 0, silent = 0, answered = 0;
            auto watch = [&]() -> awaitable<> {
                most = co_await allocated_after(pinger, count, before);
                CHECK(silent == 0);
            };
            auto one = [&](asio::ip::address target) -> awaitable<> {
                auto const answer = co_await pinger.probe(target);
                ++(answer ? answered : silent);
            };
            auto body = [&](task_group& group) -> awaitable<> {
                group.spawn(watch());
                for (std::uint32_t i = 0; i < count; ++i)
                    group.spawn(one(asio::ip::make_address_v4(0x7f000000u + i)));
                co_return;
            };
            co_await with_group(body);
            tell("probes", count, most, began);
            CHECK(most < count * 3000); // 2,420 with g++ 12, tasks and frames included
            CHECK((silent == count && answered == 0));
            CHECK(pinger.stats().sent == count);
        },
        300s);
}
