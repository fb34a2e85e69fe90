#pragma once

#include "icmp/channel.hpp"

#include <trawl/icmp.hpp>

#include <cstdint>
#include <memory>
#include <system_error>
#include <vector>

namespace trawl::icmp::detail {

/// A channel over an ICMP socket of the kernel.
class socket_channel : public channel {
public:
    /// What a socket is opened with.
    struct settings {
        detail::family family = family::v4;
        socket_kind kind = socket_kind::raw; ///< raw or datagram
        std::uint16_t id = 0;
        std::vector<std::uint8_t> padding = {}; ///< sent behind the proof
    };

    /// Opens a non-blocking socket. A raw one lets only replies to, and errors about, echoes with
    /// identifier `id` through; a datagram one has an identifier of the kernel's choice. Null, with
    /// `failure`, when it may not be opened or cannot do what `options` ask.
    static std::unique_ptr<socket_channel> open(settings, pinger::options const&,
                                                std::error_code& failure);
};

} // namespace trawl::icmp::detail
