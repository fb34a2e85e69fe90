#include "icmp/driver.hpp"

#include <algorithm>

namespace trawl::icmp::detail {
namespace {

// Who floods us with packets that pass the filter must not keep a sweep from ending: after so many
// turns without reaching the end of the queue, what is due expires all the same.
constexpr unsigned undrained_limit = 1000;

} // namespace

driver::driver(engine& of, channel* v4, channel* v6, time_source now) : engine_(of), now_(now) {
    v4_.by = v4;
    v6_.by = v6;
}

void driver::begin() {
    // Bounded by what the buffers hold; a flood goes on in turn().
    std::size_t budget = 0;
    for (auto* s : {&v4_, &v6_}) {
        s->used = s->by != nullptr;
        if (s->by) budget += s->by->capacity();
    }
    drain(budget);
    v4_.used = v6_.used = false;
    engine_.note_drops(drops(), now_());
}

std::uint64_t driver::drops() {
    std::uint64_t total = 0;
    for (auto* s : {&v4_, &v6_})
        if (s->by) total += s->by->drops();
    return total;
}

bool driver::drain(std::size_t& budget) {
    bool const v4 = !v4_.used || drain(*v4_.by, budget);
    bool const v6 = !v6_.used || drain(*v6_.by, budget);
    return v4 && v6;
}

bool driver::drain(channel& from, std::size_t& budget) {
    for (auto const& d : from.departures()) engine_.departed(d.number, d.when);
    for (bool more = true; more;) {
        if (budget == 0) return false;
        auto const batch = from.receive(more);
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
        auto const now = now_();
        if (handled > 0) note_cost((now - began) / static_cast<duration::rep>(handled));
        auto const batch = std::span(parcels_).first(batch_for(began + turn_time - now));
        std::size_t const count = engine_.collect(now, batch);
        if (count == 0) return {.wake = next_wake()};
        send(batch.first(count));
        handled += count;
        if (handled >= turn_packets || now_() - began >= turn_time) return {.again = true};
    }
}

void driver::note_cost(duration each) noexcept { cost_ = (cost_ * 3 + each) / 4; }

std::size_t driver::batch_for(duration left) const noexcept {
    if (cost_ <= duration::zero()) return send_batch;
    auto const fit = std::max(left / cost_, duration::rep{0});
    return std::clamp(static_cast<std::size_t>(fit), least_batch, send_batch);
}

time_point driver::next_wake() {
    auto wake = engine_.next_wake();
    for (auto* s : {&v4_, &v6_})
        if (s->used && wake != time_point::max()) wake = std::min(wake, s->by->next_wake());
    return wake;
}

// IPv4 first, each family in its order.
void driver::send(std::span<parcel> parcels) {
    std::size_t v4 = 0, v6 = 0;
    for (auto const& p : parcels) {
        if (p.target.family == family::v6)
            aside_[v6++] = p;
        else if (v6 > 0)
            parcels[v4++] = p;
        else
            ++v4;
    }
    std::copy_n(aside_.begin(), v6, parcels.begin() + static_cast<std::ptrdiff_t>(v4));
    flush(v4_, parcels.first(v4), missing_v4);
    flush(v6_, parcels.subspan(v4), missing_v6);
}

void driver::flush(side& to, std::span<parcel const> parcels, std::error_code missing) {
    if (to.by) {
        to.used = to.used || !parcels.empty();
        return flush(*to.by, parcels);
    }
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
