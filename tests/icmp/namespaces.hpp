#pragma once

#include "test.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <sched.h>
#include <string>
#include <unistd.h>
#include <utility>

namespace trawl::test {

/// Puts this thread into a network namespace of its own, which has a loopback and nothing else,
/// until it is destroyed. Skips the case where that is not permitted.
class network_namespace {
public:
    network_namespace() : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
        if (before_ < 0 || ::unshare(CLONE_NEWNET) != 0) skip("may not make a network namespace");
        sh("ip link set lo up");
    }
    network_namespace(network_namespace const&) = delete;
    network_namespace& operator=(network_namespace const&) = delete;
    ~network_namespace() {
        if (::setns(before_, CLONE_NEWNET) != 0) std::abort(); // the next cases would run in here
        ::close(before_);
    }

    static void sh(std::string const& command) {
        INFO(command);
        REQUIRE(std::system((command + " >/dev/null 2>&1").c_str()) == 0);
    }

private:
    int before_;
};

/// A second namespace behind a veth pair: `near` is here and `far` there.
class veth_network : public network_namespace {
public:
    /// near has the addresses V4.1/LENGTH and V6::1/64, far those that end in 2.
    veth_network(std::string v4, std::string length, std::string v6)
        : name_("trawl-test-" + std::to_string(::getpid())), v4_(std::move(v4)),
          length_(std::move(length)), v6_(std::move(v6)) {
        if (std::system(("ip netns add " + name_ + " >/dev/null 2>&1").c_str()) != 0)
            skip("may not add a named network namespace");
        if (std::system((inside() + "true >/dev/null 2>&1").c_str()) != 0) { // no /sys to mount on
            remove();
            skip("may not run anything in a named network namespace");
        }
        sh(inside() + "ip link set lo up");
        connect();
    }
    ~veth_network() { remove(); }

    /// Makes the pair, also in the place of one that was deleted.
    void connect() const {
        sh("ip link add near type veth peer name far address 02:00:00:00:66:02 netns " + name_);
        for (auto const& in : {std::string(), inside()}) {
            std::string const side = in.empty() ? "near" : "far", last = in.empty() ? "1" : "2";
            sh(in + "ip addr add " + v4_ + "." + last + "/" + length_ + " dev " + side);
            sh(in + "ip addr add " + v6_ + "::" + last + "/64 dev " + side + " nodad");
            sh(in + "sysctl net.ipv6.conf." + side + ".accept_dad=0"); // takes a second or two
            sh(in + "ip link set " + side + " up");
        }
        // The kernel looks at a link that came up once a second at most, and only then gives it a
        // link-local address.
        for (auto const& show : {std::string("ip -6 -o addr show dev near scope link"),
                                 inside() + "ip -6 -o addr show dev far scope link"})
            sh("for i in $(seq 500); do " + show +
               " | grep -q fe80 && exit 0; sleep 0.01; done; exit 1");
    }

    /// The kernel there answers ARP and echoes for all addresses of the prefix.
    void answer_for(std::string const& prefix) const {
        sh(inside() + "ip route add local " + prefix + " dev lo");
    }

    std::string inside() const { return "ip netns exec " + name_ + " "; }
    std::string const& name() const noexcept { return name_; }

private:
    void remove() const {
        (void)!std::system(("ip netns del " + name_ + " >/dev/null 2>&1").c_str());
    }

    std::string name_, v4_, length_, v6_;
};

/// The second namespace is the gateway to everything: 10.99.0.2 and fd00:99::2. It answers for the
/// addresses that answer_for() names, says "unreachable" for 10.78.0.0/16 and fd00:78::/32, and is
/// silent for the rest.
class far_network : public veth_network {
public:
    far_network() : veth_network("10.99.0", "24", "fd00:99") {
        sh("ip route add default via 10.99.0.2 && ip route add default via fd00:99::2");
        sh(inside() +
           "sysctl net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratelimit=0 net.ipv4.ip_forward=1 "
           "net.ipv4.icmp_msgs_per_sec=1000000 net.ipv4.icmp_msgs_burst=1000000 "
           "net.ipv6.conf.all.forwarding=1 net.ipv6.conf.far.forwarding=1");
        sh(inside() + "ip route add unreachable 10.78.0.0/16");
        sh(inside() + "ip route add unreachable fd00:78::/32");
        sh(inside() + "ip route add blackhole default");
        sh(inside() + "ip -6 route add blackhole default");
    }
};

} // namespace trawl::test
