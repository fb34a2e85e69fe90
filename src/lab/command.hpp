#pragma once

#include <trawl/async.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <sys/types.h>

#include <string>
#include <vector>

namespace trawl::lab {

/// A command under /bin/sh as the current user, in a process group of its own, with stdin, stdout
/// and stderr apart. Nothing of it outlives this object: the destructor kills the whole group.
class command {
public:
    struct options {
        std::string line;                     ///< for `sh -c`; empty: a shell that reads its stdin
        std::vector<std::string> environment; ///< NAME=VALUE: all that the command gets
        std::string directory = "/";
    };
    struct result {
        int exit_status = 0;
        int signal = 0; ///< not 0: what killed it
        bool core = false;
    };

    /// Starts it; throws std::system_error.
    command(asio::any_io_executor const& executor, options what);
    command(command const&) = delete;
    command& operator=(command const&) = delete;
    ~command();

    asio::local::stream_protocol::socket& input() noexcept {
        return input_;
    } ///< a socket: writes raise no SIGPIPE
    asio::posix::stream_descriptor& output() noexcept { return output_; }
    asio::posix::stream_descriptor& errors() noexcept { return errors_; }

    /// Waits until the shell itself has ended. Its group, and so its number, stay until the
    /// destructor.
    awaitable<> ended();
    /// How it ended; after ended().
    result outcome() const;

    /// Sends a signal to the whole group.
    void signal(int number) noexcept;

private:
    asio::local::stream_protocol::socket input_;
    asio::posix::stream_descriptor output_, errors_, process_;
    pid_t pid_ = -1;
};

} // namespace trawl::lab
