#pragma once

#include "icmp/frame.hpp"

#include <trawl/async.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>

#include <sys/socket.h>

namespace trawl::icmp::detail {

/// Where whole Ethernet frames leave.
class frame_output {
public:
    virtual ~frame_output() = default;

    /// Hands frames of up to channel::batch to the interface, in order; how many it took. None:
    /// `failure` is the errno for the first.
    virtual std::size_t transmit(std::uint32_t interface, std::span<bytes const> frames,
                                 int& failure) = 0;
};

/// A packet socket (packet(7)) on every interface of the network namespace: it sends any frame and
/// hears the answers of neighbours to our questions, ARP or neighbour advertisements. It holds
/// nothing in the kernel's neighbour table and passes by its packet filter (nftables).
class packet_socket final : public frame_output {
public:
    /// Needs CAP_NET_RAW. Null with `failure`.
    static std::unique_ptr<packet_socket> open(family, std::size_t receive_buffer,
                                               std::error_code& failure);
    ~packet_socket() override;
    packet_socket(packet_socket const&) = delete;
    packet_socket& operator=(packet_socket const&) = delete;

    std::size_t transmit(std::uint32_t interface, std::span<bytes const> frames,
                         int& failure) override;

    struct heard {
        neighbour_message what = {};
        std::uint32_t interface = 0;
    };
    /// At most one batch, valid until the next call; `more`: ask again.
    std::span<heard const> receive(bool& more);

    /// Answers lost so far because the receive buffer was full.
    std::uint64_t drops();
    /// Answers that the receive buffer holds.
    std::size_t capacity() const;
    int descriptor() const noexcept { return fd_; }

private:
    packet_socket(int fd, detail::family f);

    static constexpr std::size_t batch = 64;
    using frame_space = std::array<std::uint8_t, 256>;
    int fd_;
    detail::family family_;
    std::uint64_t drops_ = 0;
    std::array<mmsghdr, batch> out_{}, in_{};
    std::array<iovec, batch> out_parts_{}, in_parts_{};
    std::array<sockaddr_storage, batch> in_from_{};
    std::array<frame_space, batch> in_frames_{};
    std::array<heard, batch> heard_{};
};

/// What PACKET_STATISTICS counts as dropped since the last call.
std::uint64_t packet_drops(int fd) noexcept;

/// Of packets that name none (net.ipv4.ip_default_ttl, net.ipv6.conf.*.hop_limit).
std::uint8_t system_hop_limit(family) noexcept;

/// SO_RCVBUFFORCE, which passes over net.core.rmem_max and needs CAP_NET_ADMIN, or as much as that
/// permits. 0: the kernel's default.
void enlarge_receive_buffer(int fd, std::size_t wanted) noexcept;

} // namespace trawl::icmp::detail
