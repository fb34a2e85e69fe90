#pragma once

#include "ssh/channel_handle.hpp"

#include <libssh/callbacks.h>

#include <cstdint>
#include <memory>
#include <string>

namespace trawl::ssh::detail {

/// Carries bytes both ways between a channel and a local socket, without a coroutine or a thread.
///
///     socket ──recv──> up_ (what the window did not take) ──> channel
///     socket <──send── down_ <── libssh's buffer, while the socket is full <── channel
///
/// Neither side is read on while the other one takes nothing: what is under way is bounded by the
/// channel's window (libssh keeps up to 1.9 MB, down_ takes all of that at once) and 64 KiB. Once
/// started it lives until both directions have ended or one side is gone.
class bridge final : public std::enable_shared_from_this<bridge>, private transport::listener {
public:
    /// Without a channel yet.
    explicit bridge(std::shared_ptr<transport> link);
    bridge(bridge const&) = delete;
    bridge& operator=(bridge const&) = delete;
    ~bridge();

    /// Has the server connect to a host (direct-tcpip, RFC 4254 §7.2). Throws failure with
    /// errc::connect_failed when it refuses.
    awaitable<> open(std::string host, std::uint16_t port, step when);
    /// Takes a channel that the server has opened.
    void adopt(ssh_channel accepted) { handle_.adopt(accepted); }

    /// Begins to carry; `local` is non-blocking. It keeps itself from then on.
    void start(stream_socket local);
    /// Waits for the end of a bridge that was started.
    awaitable<> ended();
    /// Closes both sides.
    void stop() noexcept { end(); }

    /// Why it ended when it is this session's fault; empty when one of the two sides closed.
    std::string const& why() const noexcept { return why_; }

private:
    void progressed() noexcept override;
    std::size_t arrived(char const* data, std::size_t size) noexcept;
    void fetch_held();
    void send_down() noexcept;
    void read_up();
    void write_up();
    bool room() const noexcept;
    bool usable() const noexcept { return !ended_ && link_->alive() && !closed_; }
    void watch(stream_socket::wait_type what, bool& armed, void (bridge::*then)());
    void on_readable();
    void on_writable();
    void end() noexcept;

    std::shared_ptr<transport> link_;
    ssh_channel_callbacks_struct callbacks_{};
    channel_handle handle_;
    stream_socket local_;
    std::string up_, down_;
    std::size_t sent_up_ = 0, sent_down_ = 0;
    std::string why_;
    bool started_ = false, ended_ = false;
    bool eof_ = false, closed_ = false;    // of the channel
    bool finished_ = false, gone_ = false; // the local side: sends no more; takes no more
    bool shut_ = false;                    // it was told the channel's end
    bool held_ = false, fetching_ = false; // libssh holds output
    bool reading_ = false, writing_ = false;
    std::shared_ptr<bridge> self_; // from start() to the end
    trawl::detail::waiter_list waiters_;
};

} // namespace trawl::ssh::detail
