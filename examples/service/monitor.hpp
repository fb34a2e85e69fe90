#pragma once

#include "prometheus.hpp"

#include <trawl/icmp.hpp>
#include <trawl/observer.hpp>
#include <trawl/targets.hpp>

#include <boost/json/array.hpp>

#include <asio/ip/address.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

namespace service {

/// Asks the same addresses again and again: the probe_* and smokeping_* metrics of each.
class monitor {
public:
    struct options {
        trawl::targets::list targets; ///< addresses
        std::chrono::milliseconds every{5000};
    };

    /// `pinger` and `log` outlive it.
    monitor(trawl::icmp::pinger& pinger, options what, trawl::observer& log)
        : pinger_(pinger), options_(std::move(what)), log_(log) {}

    /// Until it is cancelled. A round that cannot be sent is a warning, and the next one comes.
    trawl::awaitable<> run();

    void write(exposition& to) const;
    /// [{"address", "up", "rtt"}] of the last round.
    boost::json::array to_json() const;

private:
    struct host {
        trawl::icmp::status status = trawl::icmp::status::unknown;
        std::optional<trawl::duration> rtt{};
        std::uint64_t sent = 0;
        histogram responses{};
    };
    trawl::awaitable<> round();

    trawl::icmp::pinger& pinger_;
    options options_;
    trawl::observer& log_;
    std::map<asio::ip::address, host> hosts_;
};

/// How late the loop has been in the last 10 seconds. The watchdog tells of the whole life of the
/// process; a health check must forget a bad moment.
class heartbeat {
public:
    /// Until it is cancelled.
    trawl::awaitable<> run();
    trawl::duration worst() const;

private:
    static constexpr std::chrono::milliseconds beat_{100};
    std::array<trawl::duration, 100> late_{};
    std::size_t next_ = 0;
};

} // namespace service
