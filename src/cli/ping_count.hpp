#pragma once

#include "cli/ping_writer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace trawl::cli {

/// Hosts of a run by how they ended.
struct ping_count {
    std::uint64_t by_status[4] = {};
    std::uint64_t reported = 0, unresolved = 0;

    std::uint64_t of(icmp::status s) const { return by_status[static_cast<std::size_t>(s)]; }
    void add(icmp::status s, std::uint64_t hosts = 1) {
        by_status[static_cast<std::size_t>(s)] += hosts, reported += hosts;
    }
    /// At the end: adds what earlier runs found, and as unknown the targets without a result, whose
    /// turn did not come or did not end. How many these are.
    std::uint64_t complete(ping_end const& end) {
        for (std::size_t i = 0; i < end.earlier.size(); ++i)
            add(static_cast<icmp::status>(i), end.earlier[i]);
        auto const rest = end.targets - std::min(end.targets, reported);
        add(icmp::status::unknown, rest);
        return rest;
    }
};

} // namespace trawl::cli
