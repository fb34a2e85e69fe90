#include <trawl/async.hpp>
#include <trawl/detail/parking.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

namespace trawl {

awaitable<> yield() {
    auto executor = co_await asio::this_coro::executor;
    co_await asio::post(executor, asio::use_awaitable);
}

awaitable<> sleep_until(time_point when) {
    if (when <= clock::now()) {
        co_await yield();
        co_return;
    }
    detail::waiter self;
    if (co_await self.wait(when) == detail::wake::cancelled) detail::throw_cancelled();
}

awaitable<> sleep_for(duration delay) { return sleep_until(clock::now() + delay); }

awaitable<bool> within(duration limit, awaitable<> operation) {
    return detail::run_until(clock::now() + limit, std::move(operation));
}

awaitable<> with_timeout(duration limit, awaitable<> operation, std::string where) {
    bool const ended = co_await detail::run_until(clock::now() + limit, std::move(operation));
    if (!ended) throw error(errc::timed_out, std::move(where));
}

namespace detail {
namespace {

/// An operation in a coroutine thread of its own, which its starter waits for.
struct apart {
    waiter starter;
    bool ended = false;
    std::exception_ptr failure;

    void end(std::exception_ptr e) {
        ended = true;
        failure = std::move(e);
        starter.signal();
    }
};

bool cancelled(asio::cancellation_state const& state) {
    return state.cancelled() != asio::cancellation_type::none;
}

} // namespace

// From the start of the child to its end the starter must not throw: the child refers to its frame.
// So the cancellation is looked for in its state, where it also stands when it came while nobody
// waited.
asio::awaitable<bool> run_until(std::chrono::steady_clock::time_point deadline,
                                asio::awaitable<void> operation) {
    auto executor = co_await asio::this_coro::executor;
    auto const state = co_await asio::this_coro::cancellation_state;
    bool const throws = co_await asio::this_coro::throw_if_cancelled();
    bool const before = cancelled(state); // only where the caller goes on in spite of it
    co_await asio::this_coro::throw_if_cancelled(false);

    asio::cancellation_signal stop;
    apart child;
    auto ended = [&child](std::exception_ptr e) { child.end(std::move(e)); };
    asio::co_spawn(executor, std::move(operation),
                   asio::bind_cancellation_slot(stop.slot(), ended));
    auto woken = wake::signalled;
    if (!before && cancelled(state))
        woken = wake::cancelled;
    else if (!child.ended)
        woken = co_await child.starter.wait(deadline);
    if (!child.ended) {
        stop.emit(asio::cancellation_type::terminal);
        while (!child.ended) co_await child.starter.wait(no_deadline, false);
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    // An operation that ended in time all the same has its result or its own error delivered.
    if (woken != wake::signalled && is_cancelled(child.failure)) {
        if (woken == wake::cancelled) throw_cancelled();
        co_return false;
    }
    if (child.failure) std::rethrow_exception(child.failure);
    co_return true;
}

asio::awaitable<void> run_shielded(asio::awaitable<void> operation) {
    auto executor = co_await asio::this_coro::executor;
    bool const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    apart child;
    asio::co_spawn(executor, std::move(operation),
                   [&child](std::exception_ptr e) { child.end(std::move(e)); });
    while (!child.ended) co_await child.starter.wait(no_deadline, false);
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (child.failure) std::rethrow_exception(child.failure);
}

} // namespace detail
} // namespace trawl
