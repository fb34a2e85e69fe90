#include "net/tls.hpp"
#include "test.hpp"

#include <asio/co_spawn.hpp>
#include <asio/error.hpp>
#include <asio/io_context.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/write.hpp>

#include <array>
#include <memory>
#include <string_view>

using namespace std::chrono_literals;
using trawl::awaitable;
using trawl::net::stream;
namespace test = trawl::test;

namespace {

using unix_socket = asio::local::stream_protocol::socket;
using block = std::array<char, 64>;

/// A stream and its peer.
struct both {
    explicit both(asio::any_io_executor executor) : peer(executor) {
        unix_socket mine(executor);
        asio::local::connect_pair(mine, peer);
        ours = std::make_unique<stream>(std::move(mine));
    }
    unix_socket peer;
    std::unique_ptr<stream> ours;
};

awaitable<> read_until(stream& from, block& into, trawl::time_point deadline) {
    (void)co_await from.read_some_until(asio::buffer(into), deadline);
}

} // namespace

TEST_CASE("a read with a deadline gives bytes, nothing in time, or the end", "[net]") {
    auto const main = []() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        both ends(executor);
        block into;
        auto seen = co_await ends.ours->read_some_until(asio::buffer(into), trawl::clock::now());
        CHECK_FALSE(seen);
        bool ready = co_await trawl::net::readable_until(ends.ours->socket(), trawl::clock::now());
        CHECK_FALSE(ready);
        asio::write(ends.peer, asio::buffer("abc", 3));
        ready = co_await trawl::net::readable_until(ends.ours->socket(), trawl::time_point::max());
        CHECK(ready);
        seen = co_await ends.ours->read_some_until(asio::buffer(into), trawl::time_point::max());
        REQUIRE(seen);
        CHECK(std::string_view(into.data(), *seen) == "abc");
        ends.peer.close();
        std::error_code why;
        try {
            auto reading = read_until(*ends.ours, into, trawl::time_point::max());
            co_await std::move(reading);
        } catch (std::system_error const& e) {
            why = e.code();
        }
        CHECK(why == asio::error::eof);
    };
    test::run(main);
}

TEST_CASE("a read that was cancelled leaves the bytes to the next one, and its memory alone",
          "[net]") {
    auto const main = []() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        both ends(executor);
        auto gone = std::make_unique<block>();
        auto reading = read_until(*ends.ours, *gone, trawl::time_point::max());
        bool const ended = co_await trawl::within(1ms, std::move(reading));
        CHECK_FALSE(ended);
        gone.reset();
        asio::write(ends.peer, asio::buffer("late", 4));
        block into;
        auto const seen =
            co_await ends.ours->read_some_until(asio::buffer(into), trawl::time_point::max());
        REQUIRE(seen);
        CHECK(std::string_view(into.data(), *seen) == "late");
    };
    test::run(main);
}

TEST_CASE("a context that ends takes a read that waits with it", "[net]") {
    asio::io_context io;
    both ends(io.get_executor());
    block into;
    bool over = false;
    asio::co_spawn(io, read_until(*ends.ours, into, trawl::clock::now() + 1h),
                   [&over](std::exception_ptr) { over = true; });
    io.poll();
    CHECK_FALSE(over);
}
