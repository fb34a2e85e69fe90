#pragma once

#include "icmp/channel.hpp"
#include "icmp/mapped_ring.hpp"
#include "icmp/packet_path.hpp"
#include "icmp/route_monitor.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>
#include <vector>

namespace trawl::icmp::detail {

/// A channel that passes by the kernel's IP layer on both ways: 0.78 to 0.89 times the CPU of a raw socket, measured over veth.
/// It also passes by its packet filter (nftables), queueing discipline and neighbour table. Opt-in.
///
/// Targets that are not reached by an Ethernet interface (loopback, tunnels), and those whose way
/// only the kernel can tell, are sent by the channel below; their replies come here all the same.
class packet_ring_channel final : public channel {
public:
    /// Opens the rings (CAP_NET_RAW) for echoes of identifier `id`. From then on the sockets of
    /// `below`, which must be raw ones, receive nothing. Echoes must fit into the MTU of their way: the others fail with
    /// EMSGSIZE, as there is nobody to put fragments together. Null with `failure`, and `below` is
    /// as before.
    static std::unique_ptr<packet_ring_channel> open(family, std::uint16_t id,
                                                     std::unique_ptr<channel>& below,
                                                     std::shared_ptr<route_monitor> by,
                                                     packet_options how, std::error_code& failure);

    std::size_t send(std::span<parcel const> parcels, int& failure) override;
    std::span<arrived const> receive(bool& more) override { return in_->receive(more); }
    std::span<departed const> departures() override;
    time_point next_wake() const override;
    std::uint64_t drops() override { return in_->drops() + path_.drops(); }
    std::size_t capacity() const override { return in_->capacity(); }
    std::span<int const> descriptors() const override { return descriptors_; }

private:
    struct parts {
        std::unique_ptr<packet_socket> questions;
        std::unique_ptr<send_ring> out;
        std::unique_ptr<receive_ring> in;
    };
    packet_ring_channel(std::unique_ptr<channel> below, std::shared_ptr<route_monitor> by, parts,
                        packet_options how);

    std::unique_ptr<channel> below_;
    std::unique_ptr<packet_socket> questions_;
    std::unique_ptr<send_ring> out_;
    std::unique_ptr<receive_ring> in_;
    packet_path path_;
    std::vector<departed> departed_;
    std::vector<int> descriptors_;
};

} // namespace trawl::icmp::detail
