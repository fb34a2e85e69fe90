#pragma once

#include <asio/awaitable.hpp>

#include <chrono>
#include <optional>
#include <utility>

// The bodies behind with_timeout, within and shielded. Not for use outside trawl.
namespace trawl::detail {

/// True when `operation` ended before `deadline`; otherwise it was cancelled and has ended since.
asio::awaitable<bool> run_until(std::chrono::steady_clock::time_point deadline,
                                asio::awaitable<void> operation);

/// Runs `operation` out of reach of the caller's cancellation.
asio::awaitable<void> run_shielded(asio::awaitable<void> operation);

template <class T>
asio::awaitable<void> store(asio::awaitable<T> operation, std::optional<T>& result) {
    auto value = co_await std::move(operation);
    result.emplace(std::move(value));
}

template <class T>
asio::awaitable<std::optional<T>> run_within(std::chrono::steady_clock::time_point deadline,
                                             asio::awaitable<T> operation) {
    std::optional<T> result;
    auto stored = store(std::move(operation), result);
    co_await run_until(deadline, std::move(stored));
    co_return result;
}

template <class T>
asio::awaitable<T> run_shielded(asio::awaitable<T> operation) {
    std::optional<T> result;
    auto stored = store(std::move(operation), result);
    co_await run_shielded(std::move(stored));
    co_return std::move(*result);
}

} // namespace trawl::detail
