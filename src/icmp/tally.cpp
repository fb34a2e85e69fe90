#include <trawl/icmp_tally.hpp>

#include "async/histogram.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace trawl::icmp {
namespace {

duration rounded(double nanoseconds) {
    return std::chrono::duration_cast<duration>(
        std::chrono::nanoseconds(std::llround(nanoseconds)));
}

} // namespace

struct tally::trips {
    void add(duration trip) {
        auto const ns = std::chrono::duration<double, std::nano>(trip).count();
        least = count == 0 ? trip : std::min(least, trip);
        most = count == 0 ? trip : std::max(most, trip);
        if (count > 0) difference += trip > last ? trip - last : last - trip, ++differences;
        last = trip, sum += trip, ++count;
        auto const before = ns - mean;
        mean += before / static_cast<double>(count);
        squares += before * (ns - mean);
        shape.add(trip);
    }

    /// Chan, Golub and LeVeque's pairwise update. The pair (last of this, first of other) adds no
    /// difference: nobody knows what lay between them.
    void add(trips const& other) {
        auto const mine = static_cast<double>(count), its = static_cast<double>(other.count);
        auto const apart = other.mean - mean;
        mean += apart * its / (mine + its);
        squares += other.squares + apart * apart * mine * its / (mine + its);
        least = std::min(least, other.least), most = std::max(most, other.most), last = other.last;
        sum += other.sum, count += other.count;
        difference += other.difference, differences += other.differences;
        shape.add(other.shape);
    }

    duration least{}, most{}, last{}, sum{}, difference{};
    std::uint64_t count = 0, differences = 0;
    double mean = 0, squares = 0; // of nanoseconds, and of their deviations (Welford)
    histogram shape;
};

tally::tally() = default;
tally::~tally() = default;
tally::tally(tally&& other) noexcept { swap(other); }
tally::tally(tally const& other) { add(other); }

tally& tally::operator=(tally const& other) {
    tally copy(other);
    swap(copy);
    return *this;
}

tally& tally::operator=(tally&& other) noexcept {
    tally emptied;
    emptied.swap(other);
    swap(emptied);
    return *this;
}

void tally::swap(tally& other) noexcept {
    std::swap(counts_, other.counts_);
    trips_.swap(other.trips_);
}

void tally::add(echo const& ended) {
    auto& c = counts_;
    if (ended.duplicate) {
        ++c.duplicates;
        return;
    }
    ++c.sent;
    if (ended.status != status::up) {
        if (ended.status == status::unreachable) ++c.unreachable;
        if (ended.status == status::unknown) ++c.unknown;
        c.longest_loss = std::max(c.longest_loss, ++c.current_loss);
        if (c.received == 0) c.first_loss = c.current_loss;
        return;
    }
    ++c.received;
    c.current_loss = 0;
    if (!trips_) trips_ = std::make_unique<trips>();
    trips_->add(ended.rtt.value_or(duration{}));
}

void tally::add(tally const& other) {
    auto& c = counts_;
    auto const o = other.counts_; // a copy: `other` may be this one
    auto const across = c.current_loss + o.first_loss;
    if (c.received == 0) c.first_loss = across;
    c.current_loss = o.received == 0 ? across : o.current_loss;
    c.longest_loss = std::max({c.longest_loss, o.longest_loss, across});
    c.sent += o.sent, c.received += o.received, c.unreachable += o.unreachable;
    c.unknown += o.unknown, c.duplicates += o.duplicates;
    if (!other.trips_) return;
    if (!trips_)
        trips_ = std::make_unique<trips>(*other.trips_);
    else
        trips_->add(trips(*other.trips_));
}

double tally::loss() const noexcept {
    return sent() == 0 ? 0 : 100 * static_cast<double>(lost()) / static_cast<double>(sent());
}

std::optional<duration> tally::least() const noexcept {
    if (!trips_) return {};
    return trips_->least;
}

std::optional<duration> tally::average() const noexcept {
    if (!trips_) return {};
    return trips_->sum / static_cast<duration::rep>(trips_->count);
}

std::optional<duration> tally::most() const noexcept {
    if (!trips_) return {};
    return trips_->most;
}

std::optional<duration> tally::last() const noexcept {
    if (!trips_) return {};
    return trips_->last;
}

std::optional<duration> tally::deviation() const noexcept {
    if (!trips_) return {};
    return rounded(std::sqrt(trips_->squares / static_cast<double>(trips_->count)));
}

std::optional<duration> tally::jitter() const noexcept {
    if (!trips_ || trips_->differences == 0) return {};
    return trips_->difference / static_cast<duration::rep>(trips_->differences);
}

std::optional<duration> tally::quantile(double fraction) const {
    if (!trips_) return {};
    return std::clamp<duration>(trips_->shape.at(fraction), trips_->least, trips_->most);
}

duration tally::outage(duration interval) const noexcept {
    return interval * static_cast<duration::rep>(lost());
}

} // namespace trawl::icmp
