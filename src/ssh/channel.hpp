#pragma once

#include "ssh/transport.hpp"

#include <libssh/callbacks.h>

#include <memory>
#include <optional>
#include <string>

namespace trawl::ssh::detail {

/// One session channel (RFC 4254 §6). What the peer sends arrives through libssh's callbacks in the
/// middle of any libssh call and is kept here; whoever waits looks at these members after
/// transport::progress().
class channel {
public:
    /// What is kept of one output stream.
    struct stream {
        std::string bytes{};
        std::size_t budget = 0;
        bool truncated = false;
        void take(char const* data, std::size_t size);
    };

    channel(std::shared_ptr<transport> link, std::size_t budget);
    channel(channel const&) = delete;
    channel& operator=(channel const&) = delete;
    /// Tells a command that has not ended to terminate, and closes. Does not wait for the peer's
    /// close: libssh frees its part when that arrives.
    ~channel();

    awaitable<> open(step when);
    awaitable<> request_exec(std::string command, step when);
    /// Sends `input` and the end of it as the peer's window allows. Ends early when the command
    /// does.
    awaitable<> feed(std::string input, step when);
    /// Waits for the end: the peer's close, or end of output and status (some devices never close).
    awaitable<> finish(step when);

    /// The transport is going; the handle dies with it.
    void connection_closed() noexcept;

    stream out, err;
    std::optional<int> exit_status{};
    std::string exit_signal{};

private:
    /// The command's status or signal has arrived.
    bool answered() const noexcept { return exit_status || !exit_signal.empty(); }
    bool ended() const noexcept { return closed_ || (eof_ && answered()); }

    std::shared_ptr<transport> link_;
    ssh_channel handle_ = nullptr;
    ssh_channel_callbacks_struct callbacks_{};
    bool opening_ = false, running_ = false, eof_ = false, closed_ = false;
};

} // namespace trawl::ssh::detail
