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

    /// One sending call; 32 cost no more a packet than 256 do, and on loopback, where the kernel
    /// runs the other side too, take about 0.2 ms.
    static constexpr std::size_t send_batch = 32;
    static constexpr std::size_t turn_packets = 256;
    static constexpr duration turn_time = std::chrono::microseconds(200);

private:
    bool drain(std::size_t& budget);
    bool drain(channel*, std::size_t& budget);
    void expire(bool drained);
    void flush(channel*, std::span<parcel const>, std::error_code missing);
    void flush(channel&, std::span<parcel const>);
    std::uint64_t drops();
    time_point next_wake();

    engine& engine_;
    channel *v4_, *v6_;
    time_source now_;
    unsigned undrained_ = 0; // turns in a row that ended with unread packets
    std::array<parcel, send_batch> parcels_, v4_parcels_, v6_parcels_;
};

} // namespace trawl::icmp::detail
