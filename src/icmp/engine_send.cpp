#include "icmp/engine.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>

// The half of the engine that sends: from a lane's next target to what the kernel said of its echo.
namespace trawl::icmp::detail {
namespace {

constexpr duration first_backoff = std::chrono::milliseconds(1);
constexpr duration longest_backoff = std::chrono::milliseconds(256);

} // namespace

std::uint64_t engine::cookie(host const& target, proof const& p) const noexcept {
    auto word = [&](std::size_t at) {
        std::uint64_t value = 0;
        std::memcpy(&value, target.octets.data() + at, sizeof value);
        return value;
    };
    if (target.family == family::v4) return siphash(key_, std::array{p.number, p.sent, word(0)});
    return siphash(key_, std::array{p.number, p.sent, word(0), word(8)});
}

std::optional<flight> engine::pop_ready(lane& l) {
    while (!l.ready_.empty()) {
        auto const f = l.ready_.pop();
        if (!f.tracked || tracked_[f.whom].active) return f;
        drop_reference(f.whom); // forgotten meanwhile
    }
    return std::nullopt;
}

std::optional<flight> engine::next_of(lane& l) {
    if (auto const ready = pop_ready(l)) return ready;
    if (!l.hungry_ || outstanding_ >= limits_.outstanding) return std::nullopt;
    auto const next = l.supply_->next_target();
    if (!next) {
        l.hungry_ = false;
        return std::nullopt;
    }
    ++outstanding_;
    ++l.active_;
    l.position_ = next->position;
    if (l.tracks()) {
        make_ready(l, track(l, next->target, next->position));
        return pop_ready(l);
    }
    auto f = flight_to(next->target);
    f.whom = static_cast<std::uint32_t>(next->position);
    f.more = zone(next->target.scope);
    return f;
}

parcel engine::wrap(lane& l, flight f, time_point now) {
    auto const target = target_of(f);
    ++f.tries;
    f.phase = flight::outgoing;
    f.sent = now;
    if (f.tracked) f.more = static_cast<std::uint16_t>(tracked_[f.whom].begun);
    auto const index = tier_for(l, f.tries);
    auto const position = tiers_[index]->echoes.push(f);
    proof p{.number = std::uint64_t{index} << position_bits | position,
            .sent = static_cast<std::uint64_t>((now - epoch_).count())};
    p.cookie = cookie(target, p);
    return {.number = p.number,
            .target = target,
            .hop_limit = f.tracked ? tracked_[f.whom].hop_limit : std::uint8_t{0},
            .bytes =
                write_echo(target.family, id_, static_cast<std::uint16_t>(position), p, form_)};
}

std::size_t engine::hot() const noexcept {
    std::size_t all = 0;
    for (auto const& t : tiers_)
        if (t->owner) all += t->echoes.hot();
    return all;
}

std::size_t engine::collect(time_point now, std::span<parcel> into) {
    for (auto& t : tiers_)
        if (t->owner) t->echoes.cool(now - hot_time);
    auto const hot_before = hot();
    std::size_t count = 0;
    ++turn_;
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
        auto& l = *lanes_[(turn_ + i) % lanes_.size()];
        if (l.stalls()) continue;
        while (count < into.size() && hot_before + count < limits_.window &&
               now >= l.blocked_until_ && l.pace_.allows(now)) {
            auto const next = next_of(l);
            if (!next) break;
            l.pace_.took(now);
            into[count++] = wrap(l, *next, now);
        }
    }
    return count;
}

void engine::sent(std::uint64_t number, time_point when, time_point began) {
    auto const f = find(number);
    assert(f.echo && f.echo->phase == flight::outgoing);
    auto& l = *f.in->owner;
    ++stats_.sent;
    batch_began_ = began;
    l.backoff_ = {};
    f.echo->phase = flight::waiting;
    f.echo->sent = when;
    if (!f.echo->tracked) return;
    ++tracked_[f.echo->whom].sent;
    begun(l, f.echo->whom, when);
}

// One echo more of a target of several; when the next is due.
void engine::begun(lane& l, std::uint32_t whom, time_point when) {
    auto& t = tracked_[whom];
    ++t.begun;
    if (l.plan_.count == 1 || !t.active || t.begun == l.plan_.count) return;
    ++t.references;
    l.turns_.push({whom, when + l.plan_.interval});
}

void engine::departed(std::uint64_t number, time_point when) noexcept {
    auto const f = find(number);
    if (f.echo && f.echo->phase == flight::waiting) f.echo->sent = when;
}

bool engine::short_of_buffers(int failure) noexcept {
    return failure == EAGAIN || failure == EWOULDBLOCK || failure == ENOBUFS || failure == ENOMEM;
}

// ENOBUFS and EAGAIN are not tried again in place: a full neighbour table stays full for seconds,
// and a loop that insists starves everything else. The lane pauses, longer each time, and goes on
// with the next target.
bool engine::put_off(lane& l, time_point now) noexcept {
    ++stats_.deferred;
    if (l.backoff_ == duration::zero()) l.blocked_since_ = now;
    if (now < l.blocked_until_) return true; // a later one of the same batch
    if (now - l.blocked_since_ > patience) return false;
    l.backoff_ = std::clamp(l.backoff_ * 2, first_backoff, longest_backoff);
    l.blocked_until_ = now + l.backoff_;
    return true;
}

void engine::refused(std::uint64_t number, int failure, time_point now) {
    auto const f = find(number);
    assert(f.echo && f.echo->phase == flight::outgoing);
    auto& l = *f.in->owner;
    if (short_of_buffers(failure) && put_off(l, now)) {
        auto again = *f.echo;
        --again.tries;
        f.in->echoes.end(f.position, *f.echo);
        l.ready_.push(again);
        return;
    }
    bool const no_way = failure == EHOSTUNREACH || failure == ENETUNREACH || failure == EHOSTDOWN ||
                        failure == ENETDOWN;
    fail(f, no_way ? status::unreachable : status::unknown, {failure, std::system_category()});
}

void engine::abandon(std::uint64_t number, std::error_code why) {
    auto const f = find(number);
    assert(f.echo && f.echo->phase == flight::outgoing);
    fail(f, status::unknown, why);
}

void engine::fail(found const& f, icmp::status what, std::error_code why) {
    ++stats_.send_failures;
    if (f.echo->tracked) begun(*f.in->owner, f.echo->whom, f.echo->sent);
    take_off(f, {.status = what, .was_sent = false, .why = why});
}

} // namespace trawl::icmp::detail
