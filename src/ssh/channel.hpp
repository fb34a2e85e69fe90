#pragma once

#include "ssh/channel_handle.hpp"

#include <libssh/callbacks.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace trawl::ssh::detail {

/// What becomes of output beyond the budget of its stream.
enum class overflow {
    drop, ///< read and forgotten
    hold, ///< left in libssh, which does not reopen the peer's window for it
};

/// One session channel (RFC 4254 §6). What the peer sends arrives through libssh's callbacks in the
/// middle of any libssh call and is kept here; whoever waits looks at these members after
/// transport::progress().
class channel {
public:
    /// What is here of one output stream.
    struct stream {
        std::string bytes{};
        std::size_t budget = 0;
        std::size_t given =
            0; // bytes at the front that read() has taken, when there are more than budget
        std::size_t held = 0; // bytes in libssh's buffer
        bool truncated = false;
        /// The bytes that libssh need not keep.
        std::size_t take(char const* data, std::size_t size, overflow rest);
    };

    channel(std::shared_ptr<transport> link, std::size_t budget, overflow rest);
    channel(channel const&) = delete;
    channel& operator=(channel const&) = delete;
    /// Tells a command that has not ended to terminate, and closes. Does not wait for the peer's
    /// close: libssh frees its part when that arrives.
    ~channel();

    /// To be opened before anything else.
    channel_handle& handle() noexcept { return handle_; }
    awaitable<> request_terminal(ssh::terminal what, step when);
    /// False when the server refuses the variable.
    awaitable<bool> request_variable(std::string name, std::string value, step when);
    awaitable<> request_exec(std::string command, step when);
    /// Sends `input`, which outlives the call, as the peer's window allows. False when the command
    /// has ended or takes no more, or the connection is lost.
    awaitable<bool> feed(std::string_view input, step when);
    /// Throws failure when the connection was lost before the command's end.
    void check_connected(ssh::phase at) const;
    /// Sends the end of the input.
    void end_input();
    /// Waits for output and takes what is here, `budget` bytes at most, of the stream whose bytes
    /// came first; nullopt at the end.
    awaitable<std::optional<output_piece>> read(step when);
    /// Waits for the end: the peer's close, or end of output and status (some devices never close).
    awaitable<> finish(step when);
    /// From now on output is dropped, with what is here of it.
    void drop_output();

    void signal(char const* name);
    void resize(unsigned columns, unsigned rows);

    stream out, err;
    std::optional<int> exit_status{};
    std::string exit_signal{};

private:
    /// The command's status or signal has arrived.
    bool answered() const noexcept { return exit_status || !exit_signal.empty(); }
    bool ended() const noexcept { return closed_ || (eof_ && answered()); }
    int arrived(stream& to, char const* data, std::size_t size);
    std::optional<output_piece> take_piece();
    void fetch_held(stream& to, bool is_err);
    [[noreturn]] void throw_refused(errc code, ssh::phase at) const;
    [[noreturn]] void throw_unfinished(ssh::phase at) const;

    std::shared_ptr<transport> link_;
    ssh_channel_callbacks_struct callbacks_{};
    channel_handle handle_;
    overflow rest_;
    bool err_first_ = false; // of what is here, stderr came first
    bool running_ = false, eof_ = false, closed_ = false;
};

} // namespace trawl::ssh::detail
