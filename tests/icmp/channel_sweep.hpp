#pragma once

#include "icmp/channel.hpp"
#include "icmp/socket.hpp"
#include "test.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <poll.h>

namespace trawl::test {

/// Sends one echo to each of `targets` through a channel as an engine does, with nothing else of
/// one: reads after every batch, puts off what finds no buffer.
class channel_sweep {
public:
    channel_sweep(icmp::detail::channel& by, std::uint16_t id) : by_(by), id_(id) {}

    std::size_t answered = 0, refused = 0, deferred = 0, strange = 0;
    std::size_t departed = 0; ///< told by departures()
    int last_refusal = 0;
    duration took{}; ///< to the last answer
    duration sending{};
    std::vector<bool> up;
    std::vector<duration> rtt; ///< of those that are up

    /// Until all have answered, or `timeout` after the last sending.
    void run(std::vector<icmp::detail::host> const& targets, duration timeout) {
        using namespace icmp::detail;
        targets_ = &targets;
        up.assign(targets.size(), false);
        rtt.assign(targets.size(), {});
        left_.assign(targets.size(), time_point{});
        began_ = clock::now();
        std::deque<std::uint32_t> waiting;
        for (std::uint32_t i = 0; i < targets.size(); ++i) waiting.push_back(i);
        std::vector<parcel> out;
        time_point pause{};
        while (!waiting.empty() || clock::now() < last_sent_ + timeout) {
            out.clear();
            for (std::size_t i = 0; clock::now() >= pause && i < 32 && i < waiting.size(); ++i)
                out.push_back(echo(waiting[i]));
            if (!out.empty() && !send(out, waiting))
                pause = clock::now() + std::chrono::milliseconds(1);
            read();
            if (answered == targets.size()) break;
            if (out.empty()) rest();
        }
    }

private:
    icmp::detail::parcel echo(std::uint32_t index) const {
        auto const& to = (*targets_)[index];
        icmp::detail::parcel p{.number = index, .target = to};
        p.bytes = icmp::detail::write_echo(to.family, id_, static_cast<std::uint16_t>(index),
                                           {.cookie = index * 977u, .number = index});
        return p;
    }

    // False when there were no buffers.
    bool send(std::vector<icmp::detail::parcel> const& out, std::deque<std::uint32_t>& waiting) {
        int failure = 0;
        auto const now = clock::now();
        auto const taken = by_.send(out, failure);
        last_sent_ = clock::now();
        sending = last_sent_ - began_;
        for (std::size_t i = 0; i < taken; ++i) {
            left_[waiting.front()] = now;
            waiting.pop_front();
        }
        if (taken > 0 || failure == 0) return true;
        if (failure == ENOBUFS || failure == EAGAIN) {
            ++deferred;
            waiting.push_back(waiting.front());
            waiting.pop_front();
            return false;
        }
        ++refused, last_refusal = failure;
        waiting.pop_front();
        return true;
    }

    void read() {
        for (auto const& d : by_.departures()) {
            ++departed;
            left_.at(d.number) = d.when;
            last_sent_ = std::max(last_sent_, d.when);
        }
        for (bool more = true; more;)
            for (auto const& a : by_.receive(more)) take(a);
    }

    void take(icmp::detail::channel::arrived const& a) {
        auto const number = a.what.proof ? a.what.proof->number : ~std::uint64_t{0};
        if (a.what.kind != icmp::detail::kind::reply || number >= up.size() ||
            a.what.proof->cookie != number * 977u || !(a.from == (*targets_)[number])) {
            ++strange;
            return;
        }
        if (up[number]) return;
        up[number] = true;
        rtt[number] = a.when - left_[number];
        ++answered;
        took = clock::now() - began_;
    }

    void rest() const {
        std::vector<pollfd> wait;
        for (int const fd : by_.descriptors()) wait.push_back({fd, POLLIN, 0});
        auto const until = std::min(by_.next_wake(), clock::now() + std::chrono::milliseconds(5));
        auto const left = std::max(until - clock::now(), duration::zero());
        timespec const limit{.tv_sec = 0, .tv_nsec = static_cast<long>(left.count())};
        ::ppoll(wait.data(), wait.size(), &limit, nullptr);
    }

    icmp::detail::channel& by_;
    std::uint16_t id_;
    std::vector<icmp::detail::host> const* targets_ = nullptr;
    std::vector<time_point> left_;
    time_point began_{}, last_sent_{};
};

/// A raw socket's channel. Skips the case where that is not permitted.
inline std::unique_ptr<icmp::detail::channel> raw_channel(icmp::detail::family f,
                                                          std::uint16_t id) {
    std::error_code failure;
    auto raw = icmp::detail::socket_channel::open({f, icmp::socket_kind::raw, id, {}}, {}, failure);
    if (!raw) skip("needs CAP_NET_RAW");
    return raw;
}

/// `count` addresses from `first` on.
inline std::vector<icmp::detail::host> row(std::string const& first, std::uint32_t count) {
    using icmp::detail::host;
    std::vector<host> all;
    host next(asio::ip::make_address(first));
    std::size_t const size = next.family == icmp::detail::family::v4 ? 4 : 16;
    for (; count > 0; --count) {
        all.push_back(next);
        for (std::size_t i = size; i-- > 0 && ++next.octets[i] == 0;) {
        }
    }
    return all;
}

} // namespace trawl::test
