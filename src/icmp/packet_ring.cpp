#include "icmp/packet_ring.hpp"

#include <algorithm>
#include <cerrno>
#include <iterator>

#include <linux/filter.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace trawl::icmp::detail {
namespace {

// The filter by types comes before the packet is copied for the socket; datagram sockets have none.
int refuse_everything(int fd, family f) {
    if (f == family::v4) {
        icmp_filter const blocked{~0u};
        ::setsockopt(fd, SOL_RAW, ICMP_FILTER, &blocked, sizeof blocked);
    } else {
        icmp6_filter blocked;
        ICMP6_FILTER_SETBLOCKALL(&blocked);
        ::setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &blocked, sizeof blocked);
    }
    sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    sock_fprog const program{std::size(nothing), nothing};
    return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

} // namespace

std::unique_ptr<packet_ring_channel> packet_ring_channel::open(family f, std::uint16_t id,
                                                               std::unique_ptr<channel>& below,
                                                               std::shared_ptr<route_monitor> by,
                                                               packet_options how,
                                                               std::error_code& failure) {
    if (how.shape.hop_limit == 0) how.shape.hop_limit = system_hop_limit(f);
    parts made;
    made.questions = packet_socket::open(f, how.receive_buffer, failure);
    if (made.questions)
        made.out = send_ring::open(std::max(neighbour_frame, how.shape.frame_size(f)), failure);
    if (made.out) made.in = receive_ring::open(f, id, how.receive_buffer, failure);
    if (!made.in) return nullptr;
    for (int const fd : below->descriptors())
        if (refuse_everything(fd, f) != 0) {
            failure.assign(errno, std::system_category());
            return nullptr;
        }
    return std::unique_ptr<packet_ring_channel>(
        new packet_ring_channel(std::move(below), std::move(by), std::move(made), std::move(how)));
}

packet_ring_channel::packet_ring_channel(std::unique_ptr<channel> below,
                                         std::shared_ptr<route_monitor> by, parts made,
                                         packet_options how)
    : below_(std::move(below)), questions_(std::move(made.questions)), out_(std::move(made.out)),
      in_(std::move(made.in)), path_(std::move(how), std::move(by), *questions_, *out_),
      descriptors_{in_->descriptor(), questions_->descriptor()} {}

std::size_t packet_ring_channel::send(std::span<parcel const> parcels, int& failure) {
    path_.follow(clock::now());
    std::size_t done = 0;
    while (done < parcels.size()) {
        auto const rest = parcels.subspan(done);
        auto const* by = path_.way_to(rest[0].target);
        std::size_t run = 1;
        while (run < rest.size() && path_.way_to(rest[run].target) == by) ++run;
        std::size_t taken = 0;
        if (!by)
            taken = below_->send(rest.first(run), failure);
        else if (path_.fits(*by))
            taken = path_.send(rest.first(run), *by, failure);
        else
            failure = EMSGSIZE;
        done += taken;
        if (taken < run) break;
    }
    return done;
}

std::span<channel::departed const> packet_ring_channel::departures() {
    auto const own = below_->departures();
    departed_.assign(own.begin(), own.end());
    path_.turn(clock::now());
    std::ranges::copy(path_.departures(), std::back_inserter(departed_));
    return departed_;
}

time_point packet_ring_channel::next_wake() const {
    return std::min(below_->next_wake(), path_.next_wake());
}

} // namespace trawl::icmp::detail
