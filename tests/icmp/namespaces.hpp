#pragma once

#include "test.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <sched.h>
#include <string>
#include <unistd.h>

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

/// A second namespace behind a veth pair, the gateway to everything: 10.99.0.2 and fd00:99::2. It
/// answers for the addresses that answer_for() names, says "unreachable" for 10.78.0.0/16 and
/// fd00:78::/32, and is silent for the rest.
class far_network : public network_namespace {
public:
    far_network() : name_("trawl-test-" + std::to_string(::getpid())) {
        if (std::system(("ip netns add " + name_ + " >/dev/null 2>&1").c_str()) != 0)
            skip("may not add a named network namespace");
        if (std::system((inside() + "true >/dev/null 2>&1").c_str()) != 0) { // no /sys to mount on
            remove();
            skip("may not run anything in a named network namespace");
        }
        sh("ip link add near type veth peer name far netns " + name_);
        for (auto const& in : {std::string(), inside()}) {
            auto const side = in.empty() ? "near" : "far";
            auto const last = in.empty() ? "1" : "2";
            sh(in + "ip addr add 10.99.0." + last + "/24 dev " + side);
            sh(in + "ip addr add fd00:99::" + last + "/64 dev " + side + " nodad");
            sh(in + "ip link set lo up");
            sh(in + "ip link set " + side + " up");
        }
        sh("ip route add default via 10.99.0.2 && ip route add default via fd00:99::2");
        sh(inside() +
           "sysctl net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 net.ipv4.ip_forward=1 "
           "net.ipv4.icmp_msgs_per_sec=1000000 net.ipv4.icmp_msgs_burst=1000000 "
           "net.ipv6.conf.all.forwarding=1 net.ipv6.conf.far.forwarding=1");
        sh(inside() + "ip route add unreachable 10.78.0.0/16");
        sh(inside() + "ip route add unreachable fd00:78::/32");
        sh(inside() + "ip route add blackhole default");
        sh(inside() + "ip -6 route add blackhole default");
    }
    ~far_network() { remove(); }

    void answer_for(std::string const& prefix) {
        sh(inside() + "ip route add local " + prefix + " dev lo");
    }

private:
    void remove() const {
        (void)!std::system(("ip netns del " + name_ + " >/dev/null 2>&1").c_str());
    }
    std::string inside() const { return "ip netns exec " + name_ + " "; }
    std::string name_;
};

} // namespace trawl::test
