#include "icmp/engine.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cmath>

namespace trawl::icmp::detail {
namespace {

constexpr duration first_backoff = std::chrono::milliseconds(1);
constexpr duration longest_backoff = std::chrono::milliseconds(256);

bool same_host(host const& a, host const& b) noexcept {
    // The kernel names an interface for link-local sources only.
    return a.family == b.family && a.octets == b.octets &&
           (a.scope == b.scope || a.scope == 0 || b.scope == 0);
}

} // namespace

send_pace::send_pace(double per_second) noexcept {
    if (per_second > 0)
        interval_ = duration(std::max<duration::rep>(1, std::llround(1e9 / per_second)));
}

void send_pace::took(time_point now) noexcept {
    if (interval_ == duration::zero()) return;
    next_ = std::max(next_, now - duration(std::chrono::milliseconds(1))) + interval_;
}

engine::engine(limits bounds, sip_key key, std::uint16_t id, time_point epoch)
    : limits_(bounds), key_(key), id_(id), sequence_(static_cast<std::uint16_t>(key.high)),
      epoch_(epoch), by_sequence_(65536, none) {}

engine::~engine() = default;

lane& engine::open(plan p, source* supply) {
    shortest_ = std::min(shortest_, p.timeout);
    lanes_.push_back(std::unique_ptr<lane>(new lane(p, supply)));
    return *lanes_.back();
}

void engine::close(lane& which) noexcept {
    for (std::uint32_t i = 0; which.active_ > 0 && i < slots_.size(); ++i)
        if (slots_[i].phase != stage::free && slots_[i].owner == &which) forget(i);
    std::erase_if(lanes_, [&](auto const& l) { return l.get() == &which; });
}

std::uint32_t engine::submit(lane& to, host const& target, std::uint64_t tag) {
    std::uint32_t index = free_first_;
    if (index == none) {
        index = static_cast<std::uint32_t>(slots_.size());
        slots_.emplace_back();
    } else {
        free_first_ = slots_[index].next_free;
        if (free_first_ == none) free_last_ = none;
    }
    auto const generation = slots_[index].generation;
    slots_[index] = slot{.target = target, .owner = &to, .tag = tag, .generation = generation + 1};
    ++outstanding_;
    ++to.active_;
    make_ready(index);
    return index;
}

void engine::forget(std::uint32_t index) noexcept {
    assert(slots_[index].phase != stage::free);
    release(index);
}

void engine::release(std::uint32_t index) noexcept {
    auto& s = slots_[index];
    cool(s);
    --s.owner->active_;
    --outstanding_;
    s.phase = stage::free;
    s.next_free = none;
    (free_last_ == none ? free_first_ : slots_[free_last_].next_free) = index;
    free_last_ = index;
}

void engine::make_ready(std::uint32_t index) {
    auto& s = slots_[index];
    s.phase = stage::ready;
    s.owner->ready_.push({index, s.generation, {}});
}

// ---- sending ----

std::uint64_t engine::cookie(host const& target, proof const& p) const noexcept {
    std::array<std::uint8_t, 32> input{};
    auto put = [&](std::size_t at, std::uint64_t value, std::size_t size) {
        for (std::size_t i = 0; i < size; ++i)
            input[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
    };
    std::ranges::copy(target.octets, input.begin());
    put(16, p.slot, 4);
    put(20, p.generation, 4);
    put(24, p.sent, 8);
    return siphash(key_, input);
}

std::optional<std::uint32_t> engine::next_of(lane& l) {
    while (!l.ready_.empty()) {
        auto const next = l.ready_.pop();
        if (slots_[next.slot].owner == &l && current(next, stage::ready)) return next.slot;
    }
    if (!l.hungry_ || outstanding_ >= limits_.outstanding) return std::nullopt;
    auto const target = l.supply_->next_target();
    if (!target) {
        l.hungry_ = false;
        return std::nullopt;
    }
    submit(l, *target, 0);
    return l.ready_.pop().slot;
}

parcel engine::wrap(std::uint32_t index, time_point now) {
    auto& s = slots_[index];
    s.phase = stage::outgoing;
    s.answered = s.turn_passed = false;
    ++s.generation;
    s.sequence = sequence_++;
    by_sequence_[s.sequence] = index;
    proof p{.slot = index,
            .generation = s.generation,
            .sent = static_cast<std::uint64_t>((now - epoch_).count())};
    p.cookie = cookie(s.target, p);
    return {.number = index, .target = s.target, .bytes = write_echo(s.target.family, id_, s.sequence, p)};
}

std::size_t engine::collect(time_point now, std::span<parcel> into) {
    cool(now);
    std::size_t count = 0;
    ++turn_;
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
        auto& l = *lanes_[(turn_ + i) % lanes_.size()];
        while (count < into.size() && hot_ + count < limits_.window && now >= l.blocked_until_ &&
               l.pace_.allows(now)) {
            auto const index = next_of(l);
            if (!index) break;
            l.pace_.took(now);
            into[count++] = wrap(*index, now);
        }
    }
    return count;
}

void engine::sent(std::uint32_t index, time_point when, duration lead) {
    auto& s = slots_[index];
    auto& l = *s.owner;
    assert(s.phase == stage::outgoing);
    ++stats_.sent;
    if (s.echoes++ == 0 || s.first_sent == time_point::max()) s.first_sent = when;
    s.phase = stage::waiting;
    s.sent = when;
    s.lead = static_cast<std::uint32_t>(std::min<duration::rep>(lead.count(), none));
    s.hot = true;
    ++hot_;
    l.backoff_ = {};
    lane::place const here{index, s.generation, when};
    hot_order_.push(here);
    l.waiting_.push(here);
    if (s.echoes < l.plan_.count) l.turns_.push({index, s.generation, when + l.plan_.interval});
}

bool engine::short_of_buffers(int failure) noexcept {
    return failure == EAGAIN || failure == EWOULDBLOCK || failure == ENOBUFS || failure == ENOMEM;
}

// ENOBUFS and EAGAIN are not tried again in place: a full neighbour table stays full for seconds,
// and a loop that insists starves everything else. The lane pauses, longer each time, and goes on
// with the next target.
void engine::refused(std::uint32_t index, int failure, time_point now) {
    auto& s = slots_[index];
    auto& l = *s.owner;
    assert(s.phase == stage::outgoing);
    std::error_code const why(failure, std::system_category());
    if (short_of_buffers(failure)) {
        ++stats_.deferred;
        if (l.backoff_ == duration::zero()) l.blocked_since_ = now;
        if (now < l.blocked_until_) return make_ready(index); // a later one of the same batch
        if (now - l.blocked_since_ <= patience) {
            l.backoff_ = std::clamp(l.backoff_ * 2, first_backoff, longest_backoff);
            l.blocked_until_ = now + l.backoff_;
            return make_ready(index);
        }
    }
    ++stats_.send_failures;
    bool const no_way = failure == EHOSTUNREACH || failure == ENETUNREACH || failure == EHOSTDOWN ||
                        failure == ENETDOWN;
    if (s.replies > 0)
        finish(index, status::up, {});
    else
        finish(index, no_way ? status::unreachable : status::unknown, why);
}

void engine::abandon(std::uint32_t index, std::error_code why) {
    ++stats_.send_failures;
    finish(index, status::unknown, why);
}

void engine::cool(slot& s) noexcept {
    if (s.hot) s.hot = false, --hot_;
}

void engine::cool(time_point now) noexcept {
    while (!hot_order_.empty()) {
        auto const& oldest = hot_order_.front();
        auto& s = slots_[oldest.slot];
        bool const its_own = s.hot && s.generation == oldest.generation;
        if (its_own && oldest.when + hot_time > now) break;
        if (its_own) cool(s);
        hot_order_.pop();
    }
}

// ---- receiving ----

void engine::receive(message const& m, host const& from, std::optional<std::uint8_t> hops_left,
                     time_point arrival) {
    switch (m.kind) {
    case kind::reply: return take_reply(m, from, hops_left, arrival);
    case kind::malformed:
    case kind::other: ++stats_.malformed; return;
    default: return take_error(m);
    }
}

void engine::take_reply(message const& m, host const& from, std::optional<std::uint8_t> hops_left,
                        time_point arrival) {
    if (!m.proof || m.proof->slot >= slots_.size()) {
        ++stats_.forged;
        return;
    }
    auto const& p = *m.proof;
    auto& s = slots_[p.slot];
    bool const latest = s.generation == p.generation;
    auto const claimed = latest ? s.target : from;
    if (p.cookie != cookie(claimed, p)) {
        ++stats_.forged;
        return;
    }
    if (!same_host(from, claimed)) {
        ++stats_.wrong_source;
        return;
    }
    if (!latest || s.phase != stage::waiting) {
        // Its slot may serve another echo by now. One that is younger than every timeout has not
        // expired: it was answered before.
        auto const age = arrival - epoch_ - duration(static_cast<duration::rep>(p.sent));
        bool const again = latest ? s.answered : age < shortest_;
        ++(again ? stats_.duplicates : stats_.late);
        return;
    }
    ++stats_.received;
    ++s.replies;
    s.answered = true;
    // The moment of sending is an estimate within a batch; when the answer seems older, the batch's
    // beginning is the upper bound.
    auto rtt = arrival - s.sent;
    if (rtt <= duration::zero()) rtt = arrival - (s.sent - duration(s.lead));
    s.rtt_sum += std::max(rtt, duration::zero());
    if (hops_left) s.told_hops = true, s.hops_left = *hops_left;
    end_echo(p.slot, false);
}

// An error is believed when it quotes the proof, or, from routers that quote 8 bytes only, the
// address and the sequence number of an echo that is out.
std::uint32_t engine::find_quoted(message const& m) noexcept {
    if (!m.destination) return none;
    std::uint32_t const index = m.proof ? m.proof->slot : by_sequence_[m.sequence];
    if (index >= slots_.size()) return none;
    auto const& s = slots_[index];
    bool const here = s.phase == stage::waiting && s.sequence == m.sequence &&
                      same_host(s.target, *m.destination);
    if (!here || (m.proof && m.proof->generation != s.generation)) return none;
    return index;
}

void engine::take_error(message const& m) {
    auto const index = find_quoted(m);
    bool const forged =
        m.proof && m.destination && m.proof->cookie != cookie(*m.destination, *m.proof);
    if (forged || index == none) {
        ++(forged ? stats_.forged : stats_.late);
        return;
    }
    ++stats_.errors;
    auto& s = slots_[index];
    // Too big and a bad header say nothing about the target: the timeout decides.
    if (m.kind != kind::unreachable && m.kind != kind::hops_exceeded) return;
    s.verdict = m.kind;
    s.answered = true;
    end_echo(index, false);
}

// ---- what follows an echo ----

void engine::end_echo(std::uint32_t index, bool silent) {
    auto& s = slots_[index];
    auto const& p = s.owner->plan_;
    cool(s);
    if (p.count > 1 && s.echoes < p.count) {
        if (s.turn_passed) return make_ready(index);
        s.phase = stage::resting;
        return;
    }
    if (silent && p.count == 1 && s.echoes <= p.retries) return make_ready(index);
    if (silent && s.replies == 0 && dropped_ && *dropped_ >= s.first_sent) {
        // The answer may be among what our own buffers lost.
        if (s.rescued++ == rescues)
            return finish(index, status::unknown, make_error_code(errc::replies_dropped));
        s.first_sent = time_point::max(); // judged by the new echo; set when it goes out
        return make_ready(index);
    }
    finish(index);
}

void engine::finish(std::uint32_t index) {
    auto const& s = slots_[index];
    if (s.replies > 0) return finish(index, status::up, {});
    switch (s.verdict) {
    case kind::unreachable: return finish(index, status::unreachable, errc::unreachable);
    case kind::hops_exceeded: return finish(index, status::unreachable, errc::hops_exceeded);
    default: return finish(index, status::down, {});
    }
}

void engine::finish(std::uint32_t index, icmp::status what, std::error_code why) {
    auto const& s = slots_[index];
    outcome done{.tag = s.tag,
                 .target = s.target,
                 .status = what,
                 .sent = s.echoes,
                 .received = s.replies,
                 .rtt = {},
                 .hops_left = {},
                 .why = why};
    if (s.replies > 0) done.rtt = s.rtt_sum / s.replies;
    if (s.told_hops) done.hops_left = s.hops_left;
    auto& to = *s.owner;
    release(index);
    to.outcomes.push(done);
}

// ---- time ----

bool engine::due(time_point now) {
    return std::ranges::any_of(lanes_, [&](auto& l) {
        return (!l->waiting_.empty() && l->waiting_.front().when + l->plan_.timeout <= now) ||
               (!l->turns_.empty() && l->turns_.front().when <= now);
    });
}

void engine::expire(time_point now) {
    for (auto& l : lanes_) expire(*l, now);
}

void engine::expire(lane& l, time_point now) {
    while (!l.turns_.empty() && l.turns_.front().when <= now) {
        auto const turn = l.turns_.pop();
        auto& s = slots_[turn.slot];
        if (s.owner != &l) continue;
        if (current(turn, stage::resting))
            make_ready(turn.slot);
        else if (current(turn, stage::waiting))
            s.turn_passed = true;
    }
    while (!l.waiting_.empty() && l.waiting_.front().when + l.plan_.timeout <= now) {
        auto const oldest = l.waiting_.pop();
        if (slots_[oldest.slot].owner == &l && current(oldest, stage::waiting))
            end_echo(oldest.slot, true);
    }
}

void engine::note_drops(std::uint64_t total, time_point now) noexcept {
    if (total <= drops_seen_) return;
    stats_.drops += total - drops_seen_;
    drops_seen_ = total;
    dropped_ = now;
}

time_point engine::next_wake() {
    auto wake = time_point::max();
    for (auto& l : lanes_) {
        while (!l->waiting_.empty() && !current(l->waiting_.front(), stage::waiting))
            l->waiting_.pop();
        if (!l->waiting_.empty())
            wake = std::min(wake, l->waiting_.front().when + l->plan_.timeout);
        if (!l->turns_.empty()) wake = std::min(wake, l->turns_.front().when);
        if (!wants_to_send(*l)) continue;
        auto may_send = std::max(l->blocked_until_, l->pace_.next());
        if (hot_ >= limits_.window)
            may_send = std::max(may_send, hot_order_.front().when + hot_time);
        wake = std::min(wake, may_send);
    }
    return wake;
}

} // namespace trawl::icmp::detail
