#include "cli/live_model.hpp"

#include <algorithm>

namespace trawl::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t most_cells = 65536; // a /16, cell by cell

std::size_t number(icmp::status s) { return static_cast<std::size_t>(s); }

std::uint64_t sum(std::array<std::uint64_t, 4> const& of) { return of[0] + of[1] + of[2] + of[3]; }

} // namespace

live_cell& live_cell::operator+=(live_cell const& other) noexcept {
    targets += other.targets;
    earlier += other.earlier;
    asked += other.asked;
    for (std::size_t i = 0; i < status.size(); ++i) status[i] += other.status[i];
    rtt = std::max(rtt, other.rtt);
    return *this;
}

duration rtt_histogram::limit(std::size_t which) {
    static constexpr int steps[] = {1, 2, 5};
    duration limit = 10us;
    for (; which >= 3; which -= 3) limit *= 10;
    return limit * steps[which];
}

void rtt_histogram::add(duration rtt) {
    std::size_t which = 0;
    while (which + 1 < classes && rtt >= limit(which)) ++which;
    ++counts_[which];
}

live_model::live_model(options o) : options_(o), by_status_(o.earlier), done_(sum(o.earlier)) {
    asked_ = done_;
    while ((o.places >> shift_) + ((o.places & ((std::uint64_t{1} << shift_) - 1)) != 0) >
           most_cells)
        ++shift_;
    if (o.places == 0) return;
    cells_.resize(index(o.places - 1) + 1);
    auto const run = std::uint64_t{1} << shift_;
    for (auto& c : cells_) c.targets = run;
    cells_.back().targets = o.places - (cells_.size() - 1) * run;
}

std::size_t live_model::index(std::uint64_t place) const {
    return static_cast<std::size_t>(place >> shift_);
}

void live_model::asked(std::uint64_t place) { ++asked_, ++cells_[index(place)].asked; }

void live_model::unresolved(std::uint64_t place) {
    ++done_;
    ++cells_[index(place)].status[number(icmp::status::unknown)];
    ++by_status_[number(icmp::status::unknown)];
}

void live_model::echo(pinged_host const& h, icmp::echo const& e) {
    if (e.duplicate) return;
    bool const answered = e.status == icmp::status::up;
    auto const rtt = answered ? e.rtt : std::nullopt;
    ++ended_, answered_ += answered;
    settle(h, e.status, rtt);
    worst_.add(h, rtt, h.tally.loss(), h.tally.average().value_or(duration{}));
}

void live_model::host(pinged_host const& h, icmp::result const& r) {
    ++done_;
    if (h.tally.sent() > 0) return settle(h, r.status, {}); // its echoes were told
    bool const up = r.status == icmp::status::up;
    ended_ += r.sent, answered_ += r.received;
    settle(h, r.status, up ? r.rtt : std::nullopt);
    if (up && r.rtt) worst_.add(h, r.rtt, 0, *r.rtt);
}

/// The host's state so far is h.before.
void live_model::settle(pinged_host const& h, icmp::status now, std::optional<duration> rtt) {
    auto& c = cells_[index(h.place)];
    if (h.before) --c.status[number(*h.before)], --by_status_[number(*h.before)];
    ++c.status[number(now)], ++by_status_[number(now)];
    if (!rtt) return;
    c.rtt = shift_ == 0 ? *rtt : std::max(c.rtt, *rtt);
    round_trips_.add(*rtt);
}

void live_model::now(ping_moment const& moment) {
    moment_ = moment;
    lately_.push_back(moment);
    while (lately_.size() > 2 && lately_[1].elapsed + 1s <= moment.elapsed) lately_.pop_front();
}

std::uint64_t live_model::earlier() const noexcept { return sum(options_.earlier); }

std::uint64_t live_model::awaiting() const noexcept {
    auto const known = sum(by_status_);
    return asked_ > known ? asked_ - known : 0;
}

std::uint64_t live_model::unprobed() const noexcept {
    auto const begun = std::max(asked_, sum(by_status_));
    return options_.targets > begun ? options_.targets - begun : 0;
}

double live_model::loss() const noexcept {
    return ended_ == 0 ? 0
                       : 100 * static_cast<double>(ended_ - std::min(answered_, ended_)) /
                             static_cast<double>(ended_);
}

double live_model::rate() const noexcept {
    if (lately_.empty()) return 0;
    auto const& now = lately_.back();
    auto const since = lately_.size() > 1 ? lately_.front() : ping_moment{};
    auto const seconds = std::chrono::duration<double>(now.elapsed - since.elapsed).count();
    return seconds > 0 ? static_cast<double>(now.sent - since.sent) / seconds : 0;
}

} // namespace trawl::cli
