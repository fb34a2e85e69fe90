#include "cli/ping_json.hpp"

#include <fmt/format.h>

#include <utility>

namespace trawl::cli {
namespace {

using icmp::status;

json::record of(std::string_view type, pinged_host const& h) {
    json::record made(type, "ping");
    made.field("target", h.name).field("address", h.address.to_string());
    return made;
}

void why(json::record& made, std::error_code failure) {
    if (failure) made.field("error", failure.message());
}

void statistics(json::record& made, icmp::tally const& t) {
    made.field("loss", t.loss()).field("duplicates", t.duplicates());
    made.field("rtt_min", t.least()).field("rtt_avg", t.average()).field("rtt_max", t.most());
    made.field("rtt_stddev", t.deviation()).field("jitter", t.jitter());
    made.field("rtt_p50", t.quantile(0.5)).field("rtt_p90", t.quantile(0.9));
    made.field("rtt_p99", t.quantile(0.99)).field("longest_loss", t.longest_loss());
}

} // namespace

ping_json::ping_json(bool each_echo, text_sink& sink, wall_clock now)
    : each_echo_(each_echo), sink_(sink), now_(std::move(now)) {}

void ping_json::write(json::record const& made) { sink_.out(made.line() + '\n'); }

void ping_json::unresolved(std::string_view name, std::string_view why, std::uint64_t) {
    told_.add(status::unknown);
    sink_.err(fmt::format("trawl: ping: {}\n", why));
    json::record made("host", "ping");
    made.field("target", name).field("address", nullptr);
    made.field("status", icmp::to_string(status::unknown)).field("rtt", nullptr);
    write(made.field("sent", 0).field("received", 0).field("error", why));
}

void ping_json::echo(pinged_host const& h, icmp::echo const& e) {
    if (!each_echo_) return;
    auto made = of("echo", h);
    made.field("index", e.index).field("status", icmp::to_string(e.status)).field("rtt", e.rtt);
    if (e.from)
        made.field("from", e.from->to_string());
    else
        made.field("from", nullptr);
    if (e.hops_left)
        made.field("ttl", *e.hops_left);
    else
        made.field("ttl", nullptr);
    made.field("bytes", e.bytes).field("duplicate", e.duplicate);
    if (e.from && e.status != status::up)
        made.field("icmp_type", e.type).field("icmp_code", e.code);
    why(made, e.why);
    write(made.field("time", json::time(now_())));
}

void ping_json::host(pinged_host const& h, icmp::result const& r) {
    told_.add(r.status);
    auto made = of("host", h);
    made.field("status", icmp::to_string(r.status)).field("rtt", r.rtt);
    made.field("sent", r.sent).field("received", r.received);
    if (h.tally.sent() > 0) statistics(made, h.tally);
    why(made, r.why);
    write(made);
}

void ping_json::interval(pinged_hosts hosts) {
    auto const now = json::time(now_());
    for (auto const& h : hosts) {
        auto made = of("interval", h);
        made.field("sent", h.recent.sent()).field("received", h.recent.received());
        statistics(made, h.recent);
        write(made.field("time", now));
    }
}

void ping_json::finish(pinged_hosts, ping_end const& end) {
    told_.complete(end);
    json::record made("summary", "ping");
    made.field("targets", told_.reported);
    for (auto s : {status::up, status::down, status::unreachable, status::unknown})
        made.field(icmp::to_string(s), told_.of(s));
    made.field("elapsed", end.elapsed).field("exit", end.exit_code);
    if (end.describe) end.describe(made);
    write(made);
}

} // namespace trawl::cli
