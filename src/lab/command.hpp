#pragma once

#include "lab/descriptor.hpp"

#include <trawl/async.hpp>
#include <trawl/offload_pool.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <signal.h>
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

    /// Makes the pipes; throws std::system_error.
    command(asio::any_io_executor const& executor, options what);
    command(command const&) = delete;
    command& operator=(command const&) = delete;
    ~command();

    /// Starts it; throws std::system_error. Holds the thread until the child has become a shell
    /// (vfork): 0.5 ms, and much more on a busy machine.
    void start();
    /// The same on a thread of `pool`. Cancelling leaves it started or not; the destructor sees to
    /// it.
    awaitable<> start(offload_pool& pool);

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
    siginfo_t end() const;
    void spawn();
    void watch();

    options what_;
    descriptor in_, out_, err_; // the child's ends, until it has started
    asio::local::stream_protocol::socket input_;
    asio::posix::stream_descriptor output_, errors_, process_;
    pid_t pid_ = -1;
};

} // namespace trawl::lab
