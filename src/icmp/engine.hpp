#pragma once

#include "icmp/flights.hpp"
#include "icmp/lane.hpp"
#include "icmp/packet.hpp"
#include "icmp/siphash.hpp"

#include <trawl/icmp.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <vector>

namespace trawl::icmp::detail {

/// The table of outstanding echoes, without I/O: packets and time in, packets and outcomes out.
///
///     submit / source -> ready -> collect -> outgoing -> sent --> waiting -> reply, error, expire
///                          ^                    | refused (short of buffers)     |
///                          +--------------------+<------- retry, next of count --+--> outcome
///
/// An echo's number, 16 bits for its flights and 48 for its position in them, is in its payload: a
/// reply is found without a search and proved by the cookie. The 16-bit sequence number, the low
/// bits of the position, serves for errors that quote too little.
class engine {
public:
    struct limits {
        std::size_t outstanding = 131072; ///< targets of sweeps without an outcome
        std::size_t window = 1024;        ///< answers that may come at once (see hot_time)
    };

    /// `key` from a good random source. `epoch`: what the proofs count from. `form`: of the echoes.
    engine(limits bounds, sip_key key, std::uint16_t id, time_point epoch, echo_form form = {});
    engine(engine const&) = delete;
    engine& operator=(engine const&) = delete;
    ~engine();

    /// `supply` outlives the lane.
    lane& open(plan, source* supply = nullptr);
    /// Forgets whatever the lane has outstanding and destroys it.
    void close(lane&) noexcept;

    /// Queues one target of a lane without a source; for forget(). Ignores limits.outstanding.
    std::uint32_t submit(lane&, host const& target, std::uint64_t tag, std::uint8_t hop_limit = 0);
    /// Drops a submitted target that has no outcome yet.
    void forget(std::uint32_t submitted) noexcept;

    /// Fills `into` with what may be sent now; each parcel is then reported by sent() or refused().
    std::size_t collect(time_point now, std::span<parcel> into);
    /// The kernel took the echo at about `when`, in a call that began at `began`.
    void sent(std::uint64_t number, time_point when, time_point began);
    /// It left at `when` only, or exactly then.
    void departed(std::uint64_t number, time_point when) noexcept;
    /// The kernel refused the echo with errno `failure`: for good, or for want of buffers.
    void refused(std::uint64_t number, int failure, time_point now);
    static bool short_of_buffers(int failure) noexcept;
    /// Ends the target with status unknown.
    void abandon(std::uint64_t number, std::error_code why);

    void receive(message const&, host const& from, std::optional<std::uint8_t> hops_left,
                 time_point arrival);

    /// True when expire() has something to do. Read what has arrived and the drops first.
    bool due(time_point now);
    void expire(time_point now);
    /// `total`: packets that our sockets have dropped so far.
    void note_drops(std::uint64_t total, time_point now) noexcept;

    /// When to come back though nothing arrives; time_point::max() when there is no reason to.
    time_point next_wake();
    bool idle() const noexcept { return outstanding_ == 0; }
    std::size_t outstanding() const noexcept { return outstanding_; }
    std::size_t hot() const noexcept;
    statistics const& stats() const noexcept { return stats_; }

    /// An echo counts against the window for this long: the loop comes around at least as often
    /// (lag p99 <= 20 ms), so answers to older echoes cannot arrive all at once.
    static constexpr duration hot_time = std::chrono::milliseconds(20);
    /// A silent echo may end so much late: those of one batch expire at one wake-up, not one each.
    static constexpr duration expiry_slack = std::chrono::milliseconds(1);
    /// How often a silent target is asked again because our own buffers lost packets meanwhile.
    static constexpr unsigned rescues = 3;
    static constexpr unsigned most_retries = 250;
    /// How long a lane waits for buffers before its targets end as unknown.
    static constexpr duration patience = std::chrono::seconds(5);

private:
    static constexpr unsigned position_bits = 48; // of an echo's number
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

    /// A target of several echoes, or one that may be forgotten. It stays until nothing refers to
    /// it: flights, entries of ready_ and turns_.
    struct tracked {
        host target = {};
        lane* lane_of = nullptr;
        bool active = false; // has no outcome and was not forgotten
        std::uint8_t hop_limit = 0;
        std::uint64_t tag = 0;
        duration rtt_sum{};
        std::uint32_t begun = 0, ended = 0, sent = 0, replies = 0; // echoes
        std::uint32_t references = 0;
        icmp::status verdict = status::down; // without a reply
        std::optional<detail::answer> last = {};
        std::error_code why = {};
        std::uint32_t next_free = none;
    };

    /// The flights of one try of a lane.
    struct tier {
        lane* owner = nullptr; // null: free
        flights echoes;
    };

    /// An echo that is out, found by its number.
    struct found {
        tier* in = nullptr;
        flight* echo = nullptr;
        std::uint64_t position = 0;
    };

    /// How an echo ended.
    struct ending {
        icmp::status status = status::down;
        bool was_sent = true;
        std::optional<detail::answer> answer = {};
        duration rtt{};
        std::error_code why = {};
    };

    std::uint64_t cookie(host const& target, proof const&) const noexcept;
    found find(std::uint64_t number) noexcept;
    found find_sequence(std::uint16_t sequence, host const& target) noexcept;
    std::uint64_t tag_of(lane const&, flight const&) const noexcept;
    // The record of a tracked target that has its outcome may serve another by now.
    bool is_forgotten(flight const& f) const noexcept {
        if (!f.tracked) return false;
        auto const& t = tracked_[f.whom];
        return !t.active || t.target.octets != f.octets;
    }
    host target_of(flight const& f) const noexcept {
        if (f.tracked && !is_forgotten(f)) return tracked_[f.whom].target;
        host h;
        h.octets = f.octets;
        h.family = f.is_v6 ? family::v6 : family::v4;
        h.scope = f.tracked ? 0 : zones_[f.more];
        return h;
    }
    duration rtt(flight const&, time_point arrival) const noexcept;

    bool wants_to_send(lane& l) const noexcept {
        bool const has = !l.ready_.empty() || (l.hungry_ && outstanding_ < limits_.outstanding);
        return has && !l.stalls();
    }
    std::optional<flight> next_of(lane&);
    std::optional<flight> pop_ready(lane&);
    void make_ready(lane&, std::uint32_t whom);
    parcel wrap(lane&, flight, time_point now);
    std::uint16_t tier_for(lane&, unsigned tries);
    std::uint16_t zone(std::uint32_t scope);
    void begun(lane&, std::uint32_t whom, time_point when);
    bool put_off(lane&, time_point now) noexcept;
    void fail(found const&, icmp::status, std::error_code why);

    void take_reply(message const&, answer const&, time_point arrival);
    void take_repeated(found const&, proof const&, answer const&, time_point arrival);
    void take_error(message const&, answer const&, time_point arrival);
    void answered(found const&, answer const&, time_point arrival);

    void expire(lane&, time_point now);
    void take_off(found const&, ending const&);
    void echo_ended(lane&, flight, ending);
    void count_ended(lane&, flight const&, ending const&);
    void report_echo(lane&, flight const&, ending const&, bool duplicate = false);
    void finish(lane&, flight const&, ending const&);

    std::uint32_t track(lane&, host const& target, std::uint64_t tag);
    void end_target(std::uint32_t whom) noexcept;
    void drop_reference(std::uint32_t whom) noexcept;
    void release(std::uint32_t whom) noexcept;

    limits limits_;
    sip_key key_;
    std::uint16_t id_;
    time_point epoch_;
    echo_form form_;
    std::vector<std::unique_ptr<lane>> lanes_;
    std::vector<std::unique_ptr<tier>> tiers_;
    std::vector<tracked> tracked_;
    std::uint32_t free_first_ = none;
    std::vector<std::uint32_t> zones_{0}; // of link-local addresses
    std::size_t turn_ = 0;                // which lane sends first
    std::size_t outstanding_ = 0;
    std::uint64_t drops_seen_ = 0;
    std::optional<time_point> dropped_; // when drops were last seen to have grown
    time_point batch_began_{};
    statistics stats_;
};

} // namespace trawl::icmp::detail
