#include "cli/ping_text.hpp"

#include <fmt/chrono.h>
#include <fmt/compile.h>
#include <fmt/format.h>

#include <iterator>

namespace trawl::cli {
namespace {

using icmp::status;

void add_milliseconds(std::string& to, duration d) {
    double const ms = std::chrono::duration<double, std::milli>(d).count();
    if (ms < 0.1)
        fmt::format_to(std::back_inserter(to), FMT_COMPILE("{:.3f}"), ms);
    else
        fmt::format_to(std::back_inserter(to), FMT_COMPILE("{:.2f}"), ms);
}

std::string milliseconds(duration d) {
    std::string text;
    add_milliseconds(text, d);
    return text;
}

std::string statistics(icmp::tally const& t) {
    std::string text;
    if (t.average()) text = fmt::format("{} ms ", milliseconds(*t.average()));
    text += fmt::format("({}/{}), {:.1f} % loss", t.received(), t.sent(), t.loss());
    if (t.least())
        text += fmt::format(", min/max/stddev {}/{}/{} ms", milliseconds(*t.least()),
                            milliseconds(*t.most()), milliseconds(*t.deviation()));
    if (t.received() >= 10)
        text += fmt::format(", p50/p90/p99 {}/{}/{} ms", milliseconds(*t.quantile(0.5)),
                            milliseconds(*t.quantile(0.9)), milliseconds(*t.quantile(0.99)));
    if (t.jitter()) text += fmt::format(", jitter {} ms", milliseconds(*t.jitter()));
    if (t.duplicates() > 0) text += fmt::format(", {} duplicates", t.duplicates());
    return text;
}

} // namespace

ping_text::ping_text(options o, text_sink& sink, wall_clock now)
    : options_(o), sink_(sink), now_(std::move(now)) {}

void ping_text::unresolved(std::string_view name, std::string_view why, std::uint64_t) {
    told_.add(status::unknown);
    sink_.err(fmt::format("trawl: ping: {}\n", why));
    if (options_.only_not)
        sink_.out(fmt::format("{}\n", name));
    else if (!options_.only_up)
        sink_.out(fmt::format("{}: unknown\n", name));
}

void ping_text::echo(pinged_host const& h, icmp::echo const& e) {
    if (!options_.each_echo) return;
    std::string text;
    if (options_.times) {
        auto const now = std::chrono::floor<std::chrono::milliseconds>(now_());
        text = fmt::format("{:%F %T} ", fmt::gmtime(std::chrono::system_clock::to_time_t(now)));
    }
    text += fmt::format("{}: [{}] {}", h.label, e.index,
                        e.duplicate ? "duplicate" : icmp::to_string(e.status));
    if (e.rtt) text += fmt::format(" {} ms", milliseconds(*e.rtt));
    if (e.from && *e.from != h.address) text += fmt::format(" from {}", e.from->to_string());
    if (e.hops_left) text += fmt::format(", ttl {}", *e.hops_left);
    if (e.why) text += fmt::format(" ({})", e.why.message());
    sink_.out(text + "\n");
}

void ping_text::host(pinged_host const& h, icmp::result const& r) {
    told_.add(r.status);
    if (options_.only_up || options_.only_not) {
        if (options_.only_up == (r.status == status::up)) sink_.out(h.label + "\n");
        return;
    }
    // The one line of a sweep that is written a million times: no format string is read for it.
    auto text = h.label;
    text.append(": ").append(icmp::to_string(r.status));
    if (h.tally.sent() > 1) {
        text += " " + statistics(h.tally);
    } else if (r.rtt) {
        text += ' ';
        add_milliseconds(text, *r.rtt);
        text += " ms";
    }
    if (!h.via.empty()) text += fmt::format(" ({})", h.via);
    if (r.why) text += fmt::format(" ({})", r.why.message());
    text += '\n';
    sink_.out(text);
}

void ping_text::interval(pinged_hosts hosts) {
    for (auto const& h : hosts) sink_.err(fmt::format("{}: {}\n", h.label, statistics(h.recent)));
}

void ping_text::finish(pinged_hosts hosts, ping_end const& end) {
    if (told_.complete(end) > 0 && !options_.only_up && !options_.only_not)
        for (auto const& h : hosts)
            if (h.tally.sent() > 0)
                sink_.out(fmt::format("{}: stopped {}\n", h.label, statistics(h.tally)));
    if (!options_.summary) return;
    sink_.err(fmt::format("{} targets: {} up, {} down, {} unreachable, {} unknown in {:.2f} s\n",
                          end.targets, told_.of(status::up), told_.of(status::down),
                          told_.of(status::unreachable), told_.of(status::unknown),
                          std::chrono::duration<double>(end.elapsed).count()));
}

} // namespace trawl::cli
