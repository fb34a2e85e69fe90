#include "icmp/neighbour_table.hpp"

#include <cassert>
#include <cstring>

namespace trawl::icmp::detail {

// The keys are targets that our own user named: no one chooses them to collide.
std::size_t neighbour_table::hash::operator()(host const& h) const noexcept {
    std::uint64_t high, low;
    std::memcpy(&high, h.octets.data(), 8);
    std::memcpy(&low, h.octets.data() + 8, 8);
    std::uint64_t mixed = (high ^ low * 0x9e3779b97f4a7c15 ^ h.scope) * 0xff51afd7ed558ccd;
    return static_cast<std::size_t>(mixed ^ mixed >> 32);
}

auto neighbour_table::find(host const& next_hop, time_point now) const -> std::optional<known> {
    auto const found = neighbours_.find(next_hop);
    if (found == neighbours_.end() || !found->second.at) return std::nullopt;
    auto const& n = found->second;
    bool const stale = now - n.learned > limits_.stale_after && now - n.asked > limits_.ask_again;
    return known{.at = *n.at, .stale = stale};
}

void neighbour_table::asked(hop const& next, time_point now) {
    auto& n = neighbours_[next.address];
    n.by = next.by;
    look_again(next.address, n, now);
}

// An entry has one place in the order of time that counts: the last.
void neighbour_table::look_again(host const& address, neighbour& n, time_point now) {
    n.asked = now;
    if (!n.at) questions_.push({address, now});
}

void neighbour_table::hold(host const& next_hop, parcel const& what, time_point now) {
    auto& n = neighbours_.at(next_hop);
    assert(!full() && !n.at);
    if (free_ == none) {
        free_ = static_cast<std::uint32_t>(waiting_.size());
        waiting_.emplace_back();
    }
    auto const place = free_;
    free_ = waiting_[place].next;
    waiting_[place] = {.what = what, .since = now};
    (n.first == none ? n.first : waiting_[n.last].next) = place;
    n.last = place;
    ++held_;
}

void neighbour_table::take_first(neighbour& n) {
    auto const place = n.first;
    n.first = waiting_[place].next;
    waiting_[place].next = free_;
    free_ = place;
    --held_;
}

void neighbour_table::learn(neighbour_message const& told, std::uint32_t interface,
                            time_point now) {
    auto about = told.about;
    auto found = neighbours_.find(about);
    if (found == neighbours_.end() && about.family == family::v6) {
        about.scope = interface; // only link-local targets name it
        found = neighbours_.find(about);
    }
    if (!told.answer || found == neighbours_.end() || found->second.by->interface != interface)
        return;
    if (!found->second.at && known_ >= limits_.known) forget_known();
    auto& n = found->second;
    if (!n.at) ++known_;
    n.at = told.link;
    n.learned = now;
    while (n.first != none) {
        auto const& w = waiting_[n.first];
        ready.push({.what = w.what, .by = n.by, .to = told.link, .held = w.since});
        take_first(n);
    }
}

void neighbour_table::forget_known() {
    std::erase_if(neighbours_, [](auto const& one) { return one.second.at.has_value(); });
    known_ = 0;
}

auto neighbour_table::again(time_point now) -> std::optional<hop> {
    while (!questions_.empty() && questions_.front().when + limits_.ask_again <= now) {
        auto const due = questions_.pop();
        auto const found = neighbours_.find(due.to);
        if (found == neighbours_.end()) continue;
        auto& n = found->second;
        if (n.at || n.asked != due.when) continue; // answered, or asked again since
        while (n.first != none && waiting_[n.first].since + limits_.hold <= now) take_first(n);
        if (n.first == none)
            neighbours_.erase(found);
        else if (n.by->on_link)
            look_again(due.to, n, now);
        else
            return hop{.address = due.to, .by = n.by};
    }
    return std::nullopt;
}

time_point neighbour_table::next_wake() const noexcept {
    if (questions_.empty()) return time_point::max();
    return questions_.front().when + limits_.ask_again;
}

} // namespace trawl::icmp::detail
