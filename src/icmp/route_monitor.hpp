#pragma once

#include "icmp/route.hpp"

#include <trawl/async.hpp>

#include <memory>
#include <system_error>

namespace trawl::icmp::detail {

/// The routes as the kernel has them now. It tells of changes (rtnetlink(7), its multicast groups);
/// they are read again when somebody asks for them, and not for more than a twentieth of the time:
/// the tables of a router take seconds, and change all the time.
class route_monitor {
public:
    /// Subscribes and reads for the first time. Null with `failure`.
    static std::shared_ptr<route_monitor> open(std::error_code& failure);
    route_monitor(route_monitor const&) = delete;
    route_monitor& operator=(route_monitor const&) = delete;
    ~route_monitor();

    /// The same object as long as nothing changes that matters here. Routes that cannot be read
    /// are none, which leaves everything to the kernel, until they can. To be called in the network
    /// namespace of open().
    std::shared_ptr<routes const> const& latest(time_point now);

private:
    route_monitor(int fd, std::shared_ptr<routes const> now) noexcept
        : fd_(fd), routes_(std::move(now)) {}
    bool told() const noexcept;
    void read(time_point now);

    int fd_;
    std::shared_ptr<routes const> routes_;
    bool changed_ = false;
    time_point listened_{}, next_read_{};
};

} // namespace trawl::icmp::detail
