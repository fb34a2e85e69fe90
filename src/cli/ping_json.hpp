#pragma once

#include "cli/ping_count.hpp"
#include "json/record.hpp"

namespace trawl::cli {

/// --json: a "host" record for each host as it ends, "interval" records between, one "summary" at
/// the end; with `each_echo` also an "echo" record for each echo. A host whose echoes were counted
/// has its statistics in its record.
class ping_json : public ping_writer {
public:
    /// `sink` is not owned.
    ping_json(bool each_echo, text_sink& sink, wall_clock now = std::chrono::system_clock::now);

    bool wants_echoes() const override { return each_echo_; }
    void unresolved(std::string_view name, std::string_view why, std::uint64_t place) override;
    void echo(pinged_host const&, icmp::echo const&) override;
    void host(pinged_host const&, icmp::result const&) override;
    void interval(pinged_hosts) override;
    void finish(pinged_hosts, ping_end const&) override;

private:
    void write(json::record const& made);

    bool each_echo_;
    text_sink& sink_;
    wall_clock now_;
    ping_count told_;
};

} // namespace trawl::cli
