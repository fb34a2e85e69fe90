#include "icmp/route.hpp"

#include <trawl/async.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace trawl::icmp::detail {
namespace {

constexpr std::size_t align(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

/// A structure of the kernel at the front of `from`, which is moved behind it.
template <class T>
std::optional<T> take(bytes& from) {
    if (from.size() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, from.data(), sizeof value);
    from = from.subspan(std::min(from.size(), align(sizeof value)));
    return value;
}

/// Calls `use(type, value)` for each attribute (rtnetlink(3)); false when one is cut off.
template <class Use>
bool each_attribute(bytes from, Use use) {
    while (!from.empty()) {
        if (from.size() < sizeof(rtattr)) return false;
        rtattr head;
        std::memcpy(&head, from.data(), sizeof head);
        if (head.rta_len < sizeof head || head.rta_len > from.size()) return false;
        use(head.rta_type & NLA_TYPE_MASK, from.subspan(sizeof head, head.rta_len - sizeof head));
        from = from.subspan(std::min(from.size(), align(head.rta_len)));
    }
    return true;
}

std::uint32_t number(bytes value) {
    std::uint32_t n = 0;
    if (value.size() >= sizeof n) std::memcpy(&n, value.data(), sizeof n);
    return n;
}

bool is_address(int kind, bytes value) {
    return (kind == AF_INET && value.size() == 4) || (kind == AF_INET6 && value.size() == 16);
}

bool read_link(bytes body, route_dump& into) {
    auto const head = take<ifinfomsg>(body);
    if (!head) return false;
    route_dump::link found{.interface = static_cast<std::uint32_t>(head->ifi_index)};
    bool address = false;
    bool const whole = each_attribute(body, [&](int type, bytes value) {
        if (type == IFLA_MTU) found.mtu = number(value);
        if (type == IFLA_ADDRESS && value.size() == found.address.size()) {
            std::ranges::copy(value, found.address.begin());
            address = true;
        }
    });
    found.ethernet = address && head->ifi_type == ARPHRD_ETHER && (head->ifi_flags & IFF_UP) &&
                     !(head->ifi_flags & (IFF_LOOPBACK | IFF_NOARP | IFF_POINTOPOINT));
    into.links.push_back(found);
    return whole;
}

bool read_address(bytes body, route_dump& into) {
    auto const head = take<ifaddrmsg>(body);
    if (!head) return false;
    std::uint32_t flags = head->ifa_flags;
    std::optional<host> address, local;
    bool const whole = each_attribute(body, [&](int type, bytes value) {
        if (type == IFA_FLAGS) flags = number(value);
        if (!is_address(head->ifa_family, value)) return;
        if (type == IFA_ADDRESS) address = host::from_octets(value);
        if (type == IFA_LOCAL) local = host::from_octets(value); // of a point-to-point link
    });
    if (local) address = local;
    bool const settled =
        !(flags & IFA_F_DADFAILED) && (!(flags & IFA_F_TENTATIVE) || (flags & IFA_F_OPTIMISTIC));
    // IFA_F_SECONDARY means "temporary" in IPv6 (RFC 8981), which is as good as any.
    bool const secondary = head->ifa_family == AF_INET && (flags & IFA_F_SECONDARY);
    if (address && settled)
        into.addresses.push_back({.interface = head->ifa_index,
                                  .own = *address,
                                  .length = head->ifa_prefixlen,
                                  .second_choice = secondary || (flags & IFA_F_DEPRECATED)});
    return whole;
}

bool read_route(bytes body, route_dump& into) {
    auto const head = take<rtmsg>(body);
    if (!head) return false;
    bool const v4 = head->rtm_family == AF_INET;
    route_dump::route found{.length = head->rtm_dst_len};
    found.prefix.family = v4 ? family::v4 : family::v6;
    std::uint32_t in_table = head->rtm_table;
    bool special = head->rtm_type != RTN_UNICAST || head->rtm_src_len != 0 || head->rtm_tos != 0 ||
                   (head->rtm_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN));
    bool whole = each_attribute(body, [&](int type, bytes value) {
        bool const address = is_address(head->rtm_family, value);
        switch (type) {
        case RTA_TABLE: in_table = number(value); break;
        case RTA_OIF: found.interface = number(value); break;
        case RTA_PRIORITY: found.metric = number(value); break;
        case RTA_DST:
            if (address) found.prefix = host::from_octets(value);
            break;
        case RTA_GATEWAY:
            if (address) found.gateway = host::from_octets(value);
            break;
        case RTA_PREFSRC:
            if (address) found.source = host::from_octets(value);
            break;
        case RTA_METRICS:
            special |= !each_attribute(value, [&](int metric, bytes m) {
                if (metric == RTAX_MTU) found.mtu = number(m);
            });
            break;
        case RTA_MULTIPATH: // the kernel chooses
        case RTA_VIA:       // a gateway of the other family
        case RTA_ENCAP: special = true; break;
        default: break;
        }
    });
    found.local = in_table == RT_TABLE_LOCAL;
    found.usable = !special && !found.local && found.interface != 0;
    bool const ours = (head->rtm_family == AF_INET || head->rtm_family == AF_INET6) &&
                      (found.local || in_table == RT_TABLE_MAIN) &&
                      !(head->rtm_flags & RTM_F_CLONED) && found.length <= (v4 ? 32 : 128);
    if (ours) into.routes.push_back(found);
    return whole;
}

// Every network namespace has rules for the tables local, main and default. Any other may send a
// packet elsewhere than those say.
bool read_rule(bytes body, route_dump& into) {
    auto const head = take<fib_rule_hdr>(body);
    if (!head) return false;
    std::uint32_t in_table = head->table;
    bool other = head->action != FR_ACT_TO_TBL || head->dst_len || head->src_len || head->tos;
    bool const whole = each_attribute(body, [&](int type, bytes value) {
        switch (type) {
        case FRA_TABLE: in_table = number(value); break;
        case FRA_FWMARK:
        case FRA_IIFNAME:
        case FRA_OIFNAME:
        case FRA_L3MDEV:
        case FRA_UID_RANGE:
        case FRA_IP_PROTO: other = true; break;
        default: break;
        }
    });
    other |=
        in_table != RT_TABLE_LOCAL && in_table != RT_TABLE_MAIN && in_table != RT_TABLE_DEFAULT;
    if (other) (head->family == AF_INET6 ? into.policy_v6 : into.policy_v4) = true;
    return whole;
}

bool read_message(std::uint16_t type, bytes body, route_dump& into) {
    switch (type) {
    case RTM_NEWLINK: return read_link(body, into);
    case RTM_NEWADDR: return read_address(body, into);
    case RTM_NEWROUTE: return read_route(body, into);
    case RTM_NEWRULE: return read_rule(body, into);
    default: return true;
    }
}

/// A netlink socket for the dumps.
class inquiry {
public:
    inquiry()
        : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)), buffer_(64u << 10) {}
    inquiry(inquiry const&) = delete;
    inquiry& operator=(inquiry const&) = delete;
    ~inquiry() {
        if (fd_ >= 0) ::close(fd_);
    }
    bool is_open() const { return fd_ >= 0; }

    dump_state dump(std::uint16_t what, route_dump& into, time_point until, int& failure) {
        if (!ask(what, failure)) return dump_state::failed;
        for (;;) {
            auto const left =
                std::chrono::duration_cast<std::chrono::microseconds>(until - clock::now());
            timeval wait{.tv_sec = left.count() / 1000000, .tv_usec = left.count() % 1000000};
            if (left.count() <= 0) return failure = ETIMEDOUT, dump_state::failed;
            ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
            auto const got = ::recv(fd_, buffer_.data(), buffer_.size(), MSG_TRUNC);
            if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
            if (got < 0) return failure = errno, dump_state::failed;
            auto const length = static_cast<std::size_t>(got);
            if (length > buffer_.size()) return failure = EMSGSIZE, dump_state::failed;
            auto const state = read_netlink(bytes(buffer_).first(length), into, failure);
            if (state != dump_state::more) return state;
        }
    }

private:
    bool ask(std::uint16_t what, int& failure) const {
        struct {
            nlmsghdr head;
            rtgenmsg body;
        } request{};
        request.head.nlmsg_len = NLMSG_LENGTH(sizeof request.body);
        request.head.nlmsg_type = what;
        request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        request.body.rtgen_family = AF_UNSPEC;
        failure = ::send(fd_, &request, sizeof request, 0) < 0 ? errno : 0;
        return failure == 0;
    }

    int fd_;
    std::vector<std::uint8_t> buffer_;
};

} // namespace

dump_state read_netlink(bytes from, route_dump& into, int& failure) {
    failure = EBADMSG;
    bool interrupted = false;
    while (!from.empty()) {
        if (from.size() < sizeof(nlmsghdr)) return dump_state::failed;
        nlmsghdr head;
        std::memcpy(&head, from.data(), sizeof head);
        if (head.nlmsg_len < sizeof head || head.nlmsg_len > from.size()) return dump_state::failed;
        auto const body = from.subspan(sizeof head, head.nlmsg_len - sizeof head);
        interrupted |= (head.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (head.nlmsg_type == NLMSG_DONE)
            return interrupted ? dump_state::interrupted : dump_state::done;
        if (head.nlmsg_type == NLMSG_ERROR) {
            auto const told = static_cast<int>(number(body));
            if (told < 0) failure = -told;
            return dump_state::failed;
        }
        if (!read_message(head.nlmsg_type, body, into)) return dump_state::failed;
        from = from.subspan(std::min(from.size(), align(head.nlmsg_len)));
    }
    return interrupted ? dump_state::interrupted : dump_state::more;
}

std::shared_ptr<routes const> routes::read(std::error_code& failure) {
    auto const until = clock::now() + std::chrono::seconds(2);
    int why = 0;
    // Routes that come and go while they are told begin the dump anew.
    for (;;) {
        inquiry asking;
        if (!asking.is_open()) {
            why = errno;
            break;
        }
        route_dump dump;
        auto state = dump_state::done;
        for (std::uint16_t what : {RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETRULE})
            if (state == dump_state::done) state = asking.dump(what, dump, until, why);
        if (state == dump_state::done) {
            failure.clear();
            return std::make_shared<routes const>(dump);
        }
        if (state == dump_state::failed) break;
    }
    failure.assign(why, std::system_category());
    return nullptr;
}

} // namespace trawl::icmp::detail
