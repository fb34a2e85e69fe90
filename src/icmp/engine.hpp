#pragma once

#include "icmp/packet.hpp"
#include "icmp/ring.hpp"
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

/// How each target of a lane is asked.
struct plan {
    duration timeout = std::chrono::seconds(1);
    unsigned retries = 0; ///< with count 1: further echoes while it is silent
    unsigned count = 1;
    duration interval{}; ///< from echo to echo of one target, with count > 1
    double rate = 0;     ///< echoes a second of the lane; 0: no limit
};

/// What became of one target.
struct outcome {
    std::uint64_t tag = 0;
    host target = {};
    icmp::status status = status::unknown;
    std::uint32_t sent = 0, received = 0;
    duration rtt{}; ///< average; of no meaning when nothing was received
    std::optional<std::uint8_t> hops_left = {};
    std::error_code why = {};
};

/// Where a lane takes its targets from.
class source {
public:
    /// The next target; nullopt for now or for good.
    virtual std::optional<host> next_target() = 0;

protected:
    ~source() = default;
};

/// Evenly spaced sends: at most 1 ms of unused time is caught up (or one send, at low rates).
class send_pace {
public:
    explicit send_pace(double per_second) noexcept;
    bool allows(time_point now) const noexcept { return now >= next_; }
    void took(time_point now) noexcept;
    time_point next() const noexcept { return next_; }

private:
    duration interval_{};
    time_point next_{};
};

class engine;

/// One user's share of an engine: a sweep, or the probes. All its echoes have one timeout, so that
/// the order of sending is the order of expiry.
class lane {
public:
    ring<outcome> outcomes; ///< to be taken out by the owner

    /// Targets that have no outcome yet.
    std::size_t active() const noexcept { return active_; }
    /// To be called when `source` may have targets again.
    void feed() noexcept { hungry_ = supply_ != nullptr; }

private:
    friend class engine;
    struct place {
        std::uint32_t slot = 0, generation = 0;
        time_point when{};
    };

    lane(detail::plan p, source* supply) : plan_(p), pace_(p.rate), supply_(supply) { feed(); }

    detail::plan plan_;
    send_pace pace_;
    source* supply_;
    bool hungry_ = false; // supply_ may have a target
    std::size_t active_ = 0;
    ring<place> ready_;   // to be sent
    ring<place> waiting_; // sent, in order; when: the moment of sending
    ring<place> turns_;   // count > 1: when the next echo is due
    // The kernel was short of buffers: nothing is sent before blocked_until_; since when, without a
    // success.
    time_point blocked_until_{}, blocked_since_{};
    duration backoff_{};
};

/// The table of outstanding echoes, without I/O: packets and time in, packets and outcomes out.
///
///     submit / source -> ready -> collect -> outgoing -> sent --> waiting -> reply, error, expire
///                          ^                    | refused (short of buffers)     |
///                          +--------------------+<------- retry, next of count --+--> outcome
///
/// A slot belongs to one target until that has its outcome. Every echo has a new generation, and
/// its proof names slot and generation: a reply is found without a search, and the 16-bit sequence
/// number serves for errors that quote too little.
class engine {
public:
    struct limits {
        std::size_t outstanding = 65536;
        std::size_t window = 1024; ///< answers that may come at once (see hot_time)
    };

    /// `key` from a good random source. `epoch`: what the proofs count from.
    engine(limits bounds, sip_key key, std::uint16_t id, time_point epoch);
    engine(engine const&) = delete;
    engine& operator=(engine const&) = delete;
    ~engine();

    /// `supply` outlives the lane.
    lane& open(plan, source* supply = nullptr);
    /// Forgets whatever the lane has outstanding and destroys it.
    void close(lane&) noexcept;

    /// Queues one target; its slot, for forget(). Ignores limits.outstanding.
    std::uint32_t submit(lane&, host const& target, std::uint64_t tag);
    /// Drops a target that has no outcome yet.
    void forget(std::uint32_t slot) noexcept;

    /// Fills `into` with what may be sent now; each parcel is then reported by sent() or refused().
    std::size_t collect(time_point now, std::span<parcel> into);
    /// The kernel took the echo at about `when`, in a call that began `lead` earlier.
    void sent(std::uint32_t slot, time_point when, duration lead);
    /// The kernel refused the echo with errno `failure`: for good, or for want of buffers.
    void refused(std::uint32_t slot, int failure, time_point now);
    static bool short_of_buffers(int failure) noexcept;
    /// Ends the target with status unknown.
    void abandon(std::uint32_t slot, std::error_code why);

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
    std::size_t hot() const noexcept { return hot_; }
    statistics const& stats() const noexcept { return stats_; }

    /// An echo counts against the window for this long: the loop comes around at least as often
    /// (lag p99 <= 20 ms), so answers to older echoes cannot arrive all at once.
    static constexpr duration hot_time = std::chrono::milliseconds(20);
    /// How often a silent target is asked again because our own buffers lost packets meanwhile.
    static constexpr unsigned rescues = 3;
    /// How long a lane waits for buffers before its targets end as unknown.
    static constexpr duration patience = std::chrono::seconds(5);

private:
    enum class stage : std::uint8_t { free, ready, outgoing, waiting, resting };
    static constexpr auto none = std::numeric_limits<std::uint32_t>::max();

    struct slot {
        host target = {};
        lane* owner = nullptr;
        std::uint64_t tag = 0;
        time_point first_sent{}, sent{};
        duration rtt_sum{};
        std::uint32_t lead = 0; // ns between the beginning of the sending call and `sent`
        std::uint32_t generation = 0;
        std::uint32_t echoes = 0, replies = 0;
        std::uint32_t next_free = none;
        std::uint16_t sequence = 0;
        std::uint8_t rescued = 0, hops_left = 0;
        detail::kind verdict = kind::other; // the last ICMP error
        stage phase = stage::free;
        bool hot = false, answered = false, told_hops = false, turn_passed = false;
    };

    std::uint64_t cookie(host const& target, proof const&) const noexcept;
    bool current(lane::place const& p, stage wanted) const noexcept {
        return slots_[p.slot].phase == wanted && slots_[p.slot].generation == p.generation;
    }
    bool wants_to_send(lane const& l) const noexcept {
        return !l.ready_.empty() || (l.hungry_ && outstanding_ < limits_.outstanding);
    }
    std::optional<std::uint32_t> next_of(lane&);
    parcel wrap(std::uint32_t index, time_point now);
    void make_ready(std::uint32_t index);
    void release(std::uint32_t index) noexcept;
    void cool(time_point now) noexcept;
    void cool(slot& s) noexcept;
    void take_reply(message const&, host const& from, std::optional<std::uint8_t> hops_left,
                    time_point arrival);
    void take_error(message const&);
    std::uint32_t find_quoted(message const&) noexcept;
    void end_echo(std::uint32_t index, bool silent);
    void finish(std::uint32_t index);
    void finish(std::uint32_t index, icmp::status, std::error_code why);
    void expire(lane&, time_point now);

    limits limits_;
    sip_key key_;
    std::uint16_t id_, sequence_;
    time_point epoch_;
    std::vector<slot> slots_;
    std::uint32_t free_first_ = none, free_last_ = none; // first freed, first used again
    std::vector<std::uint32_t> by_sequence_;             // slot of the last echo with that number
    std::vector<std::unique_ptr<lane>> lanes_;
    std::size_t turn_ = 0; // which lane sends first
    ring<lane::place> hot_order_;
    std::size_t hot_ = 0, outstanding_ = 0;
    std::uint64_t drops_seen_ = 0;
    std::optional<time_point> dropped_;   // when drops were last seen to have grown
    duration shortest_ = duration::max(); // of the timeouts so far
    statistics stats_;
};

} // namespace trawl::icmp::detail
