#pragma once

#include <trawl/async.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>

namespace trawl {

/// A nursery: children are started in it and none outlives it. Made by with_group only.
///
/// The first error of a child or of the body cancels all the others and is rethrown by with_group
/// when every child has ended; later errors are dropped. A cancelled child is no error. Background
/// children are cancelled when the body and all ordinary children have ended. Not thread-safe: one
/// group, one executor. Only the destruction of the execution context itself ends a group early: it
/// destroys children and group together.
class task_group {
public:
    task_group(task_group const&) = delete;
    task_group& operator=(task_group const&) = delete;

    /// Starts `child` on the group's executor; it runs up to its first suspension before spawn
    /// returns. On a group that was cancelled, `child` is destroyed without having run.
    void spawn(awaitable<> child);

    /// Starts a child that does not keep the group open ("daemon"): it is cancelled when the others
    /// have ended.
    void spawn_background(awaitable<> child);

    /// Cancels every child, present ones only once. No new child starts after that.
    void cancel();

    /// Whether cancel() was called, or an error has cancelled the children.
    bool cancelled() const noexcept;

    /// Children that have not ended, background ones included.
    std::size_t size() const noexcept;

    /// Waits until every ordinary child that is in the group has ended. Does not throw their errors
    /// (with_group does). Cancelling stops the waiting only.
    awaitable<> join();

private:
    friend class group_scope;
    struct state;
    explicit task_group(asio::any_io_executor executor);
    ~task_group();

    std::unique_ptr<state> state_;
};

/// Runs `body(group)` and returns when it and every child have ended; rethrows the first error.
///
/// When the body throws or the caller is cancelled, the children are cancelled first and then
/// joined: there is no exit that leaves a child behind. `body` is a callable object that outlives
/// the call.
awaitable<> with_group(std::function<awaitable<>(task_group&)> body);

} // namespace trawl
