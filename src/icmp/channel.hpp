#pragma once

#include "icmp/packet.hpp"

#include <trawl/async.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace trawl::icmp::detail {

/// What carries the echoes of one address family: a socket, or a pretend kernel in the tests. It
/// delivers only messages that bear the engine's identifier.
class channel {
public:
    /// Packets of one call at most: nothing else runs meanwhile.
    static constexpr std::size_t batch = 128;

    virtual ~channel() = default;

    /// Hands `parcels` to the kernel, in order; how many it took. Fewer: `failure` is the errno for
    /// the one after those, when none was taken (0: not told, call again for the rest).
    virtual std::size_t send(std::span<parcel const> parcels, int& failure) = 0;

    struct arrived {
        host from = {};
        message what = {};
        std::optional<std::uint8_t> hops_left = {};
        time_point when{};
    };
    /// At most one batch of what has arrived, valid until the next call; `more`: ask again.
    virtual std::span<arrived const> receive(bool& more) = 0;

    /// An echo that left later than send() took it, or whose leaving has been told exactly.
    struct departed {
        std::uint64_t number = 0;
        time_point when{};
    };
    /// What has become known since the last call, valid until the next. To be asked before
    /// receive().
    virtual std::span<departed const> departures() { return {}; }

    /// When to call departures() and receive() though no descriptor is ready.
    virtual time_point next_wake() const { return time_point::max(); }

    /// Packets lost so far because the receive buffer was full.
    virtual std::uint64_t drops() = 0;

    /// Replies that the receive buffer holds.
    virtual std::size_t capacity() const = 0;

    /// What to wait on for reading; owned by the channel.
    virtual std::span<int const> descriptors() const { return {}; }
};

} // namespace trawl::icmp::detail
