#pragma once

#include <trawl/async.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <exception>
#include <iostream>
#include <utility>

/// Runs `work` on `io` to its end: 0, or 1 with the reason on stderr.
inline int run(asio::io_context& io, trawl::awaitable<> work) {
    std::exception_ptr failure;
    asio::co_spawn(io, std::move(work), [&](std::exception_ptr e) { failure = e; });
    io.run();
    if (failure) std::cerr << trawl::describe(failure) << "\n";
    return failure ? 1 : 0;
}
