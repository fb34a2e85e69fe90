#pragma once

#include "cli/ping_count.hpp"

#include <string>

namespace trawl::cli {

/// Text for a person: a line for each host as it ends, its statistics when it was asked more than
/// once, and a summary on stderr.
class ping_text : public ping_writer {
public:
    struct options {
        bool each_echo = false;                 ///< a line for each echo, too
        bool only_up = false, only_not = false; ///< these hosts only, by name alone
        bool times = false;                     ///< the time of day before each echo
        bool summary = true;
    };

    /// `sink` is not owned.
    ping_text(options, text_sink& sink, wall_clock now = std::chrono::system_clock::now);

    bool wants_echoes() const override { return options_.each_echo; }
    void unresolved(std::string_view name, std::string_view why, std::uint64_t place) override;
    void echo(pinged_host const&, icmp::echo const&) override;
    void host(pinged_host const&, icmp::result const&) override;
    void interval(pinged_hosts) override;
    void finish(pinged_hosts, ping_end const&) override;

private:
    options options_;
    text_sink& sink_;
    wall_clock now_;
    ping_count told_;
};

} // namespace trawl::cli
