#include "icmp/packet_path.hpp"

#include <algorithm>
#include <cerrno>

namespace trawl::icmp::detail {
namespace {

constexpr duration first_backoff = std::chrono::milliseconds(1);
constexpr duration longest_backoff = std::chrono::milliseconds(50);
constexpr duration idle_listening = std::chrono::milliseconds(1);

bool short_of_buffers(int failure) {
    return failure == EAGAIN || failure == EWOULDBLOCK || failure == ENOBUFS || failure == ENOMEM;
}

} // namespace

packet_path::packet_path(packet_options how, std::shared_ptr<route_monitor> by,
                         packet_socket& questions, frame_output& output)
    : how_(std::move(how)), monitor_(std::move(by)), routes_(monitor_->latest(clock::now())),
      questions_(questions), output_(output), table_(how_.table),
      frame_size_(std::max(neighbour_frame, how_.shape.frame_size(family::v6))),
      frames_(frame_size_ * channel::batch) {
    leaving_.reserve(channel::batch);
}

void packet_path::follow(time_point now) {
    auto const& latest = monitor_->latest(now);
    if (latest == routes_) return;
    lost_ += table_.held() + table_.ready.size() + leaving_.size();
    leaving_.clear();
    table_ = neighbour_table(how_.table);
    routes_ = latest;
}

way const* packet_path::way_to(host const& target) const noexcept {
    auto const* by = routes_->lookup(target);
    bool const ours =
        by && by->ethernet && (how_.interface == 0 || how_.interface == by->interface);
    return ours ? by : nullptr;
}

void packet_path::place_echo(std::size_t index, parcel const& p, way const& by, mac const& to) {
    auto const into = space(index);
    auto const size =
        write_echo_frame(by.link, to, source(by), p, how_.shape, identification_++, into);
    placed_[index] = into.first(size);
}

void packet_path::place_question(std::size_t index, host const& next_hop, way const& by) {
    auto const into = space(index);
    placed_[index] = into.first(write_question(by.link, source(by), next_hop, into));
}

// Runs of echoes that can leave and of those that must ask first: the order is kept, and the
// kernel's answer to each frame belongs to one parcel.
std::size_t packet_path::send(std::span<parcel const> parcels, way const& by, int& failure) {
    auto const now = clock::now();
    std::size_t done = 0;
    while (done < parcels.size()) {
        auto const rest = parcels.subspan(done);
        auto const run = look_up(rest, by, now);
        auto const taken = to_[0] ? send_echoes(rest.first(run), by, failure)
                                  : send_questions(rest.first(run), by, now, failure);
        done += taken;
        if (taken < run) break;
    }
    return done;
}

// Fills to_ for as many as are alike: with or without an address.
std::size_t packet_path::look_up(std::span<parcel const> parcels, way const& by, time_point now) {
    std::size_t run = 0;
    for (; run < std::min(parcels.size(), channel::batch); ++run) {
        if (run > 0 && !by.on_link) { // the same gateway
            to_[run] = to_[0];
            continue;
        }
        auto const& hop = by.next_hop(parcels[run].target);
        auto const known = table_.find(hop, now);
        if (run > 0 && known.has_value() != to_[0].has_value()) break;
        to_[run] = known ? std::optional(known->at) : std::nullopt;
        if (known && known->stale) renew(hop, by, now);
    }
    return run;
}

// Asks anew; until there is an answer echoes go where they have gone so far.
void packet_path::renew(host const& next_hop, way const& by, time_point now) {
    std::array<std::uint8_t, neighbour_frame> frame;
    auto const size = write_question(by.link, source(by), next_hop, frame);
    bytes const question = bytes(frame).first(size);
    int unheeded = 0; // what cannot be sent now is asked again with another echo
    questions_.transmit(by.interface, {&question, 1}, unheeded);
    table_.asked({.address = next_hop, .by = &by}, now);
}

std::size_t packet_path::send_echoes(std::span<parcel const> parcels, way const& by, int& failure) {
    for (std::size_t i = 0; i < parcels.size(); ++i) place_echo(i, parcels[i], by, *to_[i]);
    return output_.transmit(by.interface, std::span(placed_).first(parcels.size()), failure);
}

std::size_t packet_path::send_questions(std::span<parcel const> parcels, way const& by,
                                        time_point now, int& failure) {
    // One gateway is the next hop of many parcels: it is asked once.
    std::array<std::size_t, channel::batch> question_of;
    std::size_t questions = 0;
    for (std::size_t i = 0; i < parcels.size(); ++i) {
        auto const& hop = by.next_hop(parcels[i].target);
        bool const same = !by.on_link && (i > 0 || table_.is_asked(hop));
        if (!same) place_question(questions++, hop, by);
        question_of[i] = questions;
    }
    std::size_t const sent =
        questions == 0
            ? 0
            : questions_.transmit(by.interface, std::span(placed_).first(questions), failure);
    std::size_t taken = 0;
    for (; taken < parcels.size() && question_of[taken] <= sent; ++taken) {
        if (table_.full()) {
            failure = ENOBUFS;
            break;
        }
        auto const& hop = by.next_hop(parcels[taken].target);
        bool const first =
            taken == 0 ? question_of[0] > 0 : question_of[taken] > question_of[taken - 1];
        if (first) table_.asked({.address = hop, .by = &by}, now);
        table_.hold(hop, parcels[taken], now);
    }
    return taken;
}

void packet_path::turn(time_point now) {
    departed_.clear();
    last_turn_ = now;
    follow(now);
    listen(now);
    release(now);
    ask_again(now);
}

// Nobody has been asked: what comes all the same is read now and then, so that it does not pile up.
void packet_path::listen(time_point now) {
    if (table_.empty() && !more_answers_ && now - listened_ < idle_listening) return;
    listened_ = now;
    for (auto const& h : questions_.receive(more_answers_)) table_.learn(h.what, h.interface, now);
}

// One interface at a time; what the kernel does not take stays for a later turn.
void packet_path::release(time_point now) {
    if (now < retry_at_) return;
    for (std::size_t budget = channel::batch; budget > 0;) {
        while (leaving_.size() < budget && !table_.ready.empty())
            leaving_.push_back(table_.ready.pop());
        if (leaving_.empty()) return;
        auto const interface = leaving_.front().by->interface;
        std::size_t run = 0;
        for (; run < std::min(budget, leaving_.size()); ++run) {
            auto const& l = leaving_[run];
            if (l.by->interface != interface) break;
            place_echo(run, l.what, *l.by, l.to);
        }
        int failure = 0;
        auto const began = clock::now();
        auto const taken = output_.transmit(interface, std::span(placed_).first(run), failure);
        for (std::size_t i = 0; i < taken; ++i)
            departed_.push_back({.number = leaving_[i].what.number, .when = began});
        settle(taken, failure, now);
        if (taken < run) return;
        budget -= run;
    }
}

// Shortage passes: the rest waits a little. Any other failure belongs to the first.
void packet_path::settle(std::size_t taken, int failure, time_point now) {
    auto first = leaving_.begin();
    first += static_cast<std::ptrdiff_t>(taken);
    if (taken > 0) backoff_ = {};
    if (failure != 0 && taken == 0) {
        if (short_of_buffers(failure)) {
            backoff_ = std::clamp(backoff_ * 2, first_backoff, longest_backoff);
            retry_at_ = now + backoff_;
            for (; first != leaving_.end() && first->held + table_.longest() <= now; ++first)
                ++lost_;
        } else {
            ++lost_, ++first;
        }
    }
    leaving_.erase(leaving_.begin(), first);
}

void packet_path::ask_again(time_point now) {
    std::array<neighbour_table::hop, channel::batch> hops;
    std::size_t count = 0;
    while (count < hops.size()) {
        auto const next = table_.again(now);
        if (!next) break;
        // A question that cannot be sent is like one that is lost: there will be another.
        table_.asked(*next, now);
        hops[count++] = *next;
    }
    for (std::size_t begun = 0; begun < count;) {
        auto const interface = hops[begun].by->interface;
        std::size_t run = 0;
        for (; begun + run < count && hops[begun + run].by->interface == interface; ++run)
            place_question(run, hops[begun + run].address, *hops[begun + run].by);
        int unheeded = 0;
        questions_.transmit(interface, std::span(placed_).first(run), unheeded);
        begun += run;
    }
}

time_point packet_path::next_wake() const {
    if (more_answers_) return last_turn_; // at once
    auto wake = table_.next_wake();
    if (!leaving_.empty() || !table_.ready.empty()) wake = std::min(wake, retry_at_);
    return wake;
}

} // namespace trawl::icmp::detail
