#pragma once

#include <trawl/icmp.hpp>
#include <trawl/icmp_tally.hpp>

#include <asio/ip/address.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace trawl::json {
class record;
}

namespace trawl::cli {

/// One target of `trawl ping`, kept by the one who runs it.
struct pinged_host {
    std::size_t number = 0;  ///< among the hosts of the run, from 0
    std::uint64_t place = 0; ///< of its target in the list; 0 where no one asks (ping_plan::place)
    std::string name;        ///< as given
    std::string label;       ///< as shown: `name`, or what -A, -n and -d make of it
    asio::ip::address address;
    std::string via;                    ///< what answered where no echo reply came: "tcp/443"
    icmp::tally tally;                  ///< of all its echoes that have ended
    icmp::tally recent;                 ///< of those since the last interval() or snapshot()
    std::optional<icmp::status> before; ///< how the echo before the one that is told of ended
};
using pinged_hosts = std::span<pinged_host const>;

/// What a run was as a whole.
struct ping_end {
    duration elapsed{};        ///< since it began, looking up names included
    std::uint64_t sent = 0;    ///< echoes
    std::uint64_t late = 0;    ///< replies that came after their time (statistics::late)
    std::uint64_t targets = 0; ///< how many there were to ask; those without a result are unknown
    int exit_code = 0;         ///< of the command, for the writers that tell it
    std::array<std::uint64_t, 4>
        earlier{}; ///< by status: results of the runs this one goes on from
    /// Adds to the record of the summary which part of which sweep this was; empty: nothing.
    std::function<void(json::record&)> describe = {};
};

/// How far a run is.
struct ping_moment {
    duration elapsed{};
    std::uint64_t sent = 0; ///< echoes
};

/// Where a writer's text goes. Whole lines, with their newline, except where fping's are not.
class text_sink {
public:
    virtual ~text_sink() = default;
    virtual void out(std::string_view text) = 0; ///< to stdout
    virtual void err(std::string_view text) = 0; ///< to stderr
};

/// The wall clock; a test has its own.
using wall_clock = std::function<std::chrono::system_clock::time_point()>;

/// Turns the events of a run into text: fping's, CSV, JSON, Prometheus. Takes no file, no socket
/// and no time but its wall_clock's, and waits for nothing. Who runs it calls, in this order:
/// unresolved() for each name without an address, begin(), the events as they come, finish().
class ping_writer {
public:
    virtual ~ping_writer() = default;

    /// False: host() alone will do, with empty tallies if need be, and begin() and finish() take
    /// no hosts, so that a sweep of millions keeps none of them.
    virtual bool wants_echoes() const { return true; }
    /// Nothing more needs to be known: the run may end early (fping -X).
    virtual bool satisfied() const { return false; }

    virtual void unresolved(std::string_view name, std::string_view why, std::uint64_t place) = 0;
    virtual void begin(pinged_hosts) {}
    /// The first echo to the target at `place` goes out, or its name is looked up; told only where
    /// the plan has places.
    virtual void asked(std::uint64_t /*place*/) {}
    /// An echo has ended, or a duplicate came; the host's tallies have counted it.
    virtual void echo(pinged_host const&, icmp::echo const&) {}
    /// The host's last echo has ended.
    virtual void host(pinged_host const&, icmp::result const&) {}
    /// Some seconds have passed (-Q); `recent` begins anew after it.
    virtual void interval(pinged_hosts) {}
    /// The user asks how it stands (SIGQUIT); `recent` begins anew after it.
    virtual void snapshot(pinged_hosts hosts) { interval(hosts); }
    /// Another picture is due (ping_plan::redraw).
    virtual void redraw(ping_moment const&) {}
    /// At the end, also of a run that was interrupted.
    virtual void finish(pinged_hosts, ping_end const&) = 0;
};

} // namespace trawl::cli
