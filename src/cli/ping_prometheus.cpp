#include "cli/ping_prometheus.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace trawl::cli {
namespace {

/// smokeping_prober's: 50 microseconds, and doubled up to 26 seconds.
constexpr duration bucket_end(std::size_t i) {
    return std::chrono::duration_cast<duration>(std::chrono::microseconds(50)) * (1 << i);
}

double seconds(duration d) { return std::chrono::duration<double>(d).count(); }

/// A label's value: backslash, quote and line end need a backslash.
std::string escaped_label(std::string_view value) {
    std::string out;
    for (char c : value) {
        if (c == '\n') {
            out += "\\n";
            continue;
        }
        if (c == '\\' || c == '"') out += '\\';
        out += c;
    }
    return out;
}

void family(std::string& text, std::string_view name, std::string_view type,
            std::string_view help) {
    text += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

} // namespace

ping_prometheus::ping_prometheus(std::string source, text_sink& sink)
    : source_(std::move(source)), sink_(sink) {}

void ping_prometheus::unresolved(std::string_view name, std::string_view, std::uint64_t) {
    if (std::ranges::find(unresolved_, name) == unresolved_.end()) unresolved_.emplace_back(name);
}

void ping_prometheus::begin(pinged_hosts hosts) {
    std::unordered_set<std::string> seen;
    responses_.resize(hosts.size());
    for (auto const& h : hosts)
        if (seen.insert(labels(h)).second) distinct_.push_back(h.number);
}

void ping_prometheus::echo(pinged_host const& h, icmp::echo const& e) {
    if (e.status != icmp::status::up || e.duplicate || !e.rtt) return;
    auto& r = responses_[h.number];
    for (std::size_t i = 0; i < r.within.size(); ++i)
        if (*e.rtt <= bucket_end(i)) {
            ++r.within[i];
            break;
        }
    ++r.count;
    r.sum += *e.rtt;
    r.hops_left = e.hops_left;
}

std::string ping_prometheus::labels(std::string_view address, std::string_view host) const {
    return fmt::format("ip=\"{}\",host=\"{}\",source=\"{}\"", address, escaped_label(host),
                       escaped_label(source_));
}

std::string ping_prometheus::labels(pinged_host const& h) const {
    return labels(h.address.to_string(), h.name);
}

void ping_prometheus::histogram(std::string& text, pinged_host const& h) const {
    constexpr std::string_view name = "smokeping_response_duration_seconds";
    auto const& r = responses_[h.number];
    auto const whose = labels(h);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < r.within.size(); ++i)
        text += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, whose, seconds(bucket_end(i)),
                            sum += r.within[i]);
    text += fmt::format("{}_bucket{{{},le=\"+Inf\"}} {}\n", name, whose, r.count);
    text += fmt::format("{}_sum{{{}}} {}\n", name, whose, seconds(r.sum));
    text += fmt::format("{}_count{{{}}} {}\n", name, whose, r.count);
}

std::string ping_prometheus::exposition(pinged_hosts hosts) const {
    std::string text;
    auto const of_each = [&](std::string_view name, auto value) {
        for (auto i : distinct_)
            text += fmt::format("{}{{{}}} {}\n", name, labels(hosts[i]), value(hosts[i]));
    };
    family(text, "smokeping_requests_total", "counter", "Number of ping requests sent");
    of_each("smokeping_requests_total", [](auto const& h) { return h.tally.sent(); });
    family(text, "smokeping_response_duration_seconds", "histogram",
           "A histogram of latencies for ping responses");
    for (auto i : distinct_) histogram(text, hosts[i]);
    family(text, "smokeping_response_duplicates_total", "counter",
           "The number of duplicated response packets");
    of_each("smokeping_response_duplicates_total",
            [](auto const& h) { return h.tally.duplicates(); });
    family(text, "smokeping_response_ttl", "gauge", "The last response's time to live");
    for (auto i : distinct_)
        if (auto const ttl = responses_[i].hops_left)
            text += fmt::format("smokeping_response_ttl{{{}}} {}\n", labels(hosts[i]), *ttl);
    family(text, "probe_success", "gauge", "Whether the target has answered");
    of_each("probe_success", [](auto const& h) { return h.tally.received() > 0 ? 1 : 0; });
    for (auto const& name : unresolved_)
        text += fmt::format("probe_success{{{}}} 0\n", labels({}, name));
    family(text, "probe_icmp_duration_seconds", "gauge", "Round trip of the last response");
    for (auto i : distinct_)
        if (auto const last = hosts[i].tally.last())
            text += fmt::format("probe_icmp_duration_seconds{{{},phase=\"rtt\"}} {}\n",
                                labels(hosts[i]), seconds(*last));
    return text;
}

void ping_prometheus::finish(pinged_hosts hosts, ping_end const&) { sink_.out(exposition(hosts)); }

} // namespace trawl::cli
