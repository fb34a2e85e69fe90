#include "cli/ping_live.hpp"

#include "cli/live_view.hpp"

namespace trawl::cli {

ping_live::ping_live(std::unique_ptr<ping_writer> results, live_model model, live_screen& screen)
    : results_(std::move(results)), model_(std::move(model)), screen_(screen) {}

void ping_live::unresolved(std::string_view name, std::string_view why, std::uint64_t place) {
    model_.unresolved(place);
    results_->unresolved(name, why, place);
}

void ping_live::echo(pinged_host const& h, icmp::echo const& e) {
    model_.echo(h, e);
    results_->echo(h, e);
}

void ping_live::host(pinged_host const& h, icmp::result const& r) {
    model_.host(h, r);
    results_->host(h, r);
}

void ping_live::redraw(ping_moment const& moment) {
    model_.now(moment);
    screen_.show(draw(model_, screen_.look()));
}

void ping_live::finish(pinged_hosts hosts, ping_end const& end) {
    model_.now({.elapsed = end.elapsed, .sent = end.sent});
    screen_.close(draw(model_, screen_.look()));
    results_->finish(hosts, end);
}

} // namespace trawl::cli
