#pragma once

#include "ssh/session_state.hpp"

#include <libssh/callbacks.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace trawl::ssh::detail {

/// A channel of libssh's with its callbacks. Null until it is opened, and when its session is gone,
/// with which libssh's part dies.
class channel_handle {
public:
    /// `callbacks` outlive it.
    channel_handle(std::shared_ptr<transport> link, ssh_channel_callbacks callbacks)
        : link_(std::move(link)), callbacks_(callbacks) {}
    channel_handle(channel_handle const&) = delete;
    channel_handle& operator=(channel_handle const&) = delete;
    ~channel_handle() { close(); }

    operator ssh_channel() const noexcept { return handle_; }

    /// Asks the server for a channel (RFC 4254 §5.1) by `ask`, a call of libssh's that may answer
    /// SSH_AGAIN. Throws failure with `refused` when the server gives none; then it may be asked
    /// again.
    awaitable<> open(std::function<int(ssh_channel)> ask, errc refused, step when);
    /// Takes a channel that the server has opened.
    void adopt(ssh_channel accepted);

    /// Does not wait for the peer's close: libssh frees its part when that arrives.
    void close() noexcept;
    /// The transport is going.
    void connection_closed() noexcept;

private:
    std::shared_ptr<transport> link_;
    ssh_channel_callbacks callbacks_;
    ssh_channel handle_ = nullptr;
    bool opening_ = false;
};

/// One of a session's channels, counted for as long as this lives.
class channel_place {
public:
    channel_place(state_ptr of, std::shared_ptr<transport> link, limiter::ticket ticket)
        : of_(std::move(of)), link_(std::move(link)), ticket_(std::move(ticket)) {}
    channel_place(channel_place const&) = delete;
    channel_place& operator=(channel_place const&) = delete;
    ~channel_place() {
        if (open_) --of_->open, of_->ended.wake_all();
    }

    std::shared_ptr<transport> const& link() const noexcept { return link_; }
    state_ptr const& session() const noexcept { return of_; }

    /// Opens `what`, and waits while the server has no channel to give. `what` and this outlive the
    /// call.
    awaitable<> open(channel_handle& what, step when);
    /// The same, but a server that has none now is a failure.
    awaitable<> open_at_once(channel_handle& what, step when);

private:
    awaitable<std::optional<failure>> attempt(channel_handle& what, step when);

    state_ptr of_;
    std::shared_ptr<transport> link_;
    limiter::ticket ticket_;
    bool open_ = false;
};

/// Waits for one of options.max_channels. Throws failure when the session is not connected, or the
/// step's time is up.
awaitable<std::unique_ptr<channel_place>> reserve_channel(state_ptr on, step when);
/// One that can be done without: null when half of them are in use.
std::unique_ptr<channel_place> spare_channel(state_ptr on);

} // namespace trawl::ssh::detail
