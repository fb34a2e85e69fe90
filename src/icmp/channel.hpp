#pragma once

#include "icmp/engine.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace trawl::icmp::detail {

/// What carries the echoes of one address family: a socket, or a pretend kernel in the tests. It
/// delivers only messages that bear the engine's identifier.
class channel {
public:
    static constexpr std::size_t batch = 64;

    virtual ~channel() = default;

    /// Hands `parcels` to the kernel, in order; how many it took. Fewer: `failure` is the errno for
    /// the one after those, when none was taken (0: not told, call again for the rest).
    virtual std::size_t send(std::span<engine::parcel const> parcels, int& failure) = 0;

    struct arrived {
        host from = {};
        message what = {};
        std::optional<std::uint8_t> hops_left = {};
        time_point when{};
    };
    /// At most one batch of what has arrived, valid until the next call; `more`: ask again.
    virtual std::span<arrived const> receive(bool& more) = 0;

    /// Packets lost so far because the receive buffer was full.
    virtual std::uint64_t drops() = 0;

    /// Replies that the receive buffer holds.
    virtual std::size_t capacity() const = 0;
};

} // namespace trawl::icmp::detail
