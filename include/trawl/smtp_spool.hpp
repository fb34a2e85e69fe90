#pragma once

#include <trawl/async.hpp>
#include <trawl/observer.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/smtp.hpp>
#include <trawl/smtp_direct.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace trawl::smtp {

/// When a deferred message is tried again (RFC 5321 §4.5.4.1): `first` after the first attempt, and
/// twice as long after each further one, up to `longest`.
struct schedule {
    /// As said above.
    std::chrono::seconds first{300}, longest{4 * 3600};
    /// An attempt that fails this long after the message came is the last.
    std::chrono::seconds expiry{5 * 86400};
};

/// Where messages wait, and for how long.
struct spool_options {
    std::filesystem::path folder; ///< made when missing, for its owner only
    smtp::schedule schedule;      ///< of deferred ones
    observer* watch = nullptr;    ///< hears of files that cannot be read or written; not owned
    /// What time it is.
    std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
};

/// Messages on disk until their recipients have an answer. Survives kill -9 at any moment.
///
///     FOLDER/tmp/NAME      being written
///     FOLDER/queue/NAME    waits, or is being sent: locked (flock) by whoever does that
///     FOLDER/failed/NAME   somebody was refused, given up, or is unknown: nobody sends it again
///     FOLDER/corrupt/NAME  was in queue and is no message of ours
///
/// A message is a file: envelope and text, then a line for each thing that happened, all with
/// checksums. Before a transaction begins it is written down, and the answers behind it. A recipient
/// with a beginning and no answer, because the process was killed or the connection lost, is
/// unknown: the message may have arrived, so that it is not sent again. The files are readable text
/// before and behind the message. Several processes may use one folder.
///
/// Not thread-safe. Files are handled in jobs of the pool. Pool and `direct` outlive what was started.
class spool {
public:
    /// Makes the folders (blocks shortly). Throws error, the system's reason.
    spool(offload_pool& files, spool_options how);
    spool(spool const&) = delete;
    spool& operator=(spool const&) = delete;
    ~spool();

    /// Keeps a message, due at once, and returns its name; it is on disk then. Throws error for an
    /// envelope that cannot be sent, and the system's reason when it cannot be written, or not be made
    /// safe against a crash: it is not kept then, and nobody has sent it. Cancelled, it may or may not
    /// have kept it.
    awaitable<std::string> put(outgoing one);

    /// Tries a message, due or not, and returns the answer for each recipient that was waiting.
    /// Those deferred wait for the next attempt, unless the message has expired: then they are
    /// refused (5.4.7). nullopt when it is not there, another process has it, or it is corrupt.
    /// What direct::send throws is a deferral with that reason. Throws error when the file cannot be
    /// read, or the answers not be written: then it waits as after a deferral, and whoever had a
    /// transaction is unknown. Cancelled, recipients whose transaction had begun are unknown.
    awaitable<std::optional<receipt>> attempt(std::string name, direct& by);

    /// Tries all messages that are due, `at_a_time` of them, and calls `done` for each with its name
    /// and what attempt() returns; one that fails stops no other. Leftovers of writers that died are removed.
    awaitable<> flush(direct& by, std::size_t at_a_time,
                      std::function<void(std::string const& name, receipt const&)> done);

    /// How many messages wait, due or not.
    awaitable<std::size_t> size();

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::smtp
