#pragma once

#include "icmp/frame.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <vector>

namespace trawl::icmp::detail {

/// How packets to some prefix leave this machine.
struct way {
    std::uint32_t interface = 0;
    bool on_link = false;  ///< the target itself is the next hop
    host gateway = {};     ///< the next hop otherwise
    host source = {};      ///< our address
    mac link = {};         ///< that of the interface
    std::uint32_t mtu = 0; ///< bytes of an IP packet
    bool ethernet = false; ///< next hops are found by ARP or neighbour discovery

    host const& next_hop(host const& target) const noexcept { return on_link ? target : gateway; }

    friend bool operator==(way const&, way const&) noexcept = default;
};

/// What rtnetlink(7) tells of this network namespace, as far as routes need it.
struct route_dump {
    struct link {
        std::uint32_t interface = 0, mtu = 0;
        mac address = {};
        bool ethernet = false;
    };
    struct address {
        std::uint32_t interface = 0;
        host own = {};
        std::uint8_t length = 0;    ///< of its prefix
        bool second_choice = false; ///< secondary or deprecated
    };
    struct route {
        host prefix = {};
        std::uint8_t length = 0;
        bool local = false;  ///< from the table of our own addresses, which is asked first
        bool usable = false; ///< unicast by one interface; not so: leave the packet to the kernel
        std::uint32_t interface = 0, metric = 0, mtu = 0;
        std::optional<host> gateway = {}, source = {};
    };
    std::vector<link> links;
    std::vector<address> addresses;
    std::vector<route> routes;
    bool policy_v4 = false, policy_v6 = false; ///< there are rules that these tables cannot tell
};

enum class dump_state : std::uint8_t { more, done, interrupted, failed };

/// Reads one datagram of an answer to RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE or RTM_GETRULE.
/// interrupted: the tables changed meanwhile, ask again from the beginning. failed: with the errno
/// told by the kernel, or EBADMSG.
dump_state read_netlink(bytes datagram, route_dump& into, int& failure);

/// A snapshot of the main routing table. A look-up costs a comparison for neighbouring addresses
/// and a binary search otherwise.
class routes {
public:
    explicit routes(route_dump const&);

    /// Asks the kernel (a few milliseconds; 2 s at most). Null with `failure`.
    static std::shared_ptr<routes const> read(std::error_code& failure);

    /// The way to `target` by longest prefix; it lives as long as this object. Null when only the
    /// kernel can tell: no route, an address of our own, multicast, broadcast, several gateways,
    /// policy rules, a tunnel.
    way const* lookup(host const& target) const noexcept;

    friend bool operator==(routes const&, routes const&) = default;

private:
    using key = std::array<std::uint8_t, 16>;
    struct prefix {
        key first, last;
        std::uint32_t metric, target;
    };
    /// Disjoint pieces of the address space: each reaches up to the next.
    struct piece {
        key first;
        std::uint32_t target;
        friend bool operator==(piece const&, piece const&) = default;
    };
    struct table {
        std::vector<piece> pieces;
        mutable std::size_t last = 0;
        std::uint32_t find(key const&) const noexcept;
        friend bool operator==(table const& a, table const& b) { return a.pieces == b.pieces; }
    };
    static constexpr std::uint32_t none = 0xffffffff, kernel = 0xfffffffe;

    static table flatten(std::vector<prefix>);
    std::uint32_t add_way(route_dump const&, route_dump::route const&);
    void add_links(route_dump const&);

    std::vector<way> ways_;
    std::vector<std::uint32_t> link_local_; // one for each link, by `interface`
    table local_v4_, main_v4_, local_v6_, main_v6_;
};

} // namespace trawl::icmp::detail
