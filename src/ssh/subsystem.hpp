#pragma once

#include "ssh/channel_handle.hpp"

#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace trawl::ssh::detail {

/// Bytes both ways, without waiting: whoever writes bounds what is under way by the answers.
class byte_stream {
public:
    virtual ~byte_stream() = default;
    /// Queues `bytes`; they go out in the order of the calls.
    virtual void send(std::string bytes) = 0;
    /// Sends what is queued as far as that goes at once.
    virtual void flush() = 0;
    virtual std::string const& peer() const noexcept = 0;
    /// Another one to the same server; null when none is to spare.
    virtual awaitable<std::unique_ptr<byte_stream>> another() { co_return nullptr; }

    /// Called with what has arrived, in the middle of libssh: of the stream it may call send()
    /// only.
    std::function<void(std::string_view)> received{};
    /// Called once, when nothing more will arrive.
    std::function<void(std::exception_ptr)> ended{};
};

/// A session channel that runs a subsystem (RFC 4254 §6.5). What send() was given leaves in one
/// piece at the end of the turn of the loop, and further as the peer's window allows.
class subsystem : public byte_stream, private transport::listener {
public:
    subsystem(std::unique_ptr<channel_place> place, asio::any_io_executor executor,
              std::string name);
    subsystem(subsystem const&) = delete;
    subsystem& operator=(subsystem const&) = delete;
    ~subsystem() override;

    /// Opens the channel and starts what has that name on the server. `insist`: waits while the
    /// server has no channel to give.
    awaitable<> start(step when, bool insist = true);

    void send(std::string bytes) override;
    void flush() override;
    std::string const& peer() const noexcept override { return link_->peer(); }
    awaitable<std::unique_ptr<byte_stream>> another() override;

private:
    void progressed() noexcept override;
    void tell_end();
    bool usable() const noexcept { return handle_ && link_->alive() && !closed_; }

    std::unique_ptr<channel_place> place_;
    std::shared_ptr<transport> link_;
    asio::any_io_executor executor_;
    std::string name_;
    ssh_channel_callbacks_struct callbacks_{};
    channel_handle handle_;
    std::deque<std::string> queued_;
    std::size_t sent_ = 0; // of the first
    bool writing_ = false, closed_ = false, told_ = false;
    bool flush_posted_ = false;
    std::shared_ptr<subsystem*> self_ =
        std::make_shared<subsystem*>(this); // what is posted looks whether this is there
};

/// A subsystem of a connected session; one of its channels until it is destroyed.
awaitable<std::unique_ptr<subsystem>> open_subsystem(session& on, std::string name);

} // namespace trawl::ssh::detail
