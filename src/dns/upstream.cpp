#include "dns/upstream.hpp"

#include <algorithm>

namespace trawl::dns::detail {

namespace {

using namespace std::chrono_literals;

// A server process that is not scheduled for a moment is no loss.
constexpr duration least_patience = 30ms;
constexpr duration between_probes = 5s;

} // namespace

void upstream::ask(std::shared_ptr<question> asked, std::string const& name, type wanted) {
    free_lane().ask(std::move(asked), name, wanted);
}

lane& upstream::free_lane() {
    if (current_ < lanes_.size() && lanes_[current_]->has_room()) return *lanes_[current_];
    auto const found = std::ranges::find_if(lanes_, [](auto const& l) { return l->has_room(); });
    current_ = static_cast<std::size_t>(found - lanes_.begin());
    if (found == lanes_.end())
        lanes_.push_back(std::make_shared<lane>(executor_, where_, give_up_));
    return *lanes_[current_];
}

void upstream::heard_answer(question const& asked, time_point now) noexcept {
    heard_ = now;
    demoted_ = false;
    if (asked.sendings != 1) return; // which of them was answered? (Karn)
    auto const trip = now - asked.sent;
    auto const off = std::max(trip - smoothed_, smoothed_ - trip);
    variation_ = known() ? (3 * variation_ + off) / 4 : trip / 2;
    smoothed_ = known() ? (7 * smoothed_ + trip) / 8 : trip;
}

bool upstream::probe_due(time_point now) noexcept {
    if (!demoted_ || now < next_probe_) return false;
    next_probe_ = now + between_probes;
    return true;
}

duration upstream::patience() const noexcept {
    if (!known()) return timeout_;
    return std::clamp(smoothed_ + 4 * variation_, std::min(least_patience, timeout_), timeout_);
}

} // namespace trawl::dns::detail
