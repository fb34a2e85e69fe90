#pragma once

#include <trawl/detail/within.hpp>
#include <trawl/error.hpp>

#include <asio/awaitable.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace trawl {

/// What every asynchronous function of trawl returns. It runs on the executor of the coroutine that
/// awaits it; a service with callbacks or futures starts it with asio::co_spawn(executor, f(),
/// token).
template <class T = void>
using awaitable = asio::awaitable<T>;

using clock = std::chrono::steady_clock;
using duration = clock::duration;
using time_point = clock::time_point;

/// Suspends for `delay`; zero or less only yields. Cancelling throws operation_aborted.
awaitable<> sleep_for(duration delay);

/// Suspends until `when`; a moment that has passed only yields. Cancelling throws
/// operation_aborted.
awaitable<> sleep_until(time_point when);

/// Lets the other ready handlers of this executor run once.
awaitable<> yield();

/// Awaits `operation`; if `limit` passes first, cancels it, waits for its end and throws
/// error(errc::timed_out, where).
///
/// The operation's own exception is rethrown as it is, and a result that is there when the deadline
/// fires is returned. All deadlines of one execution context share one timer. Cancelling cancels
/// the operation.
template <class T>
awaitable<T> with_timeout(duration limit, awaitable<T> operation, std::string where = {}) {
    auto result = co_await detail::run_within(clock::now() + limit, std::move(operation));
    if (!result) throw error(errc::timed_out, std::move(where));
    co_return std::move(*result);
}
awaitable<> with_timeout(duration limit, awaitable<> operation, std::string where = {});

/// As with_timeout, but the deadline is an answer: nullopt when `limit` passed first.
template <class T>
awaitable<std::optional<T>> within(duration limit, awaitable<T> operation) {
    return detail::run_within(clock::now() + limit, std::move(operation));
}
/// True when the operation ended in time.
awaitable<bool> within(duration limit, awaitable<> operation);

/// Awaits `operation` out of reach of cancellation: for clean-up that must await. Give it a
/// deadline of its own: `co_await shielded(within(2s, client.quit()))`. A cancellation that arrived
/// meanwhile is seen by the caller's next co_await.
template <class T>
awaitable<T> shielded(awaitable<T> operation) {
    co_return co_await detail::run_shielded(std::move(operation));
}

} // namespace trawl
