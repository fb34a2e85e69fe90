#pragma once

#include "cli/fping_options.hpp"
#include "cli/ping_writer.hpp"

#include <optional>
#include <string>
#include <vector>

namespace trawl::cli {

/// Whether -d or -n ask for the name that this target's address has.
bool wants_reverse_name(fping_options const& o, std::string const& target);

/// How a target is shown (-A, -d, -n). `reverse_name`: what its address is called, if that was
/// wanted and found.
std::string fping_label(fping_options const& o, std::string const& target,
                        asio::ip::address const& address,
                        std::optional<std::string> const& reverse_name = {});

/// Writes what fping 5.1 writes, to the stream that it writes to.
///
/// Where it differs: -D shows when an echo's end is written, not when the kernel received it; an
/// echo that an ICMP error ended is told "timed out" at once, not when its time is over; ICMPv6
/// errors are shown too; a duplicate with -l is shown but not counted as a further echo.
class fping_format : public ping_writer {
public:
    /// `sink` is not owned.
    fping_format(fping_options options, text_sink& sink,
                 wall_clock now = std::chrono::system_clock::now);

    bool satisfied() const override;
    void unresolved(std::string_view name, std::string_view why, std::uint64_t place) override;
    void begin(pinged_hosts) override;
    void echo(pinged_host const&, icmp::echo const&) override;
    void interval(pinged_hosts) override;
    void snapshot(pinged_hosts) override;
    void finish(pinged_hosts, ping_end const&) override;

    /// After finish(): what fping would exit with.
    int exit_code() const noexcept;

private:
    void answered(pinged_host const&, icmp::echo const&);
    void repeated(pinged_host const&, icmp::echo const&);
    void failed(pinged_host const&, icmp::echo const&);
    void echo_line(pinged_host const&, icmp::echo const&, std::string_view what);
    void warn_of_error(pinged_host const&, icmp::echo const&);
    void warn_of_source(pinged_host const&, icmp::echo const&);
    void charts(pinged_hosts);
    void chart(pinged_host const&);
    void host_summary(pinged_host const&, icmp::tally const&);
    void all_times(pinged_host const&);
    void run_totals(pinged_hosts, ping_end const&);
    void whether_enough();

    fping_options options_;
    text_sink& sink_;
    wall_clock now_;
    std::size_t width_ = 0; // of the longest label
    std::size_t hosts_ = 0, alive_ = 0, names_not_found_ = 0;
    std::uint64_t timeouts_ = 0, sent_ = 0, replies_ = 0, errors_ = 0;
    bool charts_declared_ = false;
    std::vector<std::vector<duration>> times_; // -C: by host and index; negative: no reply
};

} // namespace trawl::cli
