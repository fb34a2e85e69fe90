#pragma once

#include "icmp/channel.hpp"

#include <trawl/icmp.hpp>

#include <memory>
#include <system_error>

namespace trawl::icmp::detail {

/// A channel over an ICMP socket of the kernel.
class socket_channel : public channel {
public:
    /// Opens a non-blocking socket of `kind` (raw or datagram). A raw one lets only replies to, and
    /// errors about, echoes with identifier `id` through; a datagram one has an identifier of the
    /// kernel's choice. Null, with `failure`, when it may not be opened.
    static std::unique_ptr<socket_channel> open(family, socket_kind kind, std::uint16_t id,
                                                std::size_t receive_buffer,
                                                std::error_code& failure);

    /// To wait on; owned by the channel.
    virtual int descriptor() const noexcept = 0;
};

} // namespace trawl::icmp::detail
