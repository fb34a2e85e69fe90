#pragma once

#include "cli/live_model.hpp"
#include "cli/live_screen.hpp"
#include "cli/ping_writer.hpp"

#include <memory>

namespace trawl::cli {

/// Draws a run while another writer tells of it.
class ping_live final : public ping_writer {
public:
    /// `screen` is not owned.
    ping_live(std::unique_ptr<ping_writer> results, live_model, live_screen& screen);

    bool wants_echoes() const override { return results_->wants_echoes(); }
    bool satisfied() const override { return results_->satisfied(); }
    void unresolved(std::string_view name, std::string_view why, std::uint64_t place) override;
    void begin(pinged_hosts hosts) override { results_->begin(hosts); }
    void asked(std::uint64_t place) override { model_.asked(place); }
    void echo(pinged_host const&, icmp::echo const&) override;
    void host(pinged_host const&, icmp::result const&) override;
    void interval(pinged_hosts hosts) override { results_->interval(hosts); }
    void snapshot(pinged_hosts hosts) override { results_->snapshot(hosts); }
    void redraw(ping_moment const&) override;
    void finish(pinged_hosts, ping_end const&) override;

private:
    std::unique_ptr<ping_writer> results_;
    live_model model_;
    live_screen& screen_;
};

} // namespace trawl::cli
