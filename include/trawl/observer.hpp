#pragma once

#include <cstdint>
#include <string_view>

namespace trawl {

enum class severity { trace, debug, info, warning, error };

/// Where the library reports what is neither a result nor an error: one small abstract class,
/// nothing by default.
///
/// An observer outlives whatever it was given to. Calls come on the executor of the reporting
/// object and must not block; none is made from a pool thread. The library never writes to stdout,
/// stderr or a log of its own.
class observer {
public:
    virtual ~observer() = default;

    /// `where`: module and host ("ssh 10.0.0.7:22"); `text`: one line without a secret.
    virtual void log(severity, std::string_view where, std::string_view text) {
        (void)where, (void)text;
    }

    /// `done` of `total` (0: unknown) units of `what` ("hosts", "bytes").
    virtual void progress(std::string_view what, std::uint64_t done, std::uint64_t total) {
        (void)what, (void)done, (void)total;
    }

    /// A figure under its Prometheus name, with the unit in the name
    /// ("trawl_loop_hold_seconds_p99").
    virtual void metric(std::string_view name, double value) { (void)name, (void)value; }
};

} // namespace trawl
