#pragma once

#include "ssh/transport.hpp"

#include <trawl/limiter.hpp>
#include <trawl/mutex.hpp>

#include <algorithm>
#include <utility>

namespace trawl::ssh::detail {

/// What a session, its processes and subsystems share.
struct session_state {
    session_state(asio::any_io_executor on, ssh::options configuration)
        : executor(std::move(on)), how(std::move(configuration)),
          channels(std::max<std::size_t>(how.max_channels, 1)) {
        peer = how.host + ":" + std::to_string(how.port);
        if (!how.known) how.known = std::make_shared<ssh::host_keys>();
    }

    void log(severity level, std::string_view text) const {
        if (how.log) how.log->log(level, "ssh " + peer, text);
    }

    asio::any_io_executor executor;
    ssh::options how;
    std::string peer, banner;
    std::optional<asio::ip::address> address;
    host_key shown;
    std::shared_ptr<transport> link;
    limiter channels;
    std::size_t open = 0; // channels, of channel_place
    bool opened = false;  // this server has granted one before
    mutex refused;        // held by the one that asks again
    trawl::detail::waiter_list ended;
};

using state_ptr = std::shared_ptr<session_state>;

} // namespace trawl::ssh::detail
