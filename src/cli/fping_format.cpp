#include "cli/fping_format.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <arpa/inet.h>
#include <ctime>
#include <iterator>
#include <utility>

namespace trawl::cli {
namespace {

using icmp::status;
using std::chrono::nanoseconds;

/// Milliseconds with three digits that count, as fping's sprint_tm.
std::string ms(duration length) {
    double const t = std::chrono::duration<double, std::milli>(length).count();
    if (t < 0) return fmt::format("{:.2g}", t);
    if (t < 1) return fmt::format("{:.3f}", t);
    if (t < 10) return fmt::format("{:.2f}", t);
    if (t < 100) return fmt::format("{:.1f}", t);
    if (t < 1'000'000) return fmt::format("{:.0f}", t);
    return fmt::format("{:.3e}", t);
}

std::string average(icmp::tally const& t) {
    auto const known = t.average();
    return known ? ms(*known) : "NaN";
}

/// In per cent, rounded down.
std::uint64_t loss(icmp::tally const& t) { return t.sent() == 0 ? 0 : t.lost() * 100 / t.sent(); }

std::string unreachable_v4(unsigned code) {
    static constexpr std::string_view plain[] = {"Network", "Host", "Protocol", "Port"};
    static constexpr std::string_view why[] = {"Fragmentation Needed",
                                               "Source Route Failed",
                                               "Destination Network Unknown",
                                               "Destination Host Unknown",
                                               "Source Host Isolated",
                                               "Communication with Network Prohibited",
                                               "Communication with Host Prohibited",
                                               "Network Unreachable For Type Of Service",
                                               "Host Unreachable For Type Of Service",
                                               "Communication Administratively Prohibited",
                                               "Host Precedence Violation",
                                               "Precedence cutoff in effect"};
    if (code < std::size(plain)) return fmt::format("ICMP {} Unreachable", plain[code]);
    code -= static_cast<unsigned>(std::size(plain));
    return fmt::format("ICMP Unreachable ({})", code < std::size(why) ? why[code] : "Invalid Code");
}

std::string error_v4(icmp::echo const& e) {
    switch (e.type) {
    case 3: return unreachable_v4(e.code);
    case 4: return "ICMP Source Quench";
    case 5: return "ICMP Redirect";
    case 11: return "ICMP Time Exceeded";
    case 12: return "ICMP Parameter Problem";
    default: return fmt::format("ICMP {}", e.type);
    }
}

/// RFC 4443 §3. fping 5.1 looks for the echo at the wrong place in these, and never shows them.
std::string error_v6(icmp::echo const& e) {
    static constexpr std::string_view why[] = {
        "No Route",         "Administratively Prohibited",  "Beyond Scope", "Address Unreachable",
        "Port Unreachable", "Source Address Failed Policy", "Reject Route"};
    switch (e.type) {
    case 1:
        return fmt::format("ICMPv6 Unreachable ({})",
                           e.code < std::size(why) ? why[e.code] : "Invalid Code");
    case 2: return "ICMPv6 Packet Too Big";
    case 3: return "ICMPv6 Time Exceeded";
    case 4: return "ICMPv6 Parameter Problem";
    default: return fmt::format("ICMPv6 {}", e.type);
    }
}

/// fping sent it and waits for the reply: not an echo that the kernel refused.
bool went_out(icmp::echo const& e) {
    return e.status == status::down || e.from || e.why == icmp::errc::replies_dropped;
}

} // namespace

bool wants_reverse_name(fping_options const& o, std::string const& target) {
    if (o.names_of_all || !o.names_of_addresses) return o.names_of_all;
    asio::error_code failure;
    asio::ip::make_address(target, failure);
    in_addr short_form{}; // 127.1
    return !failure || ::inet_aton(target.c_str(), &short_form) != 0;
}

std::string fping_label(fping_options const& o, std::string const& target,
                        asio::ip::address const& address,
                        std::optional<std::string> const& reverse_name) {
    auto const& name = reverse_name && wants_reverse_name(o, target) ? *reverse_name : target;
    if (!o.addresses) return name;
    if (!o.names_of_all && !o.names_of_addresses) return address.to_string();
    return fmt::format("{} ({})", name, address.to_string());
}

fping_format::fping_format(fping_options options, text_sink& sink, wall_clock now)
    : options_(std::move(options)), sink_(sink), now_(std::move(now)) {}

bool fping_format::satisfied() const { return options_.at_once && alive_ >= options_.required; }

int fping_format::exit_code() const noexcept {
    return fping_exit_code(options_, hosts_, alive_, names_not_found_);
}

void fping_format::unresolved(std::string_view name, std::string_view why, std::uint64_t) {
    ++names_not_found_;
    if (!options_.quiet) sink_.err(fmt::format("{}: {}\n", name, why));
}

void fping_format::begin(pinged_hosts hosts) {
    hosts_ = hosts.size();
    for (auto const& h : hosts) width_ = std::max(width_, h.label.size());
    if (options_.vector) times_.resize(hosts.size());
}

// ---- echoes ----

void fping_format::echo(pinged_host const& h, icmp::echo const& e) {
    if (e.duplicate) return repeated(h, e);
    ++sent_;
    if (e.status == status::up)
        answered(h, e);
    else
        failed(h, e);
}

void fping_format::answered(pinged_host const& h, icmp::echo const& e) {
    auto const rtt = e.rtt.value_or(duration{});
    ++replies_;
    if (options_.vector) {
        auto& times = times_[h.number];
        if (times.size() <= e.index) times.resize(e.index + 1, duration(-1));
        times[e.index] = rtt;
    }
    if (h.tally.received() == 1) {
        ++alive_;
        if (options_.verdicts || options_.alive) {
            warn_of_source(h, e);
            sink_.out(fmt::format("{}{}{}\n", h.label, options_.verdicts ? " is alive" : "",
                                  options_.elapsed ? fmt::format(" ({} ms)", ms(rtt)) : ""));
        }
    }
    if (options_.each_echo) {
        warn_of_source(h, e);
        echo_line(h, e, fmt::format("{} bytes, {} ms", e.bytes, ms(rtt)));
    }
}

void fping_format::repeated(pinged_host const& h, icmp::echo const& e) {
    auto const rtt = e.rtt.value_or(duration{});
    auto const what = fmt::format("{} bytes, {} ms", e.bytes, ms(rtt));
    ++replies_;
    if (options_.how == fping_options::mode::loop) {
        if (options_.each_echo) echo_line(h, e, what);
    } else if (!options_.each_echo) {
        // fping knows a host's retries by one number.
        auto const index = options_.how == fping_options::mode::reach ? 0 : e.index;
        sink_.err(fmt::format("{} : duplicate for [{}], {}", h.label, index, what));
        warn_of_source(h, e);
        sink_.err("\n");
    }
}

void fping_format::failed(pinged_host const& h, icmp::echo const& e) {
    if (!went_out(e)) {
        if (options_.verdicts)
            sink_.err(fmt::format("{}: error while sending ping: {}\n", h.label, e.why.message()));
        return;
    }
    if (e.from) warn_of_error(h, e);
    ++timeouts_;
    if (options_.each_echo) echo_line(h, e, "timed out");
}

void fping_format::echo_line(pinged_host const& h, icmp::echo const& e, std::string_view what) {
    std::string text;
    if (options_.timestamps)
        text = fmt::format("[{:.5f}] ",
                           std::chrono::duration<double>(now_().time_since_epoch()).count());
    sink_.out(text + fmt::format("{:<{}} : [{}], {} ({} avg, {}% loss)\n", h.label, width_, e.index,
                                 what, average(h.tally), loss(h.tally)));
}

void fping_format::warn_of_error(pinged_host const& h, icmp::echo const& e) {
    ++errors_;
    if (options_.quiet) return;
    sink_.err(fmt::format("{} from {} for ICMP Echo sent to {}\n",
                          h.address.is_v4() ? error_v4(e) : error_v6(e), e.from->to_string(),
                          h.label));
}

/// On stderr, as fping does, although the line that it belongs to is on stdout.
void fping_format::warn_of_source(pinged_host const& h, icmp::echo const& e) {
    if (e.from && *e.from != h.address) sink_.err(fmt::format(" [<- {}]", e.from->to_string()));
}

// ---- summaries ----

void fping_format::interval(pinged_hosts hosts) {
    if (options_.netdata)
        charts(hosts);
    else
        snapshot(hosts);
}

void fping_format::snapshot(pinged_hosts hosts) {
    if (options_.verdicts || options_.each_echo) sink_.err("\n");
    auto const now = std::chrono::system_clock::to_time_t(now_());
    sink_.err(fmt::format("[{:%H:%M:%S}]\n", fmt::localtime(now)));
    for (auto const& h : hosts) host_summary(h, h.recent);
}

void fping_format::host_summary(pinged_host const& h, icmp::tally const& t) {
    auto text = fmt::format("{:<{}} : xmt/rcv/%loss = {}/{}/{}%", h.label, width_, t.sent(),
                            t.received(), loss(t));
    if (options_.outage)
        text += fmt::format(
            ", outage(ms) = {}",
            std::chrono::floor<std::chrono::milliseconds>(t.outage(options_.period)).count());
    if (t.received() > 0)
        text += fmt::format(", min/avg/max = {}/{}/{}", ms(*t.least()), average(t), ms(*t.most()));
    sink_.err(text + '\n');
}

void fping_format::all_times(pinged_host const& h) {
    auto text = fmt::format("{:<{}} :", h.label, width_);
    auto const& times = times_[h.number];
    for (std::size_t i = 0; i < h.tally.sent(); ++i)
        text += i < times.size() && times[i] >= duration{} ? ' ' + ms(times[i]) : " -";
    sink_.err(text + '\n');
}

void fping_format::finish(pinged_hosts hosts, ping_end const& end) {
    for (auto const& h : hosts)
        if (h.tally.received() == 0 && (options_.verdicts || options_.unreachable))
            sink_.out(h.label + (options_.verdicts ? " is unreachable\n" : "\n"));
    if (options_.how != fping_options::mode::reach) {
        if (options_.each_echo) sink_.err("\n");
        for (auto const& h : hosts)
            if (options_.vector)
                all_times(h);
            else
                host_summary(h, h.tally);
    }
    if (options_.totals) run_totals(hosts, end);
    if (options_.required > 0) whether_enough();
}

void fping_format::run_totals(pinged_hosts hosts, ping_end const& end) {
    icmp::tally all;
    for (auto const& h : hosts) all.add(h.tally);
    auto const silent =
        std::ranges::count_if(hosts, [](pinged_host const& h) { return h.tally.received() == 0; });
    std::string text = "\n";
    auto const line = [&text](auto number, std::string_view what) {
        text += fmt::format(" {:7} {}\n", number, what);
    };
    line(hosts.size(), "targets");
    line(alive_, "alive");
    line(silent, "unreachable");
    line(names_not_found_, "unknown addresses");
    text += '\n';
    line(timeouts_, "timeouts (waiting for response)");
    line(sent_, "ICMP Echos sent");
    line(replies_ + end.late, "ICMP Echo Replies received");
    line(errors_, "other ICMP received");
    auto const trip = [&text](std::optional<duration> length, std::string_view which) {
        text +=
            fmt::format(" {} ms ({} round trip time)\n", ms(length.value_or(duration{})), which);
    };
    text += '\n';
    trip(all.least(), "min");
    trip(all.average(), "avg");
    trip(all.most(), "max");
    text += fmt::format(" {:12.3f} sec (elapsed real time)\n\n",
                        std::chrono::duration<double>(end.elapsed).count());
    sink_.err(text);
}

void fping_format::whether_enough() {
    sink_.out(fmt::format("{} hosts reachable (required: {}, reachable: {})\n",
                          alive_ >= options_.required ? "Enough" : "Not enough", options_.required,
                          alive_));
}

// ---- Netdata ----

void fping_format::charts(pinged_hosts hosts) {
    for (auto const& h : hosts) chart(h);
    charts_declared_ = true;
}

void fping_format::chart(pinged_host const& h) {
    auto id = h.name;
    for (auto& c : id)
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')) c = '_';
    std::string text;
    auto const begin = [&](std::string_view kind, std::string_view title, std::string_view unit,
                           std::string_view style, std::string_view dimensions) {
        if (!charts_declared_)
            text += fmt::format("CHART fping.{0}_{1} '' 'FPing {2} for host {3}' {4} '{3}' "
                                "fping.{1} {5} {6:.0f}\n{7}",
                                id, kind, title, h.label, unit, style,
                                std::chrono::duration<double>(options_.report).count(), dimensions);
        text += fmt::format("BEGIN fping.{}_{}\n", id, kind);
    };
    auto const set = [&text](std::string_view what, auto number) {
        text += fmt::format("SET {} = {}\n", what, number);
    };
    auto const& t = h.recent;
    begin("packets", "Packets", "packets", "line 110020",
          "DIMENSION xmt sent absolute 1 1\nDIMENSION rcv received absolute 1 1\n");
    set("xmt", t.sent()), set("rcv", t.received());
    text += "END\n";
    begin("quality", "Quality", "percentage", "area 110010",
          "DIMENSION returned '' absolute 1 1\n");
    set("returned", t.sent() == 0 ? 0 : t.received() * 100 / t.sent());
    text += "END\n";
    begin("latency", "Latency", "ms", "area 110000",
          "DIMENSION min minimum absolute 1 1000000\nDIMENSION max maximum absolute 1 1000000\n"
          "DIMENSION avg average absolute 1 1000000\n");
    if (t.received() > 0) {
        auto const ns = [](duration d) {
            return std::chrono::duration_cast<nanoseconds>(d).count();
        };
        set("min", ns(*t.least())), set("avg", ns(*t.average())), set("max", ns(*t.most()));
    }
    sink_.out(text + "END\n");
}

} // namespace trawl::cli
