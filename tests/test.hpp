#pragma once

// Catch2 2 (Debian 12) and 3 have other headers; every test includes this one.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <trawl/async.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace trawl::test {

/// Thrown by skip(): the reporter counts the case as skipped.
struct skipped : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Ends the case as skipped, with the reason ("needs CAP_NET_RAW"). Only for what the machine
/// cannot offer.
[[noreturn]] inline void skip(std::string const& why) { throw skipped("SKIP: " + why); }

/// Runs `body()` (a callable that returns awaitable<>) on a fresh io_context to its end; rethrows
/// its exception. The case fails when the loop still has work `limit` later.
template <class Body>
void run(Body body, std::chrono::seconds limit = std::chrono::seconds(30)) {
    asio::io_context io(1);
    std::exception_ptr failure;
    bool ended = false;
    asio::co_spawn(io, body, [&](std::exception_ptr e) { ended = true, failure = e; });
    io.run_for(limit);
    if (failure) std::rethrow_exception(failure);
    if (!ended) throw std::runtime_error("the coroutine did not end within the limit");
}

} // namespace trawl::test
