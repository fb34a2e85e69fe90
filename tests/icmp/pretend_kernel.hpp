#pragma once

#include "icmp/driver.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace trawl::test {

using namespace icmp::detail;
using namespace std::chrono_literals;

inline host address(char const* text) { return host(asio::ip::make_address(text)); }

inline host nth(std::uint32_t n) { return host(asio::ip::make_address_v4(0x0a000000u + n)); }

inline void put_checksum(std::vector<std::uint8_t>& icmp) {
    icmp[2] = icmp[3] = 0;
    auto const sum = checksum(icmp);
    icmp[2] = static_cast<std::uint8_t>(sum >> 8);
    icmp[3] = static_cast<std::uint8_t>(sum & 0xff);
}

/// The reply that a host makes of a request (RFC 792: the type and the checksum change).
inline std::vector<std::uint8_t> reply_to(bytes request) {
    std::vector<std::uint8_t> reply(request.begin(), request.end());
    reply[0] = request[0] == 8 ? 0 : 129;
    if (request[0] == 8) put_checksum(reply);
    return reply;
}

/// An ICMP error about `request` to `destination`, quoting `quoted` bytes of it.
inline std::vector<std::uint8_t> error_about(bytes request, host const& destination,
                                             std::uint8_t type, std::uint8_t code,
                                             std::size_t quoted = echo_size,
                                             std::size_t options = 0) {
    std::vector<std::uint8_t> error{type, code, 0, 0, 0, 0, 0, 0};
    std::vector<std::uint8_t> header;
    if (destination.family == family::v4) {
        header.assign(20 + options, 0);
        header[0] = static_cast<std::uint8_t>(0x40 + header.size() / 4);
        header[3] = static_cast<std::uint8_t>(header.size() + request.size());
        header[8] = 1, header[9] = 1;
        std::copy_n(destination.octets.begin(), 4, header.begin() + 16);
    } else {
        header.assign(40, 0);
        header[0] = 0x60, header[5] = static_cast<std::uint8_t>(request.size()), header[6] = 58,
        header[7] = 1;
        std::copy_n(destination.octets.begin(), 16, header.begin() + 24);
    }
    error.insert(error.end(), header.begin(), header.end());
    error.insert(error.end(), request.begin(),
                 request.begin() + static_cast<std::ptrdiff_t>(quoted));
    if (destination.family == family::v4) put_checksum(error);
    return error;
}

/// A network and a kernel that exist only in memory, with a clock of their own. Equal seeds give
/// equal runs.
class pretend_kernel : public channel {
public:
    struct settings {
        std::uint32_t seed = 1;
        double loss = 0, duplicates = 0;  ///< share of the replies
        duration rtt = 1ms, jitter = 0ns; ///< jitter beyond the spacing of the sends reorders
        std::size_t room = 100000;        ///< replies that the receive buffer holds
        std::function<bool(host const&)> alive = [](host const&) { return true; };
        std::function<int(host const&)> refuse = [](host const&) {
            return 0;
        }; ///< errno, 0: take it
        std::function<bool(host const&)> unreachable = [](host const&) { return false; };
    };

    explicit pretend_kernel(settings s) : how(std::move(s)), chance_(how.seed) { now_ = start; }

    static time_point now() { return now_; }
    static void advance(time_point to) { now_ = std::max(now_, to); }

    std::size_t send(std::span<parcel const> parcels, int& failure) override {
        ++calls;
        last_send = now_;
        std::size_t taken = 0;
        for (auto const& p : parcels) {
            if (int const refusal = how.refuse(p.target)) {
                if (taken == 0) failure = refusal;
                break;
            }
            ++taken;
            sent.push_back(p);
            answer(p);
        }
        most_unanswered = std::max(most_unanswered, on_the_way_.size() + buffer_.size());
        return taken;
    }

    std::span<arrived const> receive(bool& more) override {
        arrive();
        batch_.clear();
        while (!buffer_.empty() && batch_.size() < batch) {
            batch_.push_back(buffer_.front());
            buffer_.pop_front();
        }
        more = !buffer_.empty();
        return batch_;
    }

    std::uint64_t drops() override { return arrive(), drops_; }
    std::size_t capacity() const override { return how.room; }

    /// Puts a packet on its way.
    void deliver(duration delay, host const& from, bytes icmp) {
        on_the_way_.emplace(now_ + delay, arrived{.from = from,
                                                  .what = parse(from.family, icmp),
                                                  .hops_left = std::uint8_t{64},
                                                  .when = now_ + delay});
    }
    time_point next_arrival() const {
        return on_the_way_.empty() ? time_point::max() : on_the_way_.begin()->first;
    }

    settings how;
    std::size_t head_size = echo_size; ///< bytes of a parcel that go out
    std::vector<parcel> sent;
    std::size_t calls = 0, most_unanswered = 0;
    time_point last_send{};

    static constexpr time_point start{1000s};

private:
    bool happens(double share) { return std::uniform_real_distribution<>(0, 1)(chance_) < share; }

    void answer(parcel const& p) {
        if (how.unreachable(p.target)) {
            auto router = p.target;
            router.octets[3] = 254;
            deliver(how.rtt, router,
                    error_about(p.bytes, p.target, p.target.family == family::v4 ? 3 : 1, 1));
            return;
        }
        if (!how.alive(p.target) || happens(how.loss)) return;
        auto const late = how.jitter.count() > 0
                              ? duration(std::uniform_int_distribution<duration::rep>(
                                    0, how.jitter.count())(chance_))
                              : 0ns;
        auto const reply = reply_to(bytes(p.bytes).first(head_size));
        deliver(how.rtt + late, p.target, reply);
        if (happens(how.duplicates)) deliver(how.rtt + late + 5us, p.target, reply);
    }

    void arrive() {
        while (!on_the_way_.empty() && on_the_way_.begin()->first <= now_) {
            if (buffer_.size() < how.room)
                buffer_.push_back(on_the_way_.begin()->second);
            else
                ++drops_;
            on_the_way_.erase(on_the_way_.begin());
        }
    }

    static inline time_point now_{};
    std::mt19937 chance_;
    std::multimap<time_point, arrived> on_the_way_;
    std::deque<arrived> buffer_;
    std::vector<arrived> batch_;
    std::uint64_t drops_ = 0;
};

/// The first `count` addresses of 10.0.0.0/8.
class first_hosts final : public source {
public:
    explicit first_hosts(std::uint32_t count) : count_(count) {}
    std::optional<item> next_target() override {
        if (next_ == count_) return std::nullopt;
        auto const n = next_++;
        return item{nth(n), n};
    }

private:
    std::uint32_t next_ = 0, count_;
};

/// An engine and its driver over a pretend kernel.
struct pretend_world {
    explicit pretend_world(pretend_kernel::settings s = {}, engine::limits l = {}, echo_form f = {})
        : kernel(std::move(s)),
          core(l, {0x0706050403020100, 0x0f0e0d0c0b0a0908}, 0x1234, pretend_kernel::start, f),
          drive(core, &kernel, &kernel, &pretend_kernel::now) {
        kernel.head_size = f.head_size();
    }

    /// Runs until nothing is outstanding and nothing on its way, or for `limit`.
    std::vector<outcome> run(lane& of, duration limit = 1h) {
        std::vector<outcome> results;
        auto const end = pretend_kernel::now() + limit;
        for (;;) {
            auto const step = drive.turn();
            while (!of.outcomes.empty()) results.push_back(of.outcomes.pop());
            if (step.again) continue;
            ++rests;
            auto const next = std::min(step.wake, kernel.next_arrival());
            if (next > end) {
                if (next != time_point::max()) pretend_kernel::advance(end);
                return results;
            }
            pretend_kernel::advance(std::max(next, pretend_kernel::now() + stall));
        }
    }

    pretend_kernel kernel;
    engine core;
    driver drive;
    std::size_t rests = 0;
    duration stall{}; ///< how long the loop is busy elsewhere after each turn
};

constexpr plan one_retry{.timeout = 1s, .retries = 1};

/// Half of nth(0), nth(1), ...
inline bool odd(host const& h) { return h.octets[3] % 2 == 1; }

inline std::map<icmp::status, std::size_t> tally(std::vector<outcome> const& results) {
    std::map<icmp::status, std::size_t> count;
    for (auto const& r : results) ++count[r.status];
    return count;
}

/// True when each of nth(0) ... nth(count - 1) has exactly one outcome.
inline bool complete(std::vector<outcome> const& results, std::uint32_t count) {
    std::set<std::array<std::uint8_t, 16>> seen;
    for (auto const& r : results) seen.insert(r.target.octets);
    return results.size() == count && seen.size() == count;
}

} // namespace trawl::test
