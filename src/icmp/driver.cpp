#include "icmp/driver.hpp"

#include <algorithm>

namespace trawl::icmp::detail {
namespace {

// Who floods us with packets that pass the filter must not keep a sweep from ending: after so many
// turns without reaching the end of the queue, what is due expires all the same.
constexpr unsigned undrained_limit = 1000;

} // namespace

driver::driver(engine& of, channel* v4, channel* v6, time_source now)
    : engine_(of), v4_(v4), v6_(v6), now_(now) {}

void driver::begin() {
    // Bounded by what the buffers hold; a flood goes on in turn().
    std::size_t budget = 0;
    for (auto* c : {v4_, v6_})
        if (c) budget += c->capacity();
    drain(budget);
    engine_.note_drops(drops(), now_());
}

std::uint64_t driver::drops() {
    std::uint64_t total = 0;
    for (auto* c : {v4_, v6_})
        if (c) total += c->drops();
    return total;
}

bool driver::drain(std::size_t& budget) {
    bool const v4 = drain(v4_, budget);
    bool const v6 = drain(v6_, budget);
    return v4 && v6;
}

bool driver::drain(channel* from, std::size_t& budget) {
    if (from)
        for (auto const& d : from->departures()) engine_.departed(d.number, d.when);
    for (bool more = from != nullptr; more;) {
        if (budget == 0) return false;
        auto const batch = from->receive(more);
        for (auto const& a : batch) engine_.receive(a.what, a.from, a.hops_left, a.when);
        budget -= std::min(budget, std::max<std::size_t>(1, batch.size()));
    }
    return true;
}

void driver::expire(bool drained) {
    undrained_ = drained ? 0 : undrained_ + 1;
    if (!drained && undrained_ < undrained_limit) return;
    auto const now = now_();
    if (!engine_.due(now)) return;
    engine_.note_drops(drops(), now);
    engine_.expire(now);
}

driver::progress driver::turn() {
    auto const began = now_();
    std::size_t budget = turn_packets, handled = 0;
    for (;;) {
        bool const drained = drain(budget);
        expire(drained);
        if (!drained) return {.again = true};
        std::size_t const count = engine_.collect(now_(), parcels_);
        if (count == 0) return {.wake = next_wake()};
        std::size_t v4 = 0, v6 = 0;
        for (auto const& p : std::span(parcels_).first(count))
            (p.target.family == family::v4 ? v4_parcels_[v4++] : v6_parcels_[v6++]) = p;
        flush(v4_, std::span(v4_parcels_).first(v4), missing_v4);
        flush(v6_, std::span(v6_parcels_).first(v6), missing_v6);
        handled += count;
        if (handled >= turn_packets || now_() - began >= turn_time) return {.again = true};
    }
}

time_point driver::next_wake() {
    auto wake = engine_.next_wake();
    for (auto* c : {v4_, v6_})
        if (c && wake != time_point::max()) wake = std::min(wake, c->next_wake());
    return wake;
}

void driver::flush(channel* to, std::span<parcel const> parcels, std::error_code missing) {
    if (to) return flush(*to, parcels);
    for (auto const& p : parcels) engine_.abandon(p.number, missing);
}

void driver::flush(channel& to, std::span<parcel const> parcels) {
    while (!parcels.empty()) {
        int failure = 0;
        auto const began = now_();
        std::size_t const taken = to.send(parcels, failure);
        auto const each =
            taken > 0 ? (now_() - began) / static_cast<duration::rep>(taken) : duration{};
        for (std::size_t i = 0; i < taken; ++i) {
            auto const lead = each * static_cast<duration::rep>(i);
            engine_.sent(parcels[i].number, began + lead, began);
        }
        parcels = parcels.subspan(taken);
        if (taken > 0 || failure == 0) continue;
        // A full send buffer is full for all of them; every other failure belongs to one target.
        bool const full = failure == EAGAIN || failure == EWOULDBLOCK;
        auto const refused = parcels.first(full ? parcels.size() : 1);
        for (auto const& p : refused) engine_.refused(p.number, failure, now_());
        parcels = parcels.subspan(refused.size());
    }
}

} // namespace trawl::icmp::detail
