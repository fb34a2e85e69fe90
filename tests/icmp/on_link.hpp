#pragma once

#include "icmp/frame.hpp"
#include "icmp/namespaces.hpp"

#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <thread>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

namespace trawl::test {

/// The second namespace is no gateway but a link full of hosts: near has 10.64.0.1/14 and
/// fd00:66::1/64. The hosts of the IPv4 prefixes that answer_for() names answer ARP and echoes; so do
/// those of fd00:66::1:0/112 that live_v6() names.
class on_link_network : public veth_network {
public:
    on_link_network() : veth_network("10.64.0", "14", "fd00:66") {}
    on_link_network(on_link_network const&) = delete;
    on_link_network& operator=(on_link_network const&) = delete;
    ~on_link_network() {
        stop_ = true;
        if (answering_.joinable()) answering_.join();
    }

    /// The kernel answers solicitations only for addresses of an interface: a thread does it here.
    void live_v6(std::function<bool(icmp::detail::host const&)> alive) {
        answer_for("fd00:66::1:0/112");
        // All hosts are one here: it has to know near before it can answer as many of them.
        sh(inside() + "ping -c 1 -w 5 fd00:66::1");
        int const fd = listen();
        answering_ = std::thread([this, fd, alive] { answer(fd, alive); });
    }

private:
    // A socket stays in the namespace in which it was made.
    int listen() const {
        int const here = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        int const there = ::open(("/var/run/netns/" + name()).c_str(), O_RDONLY | O_CLOEXEC);
        REQUIRE((here >= 0 && there >= 0 && ::setns(there, CLONE_NEWNET) == 0));
        int const fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IPV6));
        sockaddr_ll to{};
        to.sll_family = AF_PACKET, to.sll_protocol = htons(ETH_P_IPV6);
        to.sll_ifindex = static_cast<int>(::if_nametoindex("far"));
        int const size = 64 << 20;
        bool const ready = ::bind(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0 &&
                           ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) == 0;
        if (::setns(here, CLONE_NEWNET) != 0) std::abort();
        ::close(here), ::close(there);
        REQUIRE(ready);
        return fd;
    }

    void answer(int fd, std::function<bool(icmp::detail::host const&)> const& alive) const {
        using namespace icmp::detail;
        mac const own{2, 0, 0, 0, 0x66, 2};
        std::array<std::uint8_t, 2048> in;
        std::array<std::uint8_t, neighbour_frame> out;
        while (!stop_) {
            pollfd wait{fd, POLLIN, 0};
            if (::poll(&wait, 1, 20) <= 0) continue;
            auto const length = ::recv(fd, in.data(), in.size(), MSG_DONTWAIT);
            if (length < 0) continue;
            auto const asked = parse_neighbour(bytes(in).first(static_cast<std::size_t>(length)));
            if (!asked || asked->answer || !alive(asked->about)) continue;
            auto const size = write_answer(own, *asked, out);
            (void)!::send(fd, out.data(), size, 0);
        }
        ::close(fd);
    }

    std::atomic<bool> stop_ = false;
    std::thread answering_;
};

} // namespace trawl::test
