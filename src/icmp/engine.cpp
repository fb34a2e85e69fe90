#include "icmp/engine.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <utility>

namespace trawl::icmp::detail {
namespace {

bool same_host(host const& a, host const& b) noexcept {
    // The kernel names an interface for link-local sources only.
    return a.family == b.family && a.octets == b.octets &&
           (a.scope == b.scope || a.scope == 0 || b.scope == 0);
}

} // namespace

engine::engine(limits bounds, sip_key key, std::uint16_t id, time_point epoch, echo_form form)
    : limits_(bounds), key_(key), id_(id), epoch_(epoch), form_(form) {}

engine::~engine() = default;

// ---- lanes and targets ----

lane& engine::open(plan p, source* supply) {
    p.retries = std::min(p.retries, most_retries);
    lanes_.push_back(std::unique_ptr<lane>(new lane(p, supply)));
    return *lanes_.back();
}

void engine::close(lane& which) noexcept {
    for (auto const index : which.flights_) tiers_[index]->owner = nullptr;
    if (which.tracks())
        for (std::uint32_t i = 0; i < tracked_.size(); ++i) {
            if (tracked_[i].lane_of != &which) continue;
            tracked_[i] = {.next_free = std::exchange(free_first_, i)};
        }
    outstanding_ -= which.active_;
    std::erase_if(lanes_, [&](auto const& l) { return l.get() == &which; });
}

std::uint16_t engine::tier_for(lane& l, unsigned tries) {
    std::size_t const step =
        l.plan_.backoff == 1 ? 0 : std::min(std::max(tries, 1u) - 1, l.plan_.retries);
    while (l.flights_.size() <= step) {
        auto const longer = std::pow(l.plan_.backoff, static_cast<double>(l.flights_.size()));
        auto const timeout =
            duration(std::llround(static_cast<double>(l.plan_.timeout.count()) * longer));
        auto const most = std::bit_ceil(std::max<std::size_t>(limits_.outstanding, 4096));
        auto const free = std::ranges::find_if(tiers_, [](auto& t) { return !t->owner; });
        // Positions go on where the former owner's ended: an echo's number is never used again.
        auto const first = free == tiers_.end() ? 0 : (*free)->echoes.end_position();
        auto made =
            std::make_unique<tier>(tier{&l, flights(timeout, most, l.plan_.every_echo, first)});
        l.flights_.push_back(static_cast<std::uint16_t>(free - tiers_.begin()));
        if (free == tiers_.end())
            tiers_.push_back(std::move(made));
        else
            *free = std::move(made);
    }
    return l.flights_[step];
}

std::uint32_t engine::track(lane& to, host const& target, std::uint64_t tag) {
    auto const index = free_first_ == none
                           ? static_cast<std::uint32_t>(tracked_.size())
                           : std::exchange(free_first_, tracked_[free_first_].next_free);
    if (index == tracked_.size()) tracked_.emplace_back();
    tracked_[index] = {.target = target, .lane_of = &to, .active = true, .tag = tag};
    return index;
}

std::uint32_t engine::submit(lane& to, host const& target, std::uint64_t tag,
                             std::uint8_t hop_limit) {
    ++outstanding_;
    ++to.active_;
    auto const index = track(to, target, tag);
    tracked_[index].hop_limit = hop_limit;
    make_ready(to, index);
    return index;
}

void engine::forget(std::uint32_t submitted) noexcept {
    assert(tracked_[submitted].active);
    end_target(submitted);
}

void engine::end_target(std::uint32_t whom) noexcept {
    auto& t = tracked_[whom];
    t.active = false;
    --t.lane_of->active_;
    --outstanding_;
    if (t.references == 0) release(whom);
}

void engine::release(std::uint32_t whom) noexcept {
    tracked_[whom] = {.next_free = std::exchange(free_first_, whom)};
}

void engine::drop_reference(std::uint32_t whom) noexcept {
    auto& t = tracked_[whom];
    if (--t.references == 0 && !t.active) release(whom);
}

void engine::make_ready(lane& l, std::uint32_t whom) {
    auto& t = tracked_[whom];
    ++t.references;
    auto f = flight_to(t.target);
    f.whom = whom;
    f.tracked = true;
    l.ready_.push(f);
}

std::uint16_t engine::zone(std::uint32_t scope) {
    auto const known = std::ranges::find(zones_, scope);
    auto const index = known - zones_.begin();
    if (known == zones_.end()) zones_.push_back(scope);
    return static_cast<std::uint16_t>(index);
}

std::uint64_t engine::tag_of(lane const& l, flight const& f) const noexcept {
    if (f.tracked) return tracked_[f.whom].tag;
    return l.position_ -
           static_cast<std::uint32_t>(static_cast<std::uint32_t>(l.position_) - f.whom);
}

engine::found engine::find(std::uint64_t number) noexcept {
    auto const index = number >> position_bits;
    if (index >= tiers_.size() || !tiers_[index]->owner) return {};
    auto const position = number & ((std::uint64_t{1} << position_bits) - 1);
    return {tiers_[index].get(), tiers_[index]->echoes.find(position), position};
}

engine::found engine::find_sequence(std::uint16_t sequence, host const& target) noexcept {
    for (auto& t : tiers_) {
        if (!t->owner) continue;
        auto const is_for = [&](flight const& f) { return same_host(target_of(f), target); };
        if (auto const position = t->echoes.find_sequence(sequence, is_for))
            return {t.get(), t->echoes.find(*position), *position};
    }
    return {};
}

// ---- receiving ----

void engine::receive(message const& m, host const& from, std::optional<std::uint8_t> hops_left,
                     time_point arrival) {
    answer const a{from, m.type, m.code, m.size, hops_left};
    switch (m.kind) {
    case kind::reply: return take_reply(m, a, arrival);
    case kind::malformed:
    case kind::other: ++stats_.malformed; return;
    default: return take_error(m, a, arrival);
    }
}

// A reply without room for the proof is found by its sequence number and its sender.
void engine::take_reply(message const& m, answer const& a, time_point arrival) {
    if (!m.proof) {
        if (form_.payload >= proof_size) return void(++stats_.forged);
        auto const f = find_sequence(m.sequence, a.from);
        return f.echo ? answered(f, a, arrival) : void(++stats_.late);
    }
    auto const f = find(m.proof->number);
    auto const claimed = f.echo ? target_of(*f.echo) : a.from;
    if (m.proof->cookie != cookie(claimed, *m.proof)) return void(++stats_.forged);
    if (!same_host(a.from, claimed)) return void(++stats_.wrong_source);
    if (!f.echo || f.echo->phase != flight::waiting) return take_repeated(f, *m.proof, a, arrival);
    answered(f, a, arrival);
}

void engine::answered(found const& f, answer const& a, time_point arrival) {
    if (is_forgotten(*f.echo)) {
        ++stats_.late;
        return take_off(f, {});
    }
    ++stats_.received;
    take_off(f, {.status = status::up, .answer = a, .rtt = rtt(*f.echo, arrival)});
}

// The moment of sending is an estimate within a batch; when the answer seems older, the batch's
// beginning is the upper bound.
duration engine::rtt(flight const& f, time_point arrival) const noexcept {
    auto const since = arrival > f.sent ? f.sent : batch_began_;
    return std::max(arrival - since, duration::zero());
}

// An echo that is younger than its timeout has not expired: it was answered before.
void engine::take_repeated(found const& f, proof const& p, answer const& a, time_point arrival) {
    auto const age = arrival - epoch_ - duration(static_cast<duration::rep>(p.sent));
    bool const again = f.in && age < f.in->echoes.timeout();
    ++(again ? stats_.duplicates : stats_.late);
    if (!again || !f.echo || !f.in->owner->plan_.every_echo || is_forgotten(*f.echo)) return;
    report_echo(*f.in->owner, *f.echo,
                {.status = status::up, .answer = a, .rtt = rtt(*f.echo, arrival)}, true);
}

// An error is believed when it quotes the proof, or, from routers that quote 8 bytes only, the
// address and the sequence number of an echo that is out.
void engine::take_error(message const& m, answer const& a, time_point arrival) {
    if (!m.destination) return void(++stats_.late);
    if (m.proof && m.proof->cookie != cookie(*m.destination, *m.proof))
        return void(++stats_.forged);
    auto const f = m.proof ? find(m.proof->number) : find_sequence(m.sequence, *m.destination);
    bool const out = f.echo && f.echo->phase == flight::waiting && !is_forgotten(*f.echo) &&
                     same_host(target_of(*f.echo), *m.destination) &&
                     static_cast<std::uint16_t>(f.position) == m.sequence;
    if (!out) return void(++stats_.late);
    ++stats_.errors;
    // Too big and a bad header say nothing about the target: the timeout decides.
    if (m.kind != kind::unreachable && m.kind != kind::hops_exceeded) return;
    auto const why = m.kind == kind::unreachable ? errc::unreachable : errc::hops_exceeded;
    take_off(
        f, {.status = status::unreachable, .answer = a, .rtt = rtt(*f.echo, arrival), .why = why});
}

// ---- what follows an echo ----

void engine::take_off(found const& f, ending const& e) {
    auto const copy = *f.echo;
    auto& l = *f.in->owner;
    f.in->echoes.end(f.position, *f.echo);
    echo_ended(l, copy, e);
}

void engine::echo_ended(lane& l, flight f, ending e) {
    if (is_forgotten(f)) return drop_reference(f.whom);
    if (e.status == status::down && dropped_ && *dropped_ >= f.sent) f.suspect = true;
    if (l.plan_.every_echo) report_echo(l, f, e);
    if (!e.was_sent) --f.tries;
    if (l.plan_.count != 1) return count_ended(l, f, e);
    bool const silent = e.status == status::down;
    if (silent && f.tries <= l.plan_.retries) return l.ready_.push(f);
    if (silent && f.suspect) { // the answer may be among what our own buffers lost
        if (f.rescued < rescues) {
            ++f.rescued;
            f.suspect = false;
            return l.ready_.push(f);
        }
        e = {.status = status::unknown, .why = errc::replies_dropped};
    }
    finish(l, f, e);
}

void engine::report_echo(lane& l, flight const& f, ending const& e, bool duplicate) {
    if (duplicate && l.stalls()) return; // nothing else bounds them
    echo_outcome done{.tag = tag_of(l, f), .target = target_of(f), .duplicate = duplicate};
    done.index = f.tries - 1u;
    if (f.tracked && l.plan_.count != 1) { // the low bits of the index are in the flight
        auto const latest = tracked_[f.whom].begun;
        done.index = latest - static_cast<std::uint16_t>(latest - f.more);
    }
    done.status = e.status;
    done.why = e.why;
    if (e.status == status::down && f.suspect)
        done.status = status::unknown, done.why = errc::replies_dropped;
    done.answer = e.answer;
    if (e.answer) done.rtt = e.rtt;
    l.echoes.push(done);
}

// The only echo of its target.
void engine::finish(lane& l, flight const& f, ending const& e) {
    outcome done{.tag = tag_of(l, f), .target = target_of(f), .status = e.status};
    done.sent = f.tries;
    done.received = e.status == status::up ? 1 : 0;
    done.rtt = e.rtt;
    done.answer = e.answer;
    done.why = e.why;
    if (f.tracked) {
        end_target(f.whom);
        drop_reference(f.whom);
    } else {
        --l.active_;
        --outstanding_;
    }
    l.outcomes.push(done);
}

// One echo of several.
void engine::count_ended(lane& l, flight const& f, ending const& e) {
    auto& t = tracked_[f.whom];
    ++t.ended;
    if (e.status == status::up)
        ++t.replies, t.rtt_sum += e.rtt;
    else if (e.status != status::down)
        t.verdict = e.status, t.why = e.why;
    else if (f.suspect && t.verdict == status::down)
        t.verdict = status::unknown, t.why = errc::replies_dropped;
    if (e.answer) t.last = e.answer;
    if (t.ended == l.plan_.count) {
        outcome done{.tag = t.tag, .target = t.target, .status = t.verdict};
        done.sent = t.sent;
        done.received = t.replies;
        done.answer = t.last;
        done.why = t.why;
        if (t.replies > 0) {
            done.status = status::up;
            done.rtt = t.rtt_sum / t.replies;
            done.why = {};
        }
        end_target(f.whom);
        l.outcomes.push(done);
    }
    drop_reference(f.whom);
}

// ---- time ----

bool engine::due(time_point now) {
    return std::ranges::any_of(lanes_, [&](auto& l) {
        bool const turn = !l->turns_.empty() && l->turns_.front().when <= now;
        return turn || std::ranges::any_of(l->flights_, [&](auto index) {
                   return tiers_[index]->echoes.next_expiry() <= now;
               });
    });
}

void engine::expire(time_point now) {
    for (auto& l : lanes_) expire(*l, now);
}

void engine::expire(lane& l, time_point now) {
    while (!l.turns_.empty() && l.turns_.front().when <= now) {
        auto const turn = l.turns_.pop();
        if (tracked_[turn.whom].active) make_ready(l, turn.whom);
        drop_reference(turn.whom);
    }
    for (auto const index : l.flights_) {
        auto const silent = [&](flight const& f) { echo_ended(l, f, {}); };
        while (tiers_[index]->echoes.expire(now, silent)) {
        }
    }
}

void engine::note_drops(std::uint64_t total, time_point now) noexcept {
    if (total <= drops_seen_) return;
    stats_.drops += total - drops_seen_;
    drops_seen_ = total;
    dropped_ = now;
    for (auto& l : lanes_) l->pace_.slow_down(now);
}

time_point engine::next_wake() {
    auto const later = [](time_point expiry) {
        return expiry == time_point::max() ? expiry : expiry + expiry_slack;
    };
    auto wake = time_point::max();
    bool const full = hot() >= limits_.window;
    auto cooler = time_point::max();
    for (auto& t : tiers_)
        if (full && t->owner && t->echoes.hot() > 0)
            cooler = std::min(cooler, t->echoes.first_hot() + hot_time);
    for (auto& l : lanes_) {
        if (l->active_ > 0) { // those that were forgotten wait for nothing
            for (auto const index : l->flights_)
                wake = std::min(wake, later(tiers_[index]->echoes.next_expiry()));
            if (!l->turns_.empty()) wake = std::min(wake, l->turns_.front().when);
        }
        if (!wants_to_send(*l)) continue;
        auto const may_send = std::max(l->blocked_until_, l->pace_.next());
        wake = std::min(wake, full ? std::max(may_send, cooler) : may_send);
    }
    return wake;
}

} // namespace trawl::icmp::detail
