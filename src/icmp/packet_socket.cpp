#include "icmp/packet_socket.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <unistd.h>

namespace trawl::icmp::detail {
namespace {

// What one frame of this size is charged against the receive buffer (sk_buff included).
constexpr std::size_t charge = 832;

// Everything that is addressed to this station, untagged, of the type the socket is bound to, and
// an answer: the flood of other stations' broadcasts never reaches the receive buffer.
int attach_filter(int fd, family f) {
    auto load = [](std::uint16_t size, std::uint32_t at) {
        return sock_filter(BPF_STMT(static_cast<std::uint16_t>(BPF_LD | BPF_ABS | size), at));
    };
    auto ancillary = [](int what) { return static_cast<std::uint32_t>(SKF_AD_OFF + what); };
    auto unless = [](std::uint32_t value, std::uint8_t skip) {
        return sock_filter(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip));
    };
    auto verdict = [](std::uint32_t length) {
        return sock_filter(BPF_STMT(BPF_RET | BPF_K, length));
    };
    sock_filter arp[] = {
        load(BPF_B, ancillary(SKF_AD_PKTTYPE)),
        unless(PACKET_HOST, 5),
        load(BPF_B, ancillary(SKF_AD_VLAN_TAG_PRESENT)),
        unless(0, 3),
        load(BPF_H, ETH_HLEN + 6), // operation
        unless(2, 1),
        verdict(0xffffffff),
        verdict(0),
    };
    sock_filter advertisement[] = {
        load(BPF_B, ETH_HLEN + 6), // next header; first, as every IPv6 packet comes by here
        unless(58, 7),
        load(BPF_B, ETH_HLEN + 40), // ICMPv6 type
        unless(136, 5),
        load(BPF_B, ancillary(SKF_AD_PKTTYPE)),
        unless(PACKET_HOST, 3),
        load(BPF_B, ancillary(SKF_AD_VLAN_TAG_PRESENT)),
        unless(0, 1),
        verdict(0xffffffff),
        verdict(0),
    };
    sock_fprog const program = f == family::v4
                                   ? sock_fprog{std::size(arp), arp}
                                   : sock_fprog{std::size(advertisement), advertisement};
    return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

int bind_to(int fd, family f) {
    sockaddr_ll every{}; // interface 0: all of them
    every.sll_family = AF_PACKET;
    every.sll_protocol = htons(f == family::v4 ? ETH_P_ARP : ETH_P_IPV6);
    return ::bind(fd, reinterpret_cast<sockaddr const*>(&every), sizeof every);
}

} // namespace

std::uint64_t packet_drops(int fd) noexcept {
    // The kernel fills as much of the structure as there is; reading resets the counters.
    tpacket_stats_v3 counted{};
    socklen_t size = sizeof counted;
    if (::getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &counted, &size) != 0) return 0;
    return counted.tp_drops;
}

std::uint8_t system_hop_limit(family f) noexcept {
    bool const v4 = f == family::v4;
    int limit = 0;
    socklen_t size = sizeof limit;
    int const fd = ::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int const told = v4 ? ::getsockopt(fd, IPPROTO_IP, IP_TTL, &limit, &size)
                        : ::getsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &limit, &size);
    if (fd >= 0) ::close(fd);
    constexpr int usual = 64;
    return static_cast<std::uint8_t>(told == 0 && limit > 0 && limit < 256 ? limit : usual);
}

void enlarge_receive_buffer(int fd, std::size_t wanted) noexcept {
    int const size = static_cast<int>(std::min<std::size_t>(wanted, 1u << 30));
    if (size > 0 && ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

std::unique_ptr<packet_socket> packet_socket::open(family f, std::size_t receive_buffer,
                                                   std::error_code& failure) {
    // Protocol 0 hears nothing until the filter is in place.
    int const fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) enlarge_receive_buffer(fd, receive_buffer);
    if (fd < 0 || attach_filter(fd, f) != 0 || bind_to(fd, f) != 0) {
        failure.assign(errno, std::system_category());
        if (fd >= 0) ::close(fd);
        return nullptr;
    }
    failure.clear();
    return std::unique_ptr<packet_socket>(new packet_socket(fd, f));
}

packet_socket::packet_socket(int fd, detail::family f) : fd_(fd), family_(f) {
    for (std::size_t i = 0; i < batch; ++i) {
        in_parts_[i] = {in_frames_[i].data(), in_frames_[i].size()};
        in_[i].msg_hdr = {&in_from_[i], sizeof in_from_[i], &in_parts_[i], 1, nullptr, 0, 0};
    }
}

packet_socket::~packet_socket() { ::close(fd_); }

std::size_t packet_socket::transmit(std::uint32_t interface, std::span<bytes const> frames,
                                    int& failure) {
    auto const count = std::min(frames.size(), batch);
    // Each frame names its protocol: drivers and queues look at it.
    std::array<sockaddr_ll, batch> to;
    for (std::size_t i = 0; i < count; ++i) {
        assert(frames[i].size() >= ETH_HLEN);
        to[i] = {};
        to[i].sll_family = AF_PACKET;
        to[i].sll_ifindex = static_cast<int>(interface);
        std::memcpy(&to[i].sll_protocol, &frames[i][12], sizeof to[i].sll_protocol);
        // The kernel does not write through an iovec that it sends from.
        out_parts_[i] = {const_cast<std::uint8_t*>(frames[i].data()), frames[i].size()};
        out_[i].msg_hdr = {&to[i], sizeof to[i], &out_parts_[i], 1, nullptr, 0, 0};
    }
    int taken;
    do taken = ::sendmmsg(fd_, out_.data(), static_cast<unsigned>(count), 0);
    while (taken < 0 && errno == EINTR);
    if (taken < 0) failure = errno;
    return taken < 0 ? 0 : static_cast<std::size_t>(taken);
}

std::span<packet_socket::heard const> packet_socket::receive(bool& more) {
    for (auto& m : in_) m.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
    int const count = ::recvmmsg(fd_, in_.data(), batch, MSG_DONTWAIT, nullptr);
    // A pending error (an interface went down) fails the call once.
    more =
        count == static_cast<int>(batch) || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
    std::size_t understood = 0;
    for (std::size_t i = 0; count > 0 && i < static_cast<std::size_t>(count); ++i) {
        auto const frame = bytes(in_frames_[i]);
        auto const said =
            parse_neighbour(frame.first(std::min<std::size_t>(in_[i].msg_len, frame.size())));
        if (!said || !said->answer || said->about.family != family_) continue;
        sockaddr_ll from;
        std::memcpy(&from, &in_from_[i], sizeof from);
        heard_[understood++] = {.what = *said,
                                .interface = static_cast<std::uint32_t>(from.sll_ifindex)};
    }
    return std::span(heard_).first(understood);
}

std::uint64_t packet_socket::drops() { return drops_ += packet_drops(fd_); }

std::size_t packet_socket::capacity() const {
    int granted = 0;
    socklen_t size = sizeof granted;
    if (::getsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &granted, &size) != 0) return 1;
    return std::max<std::size_t>(1, static_cast<std::size_t>(granted) / charge);
}

} // namespace trawl::icmp::detail
