#include "icmp/neighbour.hpp"

#include <algorithm>
#include <cerrno>
#include <string_view>

namespace trawl::icmp::detail {

std::size_t neighbour_channel::hash::operator()(host const& h) const noexcept {
    auto const* octets = reinterpret_cast<char const*>(h.octets.data());
    return std::hash<std::string_view>{}({octets, h.octets.size()}) ^ h.scope;
}

std::unique_ptr<neighbour_channel> neighbour_channel::open(family f,
                                                           std::unique_ptr<channel>& below,
                                                           std::shared_ptr<route_monitor> by,
                                                           options how, std::error_code& failure) {
    if (how.packets.shape.hop_limit == 0) how.packets.shape.hop_limit = system_hop_limit(f);
    auto questions = packet_socket::open(f, how.packets.receive_buffer, failure);
    if (!questions) return nullptr;
    return std::unique_ptr<neighbour_channel>(new neighbour_channel(
        std::move(below), std::move(by), std::move(questions), std::move(how)));
}

neighbour_channel::neighbour_channel(std::unique_ptr<channel> below,
                                     std::shared_ptr<route_monitor> by,
                                     std::unique_ptr<packet_socket> questions, options how)
    : below_(std::move(below)), questions_(std::move(questions)),
      path_(std::move(how.packets), std::move(by), *questions_, *questions_), few_(how.few) {
    std::ranges::copy(below_->descriptors(), std::back_inserter(descriptors_));
    descriptors_.push_back(questions_->descriptor());
}

way const* neighbour_channel::link_of(host const& target) const noexcept {
    auto const* by = path_.way_to(target);
    return by && by->on_link && path_.fits(*by) ? by : nullptr;
}

// Null: the kernel's business.
way const* neighbour_channel::frames_go_by(host const& target) {
    auto const* by = link_of(target);
    if (!by) return nullptr;
    if (path_.knows(target)) return by;
    auto const mine = kernels_.find(target);
    if (mine != kernels_.end()) return mine->second == told::asked ? by : nullptr;
    if (kernels_.size() >= few_) return by;
    kernels_.emplace(target, told::nothing);
    ++unanswered_;
    return nullptr;
}

std::size_t neighbour_channel::send(std::span<parcel const> parcels, int& failure) {
    path_.follow(clock::now());
    std::size_t done = 0;
    while (done < parcels.size()) {
        auto const rest = parcels.subspan(done);
        auto const* by = frames_go_by(rest[0].target);
        std::size_t run = 1;
        while (run < rest.size() && frames_go_by(rest[run].target) == by) ++run;
        auto const taken =
            by ? path_.send(rest.first(run), *by, failure) : send_below(rest.first(run), failure);
        done += taken;
        if (taken < run) break;
    }
    return done;
}

// A neighbour table that others have filled may refuse even our few.
std::size_t neighbour_channel::send_below(std::span<parcel const> parcels, int& failure) {
    auto const taken = below_->send(parcels, failure);
    auto const sent = taken == 0 && failure == ENOBUFS ? std::size_t{1} : taken;
    for (auto const& p : parcels.first(sent)) {
        auto const mine = kernels_.find(p.target);
        if (mine != kernels_.end() && mine->second == told::nothing) mine->second = told::asked;
    }
    auto const* by = link_of(parcels[0].target);
    if (sent == taken || !by) return taken;
    return path_.send(parcels.first(1), *by, failure);
}

std::span<channel::arrived const> neighbour_channel::receive(bool& more) {
    auto const all = below_->receive(more);
    for (auto const& a : all) {
        if (unanswered_ == 0) break;
        auto const mine = kernels_.find(a.from);
        if (mine == kernels_.end() || mine->second == told::answered) continue;
        mine->second = told::answered;
        --unanswered_;
    }
    return all;
}

std::span<channel::departed const> neighbour_channel::departures() {
    auto const own = below_->departures();
    departed_.assign(own.begin(), own.end());
    path_.turn(clock::now());
    std::ranges::copy(path_.departures(), std::back_inserter(departed_));
    return departed_;
}

time_point neighbour_channel::next_wake() const {
    return std::min(below_->next_wake(), path_.next_wake());
}

// Every echo is an answer to a question first.
std::size_t neighbour_channel::capacity() const {
    return std::min(below_->capacity(), questions_->capacity());
}

} // namespace trawl::icmp::detail
