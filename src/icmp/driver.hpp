#pragma once

#include "icmp/channel.hpp"
#include "icmp/engine.hpp"

#include <array>

namespace trawl::icmp::detail {

/// Moves packets between an engine and its channels, a bounded turn at a time.
///
/// The order is what keeps replies from being lost by us: read after every batch of sends, read
/// everything before anything expires, and ask for drops before that too.
class driver {
public:
    using time_source = time_point (*)();

    /// A channel may be null: `missing` is then why its targets end as unknown.
    driver(engine& of, channel* v4, channel* v6, time_source now = &clock::now);

    std::error_code missing_v4, missing_v6;

    struct progress {
        bool again = false; ///< there is more to do at once
        time_point wake{};  ///< otherwise: when, if nothing arrives before
    };
    progress turn();

    /// Reads what came while nobody waited, so that it is not taken for a loss of this run.
    void begin();

    /// Whether something was sent by that family's channel since begin(): another has nothing to
    /// say, is not read and need not be watched.
    bool listens(family f) const noexcept { return (f == family::v4 ? v4_ : v6_).used; }

    /// One sending call, at least and at most; in between, what fits into the turn. The replies to
    /// a batch are fewer than a reading call takes, which therefore finds the end of the queue.
    static constexpr std::size_t least_batch = 32, send_batch = channel::batch - 8;
    static constexpr std::size_t turn_packets = 512;
    static constexpr duration turn_time = std::chrono::microseconds(250);

private:
    struct side {
        channel* by = nullptr;
        bool used = false;
    };

    bool drain(std::size_t& budget);
    bool drain(channel&, std::size_t& budget);
    void expire(bool drained);
    void note_cost(duration each) noexcept;
    std::size_t batch_for(duration left) const noexcept;
    void send(std::span<parcel>);
    void flush(side&, std::span<parcel const>, std::error_code missing);
    void flush(channel&, std::span<parcel const>);
    std::uint64_t drops();
    time_point next_wake();

    engine& engine_;
    side v4_, v6_;
    time_source now_;
    duration cost_{};        // of a packet lately, its reply included
    unsigned undrained_ = 0; // turns in a row that ended with unread packets
    std::array<parcel, send_batch> parcels_, aside_;
};

} // namespace trawl::icmp::detail
