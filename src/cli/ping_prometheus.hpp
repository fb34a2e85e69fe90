#pragma once

#include "cli/ping_writer.hpp"

#include <array>
#include <optional>
#include <vector>

namespace trawl::cli {

/// Prometheus' text format 0.0.4, under the names that dashboards know: smokeping_prober's counters
/// and histogram (with its buckets and its labels ip, host, source), and blackbox_exporter's
/// probe_success and probe_icmp_duration_seconds, here with the same labels, for many targets.
///
/// Written once, at the end; exposition() gives the same at any time, for a file or a scrape. Of
/// targets that were given twice only the first is told, since no two series may be alike.
class ping_prometheus : public ping_writer {
public:
    /// `source`: the label, an address or empty. `sink` is not owned.
    ping_prometheus(std::string source, text_sink& sink);

    void unresolved(std::string_view name, std::string_view why, std::uint64_t place) override;
    void begin(pinged_hosts) override;
    void echo(pinged_host const&, icmp::echo const&) override;
    void finish(pinged_hosts, ping_end const&) override;

    std::string exposition(pinged_hosts hosts) const;

private:
    struct responses {
        std::array<std::uint64_t, 20> within{}; // by bucket; what is longer is in `count` only
        std::uint64_t count = 0;
        duration sum{};
        std::optional<std::uint8_t> hops_left; // of the last
    };
    void histogram(std::string& text, pinged_host const& h) const;
    std::string labels(std::string_view address, std::string_view host) const;
    std::string labels(pinged_host const& h) const;

    std::string source_;
    text_sink& sink_;
    std::vector<std::size_t> distinct_;   // hosts, without those given before
    std::vector<responses> responses_;    // by host
    std::vector<std::string> unresolved_; // names
};

} // namespace trawl::cli
