#pragma once

#include "cli/ping_writer.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trawl::cli {

/// The hosts that lose most, and of those the slowest, with what became of their last echoes.
/// Keeps 32 of them: a host that is worse than the best of these takes its place.
class worst_hosts {
public:
    static constexpr std::size_t most = 32, remembered = 32;

    struct host {
        std::uint64_t place = 0;
        asio::ip::address address;
        std::string label;
        double loss = 0; ///< per cent
        duration average{};
        std::vector<std::optional<duration>> last; ///< the oldest first; nullopt: lost
    };

    /// An echo of `which` ended, answered after `rtt` or not at all; loss and average count it.
    void add(pinged_host const& which, std::optional<duration> rtt, double loss, duration average);
    /// The worst first.
    std::vector<host> ordered() const;

private:
    host* place_for(pinged_host const& which, double loss, duration average);

    std::vector<host> hosts_;
};

} // namespace trawl::cli
