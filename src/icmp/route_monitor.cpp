#include "icmp/route_monitor.hpp"

#include <algorithm>
#include <cerrno>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

namespace trawl::icmp::detail {
namespace {

// One system call for the echoes of so long; those to a link that has gone fail meanwhile.
constexpr duration listening = std::chrono::milliseconds(1);
// A link that comes up changes several tables, one after the other.
constexpr duration least_pause = std::chrono::milliseconds(100);
constexpr int pause_per_reading = 20;

constexpr std::uint32_t group(rtnetlink_groups number) { return 1u << (number - 1); }

constexpr std::uint32_t groups = group(RTNLGRP_LINK) | group(RTNLGRP_IPV4_IFADDR) |
                                 group(RTNLGRP_IPV4_ROUTE) | group(RTNLGRP_IPV4_RULE) |
                                 group(RTNLGRP_IPV6_IFADDR) | group(RTNLGRP_IPV6_ROUTE) |
                                 group(RTNLGRP_IPV6_RULE);

} // namespace

std::shared_ptr<route_monitor> route_monitor::open(std::error_code& failure) {
    int const fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    sockaddr_nl own{};
    own.nl_family = AF_NETLINK;
    own.nl_groups = groups;
    if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr const*>(&own), sizeof own) != 0)
        failure.assign(errno, std::system_category());
    else if (auto now = routes::read(failure)) // after the subscription, so that nothing is missed
        return std::shared_ptr<route_monitor>(new route_monitor(fd, std::move(now)));
    if (fd >= 0) ::close(fd);
    return nullptr;
}

route_monitor::~route_monitor() { ::close(fd_); }

std::shared_ptr<routes const> const& route_monitor::latest(time_point now) {
    if (now - listened_ >= listening) {
        listened_ = now;
        changed_ = told() || changed_;
    }
    if (changed_ && now >= next_read_) read(now);
    return routes_;
}

// What has changed is found in the tables. ENOBUFS: more has than the socket could hold.
bool route_monitor::told() const noexcept {
    bool any = false;
    while (::recv(fd_, nullptr, 0, MSG_TRUNC) >= 0 || errno == ENOBUFS) any = true;
    return any;
}

void route_monitor::read(time_point now) {
    std::error_code failure;
    auto fresh = routes::read(failure);
    changed_ = !fresh; // it is tried again
    if (!fresh) fresh = std::make_shared<routes const>(route_dump{});
    if (*fresh != *routes_) routes_ = std::move(fresh);
    next_read_ = now + std::max(least_pause, (clock::now() - now) * pause_per_reading);
}

} // namespace trawl::icmp::detail
