#include "monitor.hpp"

#include "records.hpp"

#include <boost/json/object.hpp>

#include <algorithm>

using trawl::awaitable;

namespace service {

awaitable<> monitor::run() {
    if (options_.targets.empty()) co_return;
    for (auto next = trawl::clock::now();; next += options_.every) {
        co_await trawl::sleep_until(next);
        try {
            co_await round();
        } catch (trawl::error const& e) { // no permission to ping, for instance
            if (trawl::is_cancelled(e)) throw;
            log_.log(trawl::severity::warning, "monitor", e.what());
        }
        next = std::max(next, trawl::clock::now() - options_.every); // a round may take longer
    }
}

awaitable<> monitor::round() {
    trawl::icmp::sweep::options how;
    how.retries = 0; // each echo counts
    trawl::icmp::sweep sweep(pinger_, options_.targets, how);
    while (auto const result = co_await sweep.next()) {
        auto& one = hosts_[result->address];
        one.status = result->status;
        one.rtt = result->rtt;
        one.sent += result->sent;
        if (result->rtt) one.responses.add(*result->rtt);
    }
}

void monitor::write(exposition& to) const {
    if (hosts_.empty()) return;
    auto const each = [&](char const* name, char const* kind, char const* help, auto tell) {
        to.family(name, kind, help);
        for (auto const& [address, one] : hosts_) {
            labels const of{{"ip", address.to_string()}, {"host", address.to_string()}};
            tell(name, of, one);
        }
    };
    each("probe_success", "gauge", "Whether the target has answered the last probe",
         [&](auto name, auto& of, host const& one) {
             to.sample(name, of, one.status == trawl::icmp::status::up ? 1 : 0);
         });
    each("probe_duration_seconds", "gauge", "Round trip of the last probe",
         [&](auto name, auto& of, host const& one) {
             if (one.rtt) to.sample(name, of, std::chrono::duration<double>(*one.rtt).count());
         });
    each("smokeping_requests_total", "counter", "Number of ping requests sent",
         [&](auto name, auto& of, host const& one) {
             to.sample(name, of, static_cast<double>(one.sent));
         });
    each("smokeping_response_duration_seconds", "histogram",
         "A histogram of latencies for ping responses",
         [&](auto name, auto& of, host const& one) { one.responses.write(to, name, of); });
}

boost::json::array monitor::to_json() const {
    boost::json::array all;
    for (auto const& [address, one] : hosts_) {
        boost::json::object told;
        told["address"] = address.to_string();
        told["status"] = to_string(one.status);
        told["rtt"] = seconds(one.rtt);
        all.push_back(std::move(told));
    }
    return all;
}

awaitable<> heartbeat::run() {
    for (;;) {
        auto const due = trawl::clock::now() + beat_;
        co_await trawl::sleep_until(due);
        late_[next_++ % late_.size()] = trawl::clock::now() - due;
    }
}

trawl::duration heartbeat::worst() const { return *std::ranges::max_element(late_); }

} // namespace service
