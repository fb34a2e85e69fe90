#pragma once

#include "icmp/channel.hpp"
#include "icmp/packet_path.hpp"
#include "icmp/route_monitor.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <system_error>
#include <unordered_map>
#include <vector>

namespace trawl::icmp::detail {

/// A channel that asks for the addresses of on-link hosts by itself.
///
/// The kernel's neighbour table has room for 1,024 (gc_thresh3) and keeps each silent address for
/// 3 s: a sweep of a larger prefix finds it full, loses answers without an error, and crawls. The
/// first targets of a link go through the kernel all the same: it does everything that a user of a
/// few addresses expects (packet filters, static entries, its own cache). All others, and those of
/// the first that stay silent and are tried again (a full table tells a raw socket nothing), are
/// asked by ARP or neighbour solicitation and sent an Ethernet frame. Replies, and whatever is not on an
/// Ethernet link, are the business of the channel below.
class neighbour_channel final : public channel {
public:
    struct options {
        packet_options packets = {};
        std::size_t few = 256; ///< distinct targets that the kernel may have in its table
    };

    /// Opens the packet socket (CAP_NET_RAW) for the family of `below`, a channel over a raw
    /// socket: the kernel brings the replies to it, but to a datagram one only those to its own
    /// identifier. Null with `failure`, and `below` is as before.
    static std::unique_ptr<neighbour_channel> open(family, std::unique_ptr<channel>& below,
                                                   std::shared_ptr<route_monitor> by, options how,
                                                   std::error_code& failure);

    std::size_t send(std::span<parcel const> parcels, int& failure) override;
    std::span<arrived const> receive(bool& more) override;
    std::span<departed const> departures() override;
    time_point next_wake() const override;
    std::uint64_t drops() override { return below_->drops() + path_.drops(); }
    std::size_t capacity() const override;
    std::span<int const> descriptors() const override { return descriptors_; }

private:
    neighbour_channel(std::unique_ptr<channel> below, std::shared_ptr<route_monitor> by,
                      std::unique_ptr<packet_socket> questions, options how);

    struct hash {
        std::size_t operator()(host const& h) const noexcept;
    };
    enum class told : std::uint8_t { nothing, asked, answered };
    way const* link_of(host const& target) const noexcept;
    way const* frames_go_by(host const& target);
    std::size_t send_below(std::span<parcel const>, int& failure);

    std::unique_ptr<channel> below_;
    std::unique_ptr<packet_socket> questions_;
    packet_path path_;
    std::size_t few_;
    std::unordered_map<host, told, hash> kernels_; // at most few_
    std::size_t unanswered_ = 0;                   // of them
    std::vector<departed> departed_;
    std::vector<int> descriptors_;
};

} // namespace trawl::icmp::detail
