#pragma once

#include "icmp/packet.hpp"

#include <trawl/async.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace trawl::icmp::detail {

/// One echo that is out.
struct flight {
    enum stage : std::uint8_t { done, outgoing, waiting };

    std::array<std::uint8_t, 16> octets{}; ///< of its target, as in host
    time_point sent{};
    std::uint32_t whom = 0; ///< tracked: its target's index; else the low bits of the position
    std::uint16_t more = 0; ///< tracked: the low bits of the echo's index; else the zone's index
    std::uint8_t tries = 0; ///< echoes to this target, with this one
    stage phase : 2 = done;
    std::uint8_t is_v6 : 1 = 0;
    std::uint8_t tracked : 1 = 0;
    std::uint8_t suspect : 1 = 0; ///< our own buffers lost packets while an echo was out
    std::uint8_t rescued : 2 = 0; ///< echoes for that reason
};
static_assert(sizeof(flight) == 32);

inline flight flight_to(host const& target) noexcept {
    flight f;
    f.octets = target.octets;
    f.is_v6 = target.family == family::v6;
    return f;
}

/// The echoes with one timeout that are out, in the order of sending, which is that of expiry.
///
///     stragglers (sorted)      ring
///     | 17 | 23 | 40 |         | 4101 | done | 4103 | ... | 9042 |
///                              ^ tail_        ^ warm_            ^ head_
///
/// An echo is found by its position without a search. Those that have ended leave holes; a ring
/// that would grow beyond `most` for the sake of a few silent ones moves them out.
class flights {
public:
    /// `keep`: those that have ended stay until their timeout too, to recognise duplicates by.
    /// Positions count from `first`.
    flights(duration timeout, std::size_t most, bool keep, std::uint64_t first = 0)
        : timeout_(timeout), most_(most), keep_(keep), tail_(first), warm_(first), head_(first) {}

    duration timeout() const noexcept { return timeout_; }
    std::size_t size() const noexcept { return out_; }
    std::uint64_t end_position() const noexcept { return head_; }
    /// Sent less than a moment ago, see cool().
    std::size_t hot() const noexcept { return hot_; }

    /// Its position.
    std::uint64_t push(flight const& next) {
        if (head_ - tail_ == ring_.size()) make_room();
        at(head_) = next;
        ++out_, ++hot_;
        return head_++;
    }

    /// Null when it is long gone.
    flight* find(std::uint64_t position) noexcept {
        if (position >= head_) return nullptr;
        if (position >= tail_) return &at(position);
        auto const found =
            std::ranges::lower_bound(stragglers_, position, {}, &straggler::position);
        bool const here = found != stragglers_.end() && found->position == position;
        return here ? &found->echo : nullptr;
    }

    /// The position of the latest that is out with that sequence number, the low bits of its
    /// position, and for which `matches(flight)` holds.
    template <class Matches>
    std::optional<std::uint64_t> find_sequence(std::uint16_t sequence, Matches matches) noexcept {
        auto const distance = static_cast<std::uint16_t>(head_ - 1 - sequence);
        if (distance >= head_) return std::nullopt;
        for (auto position = head_ - 1 - distance; position >= first(); position -= 0x10000) {
            auto* f = find(position);
            if (f && f->phase == flight::waiting && matches(*f)) return position;
            if (position < 0x10000) break;
        }
        return std::nullopt;
    }

    /// It was answered, refused, or is given up.
    void end(std::uint64_t position, flight& which) noexcept {
        which.phase = flight::done;
        --out_;
        if (position >= warm_) --hot_;
        if (position < tail_) ++holes_;
    }

    /// Ends the oldest when its time has come and calls `expired(flight)`; false when none is due.
    template <class Expired>
    bool expire(time_point now, Expired expired) {
        trim(now);
        if (out_ == 0) return false;
        auto const position = first();
        auto& oldest = *find(position);
        if (oldest.sent + timeout_ > now) return false;
        auto const gone = oldest;
        end(position, oldest);
        expired(gone);
        return true;
    }

    /// When the oldest expires; max() when nothing is out.
    time_point next_expiry() noexcept {
        trim(time_point::min());
        if (out_ == 0) return time_point::max();
        return find(first())->sent + timeout_;
    }

    /// Echoes sent before `since` are no longer hot.
    void cool(time_point since) noexcept {
        for (; warm_ < head_; ++warm_) {
            auto const& f = at(warm_);
            if (f.phase == flight::done) continue;
            if (f.sent > since) break;
            --hot_;
        }
    }
    /// When the oldest hot one was sent. At least one is hot.
    time_point first_hot() noexcept {
        cool(time_point::min());
        return at(warm_).sent;
    }

private:
    struct straggler {
        std::uint64_t position = 0;
        flight echo = {};
    };

    flight& at(std::uint64_t position) noexcept { return ring_[position & (ring_.size() - 1)]; }
    std::uint64_t first() const noexcept {
        return skipped_ < stragglers_.size() ? stragglers_[skipped_].position : tail_;
    }

    void drop_first() noexcept {
        if (warm_ == tail_) ++warm_;
        ++tail_;
    }

    /// Forgets what has ended at the front.
    void trim(time_point now) noexcept {
        auto const gone = [&](flight const& f) {
            return f.phase == flight::done && (!keep_ || f.sent + timeout_ <= now);
        };
        while (skipped_ < stragglers_.size() && gone(stragglers_[skipped_].echo)) ++skipped_;
        if (skipped_ < stragglers_.size()) return;
        while (tail_ < head_ && gone(at(tail_))) drop_first();
    }

    void make_room() {
        while (tail_ < head_ && at(tail_).phase == flight::done) drop_first();
        if (head_ - tail_ < ring_.size()) return;
        if (ring_.size() < most_) return grow();
        if (warm_ == tail_) --hot_; // too old to be hot, at any speed
        if (holes_ * 2 > stragglers_.size()) {
            std::erase_if(stragglers_, [](auto const& s) { return s.echo.phase == flight::done; });
            skipped_ = holes_ = 0;
        }
        stragglers_.push_back({tail_, at(tail_)});
        drop_first();
    }

    void grow() {
        std::vector<flight> larger(ring_.empty() ? 64 : ring_.size() * 2);
        for (auto p = tail_; p < head_; ++p) larger[p & (larger.size() - 1)] = at(p);
        ring_ = std::move(larger);
    }

    duration timeout_;
    std::size_t most_; // a power of two
    bool keep_;
    std::vector<flight> ring_; // a power of two
    std::uint64_t tail_ = 0, warm_ = 0, head_ = 0;
    std::size_t out_ = 0, hot_ = 0;
    std::vector<straggler> stragglers_; // sorted; the first `skipped_` and others have ended
    std::size_t skipped_ = 0, holes_ = 0;
};

} // namespace trawl::icmp::detail
