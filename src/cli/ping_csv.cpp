#include "cli/ping_csv.hpp"

#include <fmt/format.h>

#include <optional>

namespace trawl::cli {
namespace {

constexpr std::string_view names =
    "target,address,status,sent,received,loss_percent,duplicates,rtt_min_ms,rtt_avg_ms,rtt_max_ms,"
    "rtt_stddev_ms,jitter_ms,rtt_p50_ms,rtt_p90_ms,rtt_p99_ms,error\n";

std::string ms(std::optional<duration> length) {
    if (!length) return {};
    return fmt::format("{:.3f}", std::chrono::duration<double, std::milli>(*length).count());
}

double loss(icmp::result const& r) {
    return r.sent == 0 ? 0 : 100.0 * (r.sent - r.received) / r.sent;
}

} // namespace

std::string csv_field(std::string_view field) {
    if (field.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(field);
    std::string quoted = "\"";
    for (char c : field) quoted += c == '"' ? "\"\"" : std::string(1, c);
    return quoted + '"';
}

void ping_csv::row(std::string_view text) {
    if (!begun_) sink_.out(names);
    begun_ = true;
    if (!text.empty()) sink_.out(text);
}

void ping_csv::unresolved(std::string_view name, std::string_view why, std::uint64_t) {
    row(fmt::format("{},,{},0,0,,,,,,,,,,,{}\n", csv_field(name),
                    icmp::to_string(icmp::status::unknown), csv_field(why)));
}

void ping_csv::host(pinged_host const& h, icmp::result const& r) {
    auto const& t = h.tally;
    bool const counted = t.sent() > 0; // else only the result knows
    row(fmt::format("{},{},{},{},{},{:.4g},{},{},{},{},{},{},{},{},{},{}\n", csv_field(h.name),
                    r.address.to_string(), icmp::to_string(r.status), r.sent, r.received, loss(r),
                    counted ? std::to_string(t.duplicates()) : "", ms(t.least()), ms(r.rtt),
                    ms(t.most()), ms(t.deviation()), ms(t.jitter()), ms(t.quantile(0.5)),
                    ms(t.quantile(0.9)), ms(t.quantile(0.99)),
                    r.why ? csv_field(r.why.message()) : ""));
}

void ping_csv::finish(pinged_hosts, ping_end const&) { row({}); }

} // namespace trawl::cli
