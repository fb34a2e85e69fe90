#pragma once

#include "icmp/ring.hpp"
#include "icmp/route.hpp"

#include <trawl/async.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace trawl::icmp::detail {

/// The link-layer addresses of neighbours, and the echoes that wait for one. No I/O: the answers
/// of neighbours and the time in; whom to ask again, and which echoes may leave, out.
///
///     unknown -- hold() --> asked -- learn() --> known -- stale_after --> known, to be asked anew
///        ^                    |
///        +--- hold passed ----+
///
/// Each echo to a host of the link brings its own question, so that questions keep to the rate of
/// the echoes, and a retry is one of both. A gateway is asked for many at once, and again every
/// second.
class neighbour_table {
public:
    struct limits {
        std::size_t known = 1u << 20;                 ///< addresses; past it they are learned anew
        std::size_t held = 1u << 18;                  ///< echoes that wait
        duration hold = std::chrono::seconds(3);      ///< how long one waits
        duration ask_again = std::chrono::seconds(1); ///< RFC 4861 §10: RETRANS_TIMER
        duration stale_after = std::chrono::seconds(30); ///< RFC 4861 §10: REACHABLE_TIME
    };

    neighbour_table() : neighbour_table(limits{}) {}
    explicit neighbour_table(limits bounds) : limits_(bounds) {}

    struct hop {
        host address = {};
        way const* by = nullptr;
    };
    /// An echo whose next hop is known.
    struct leaving {
        parcel what = {};
        way const* by = nullptr;
        mac to = {};
        time_point held{}; ///< since when
    };

    struct known {
        mac at = {};
        bool stale = false; ///< usable, but ask anew: told by asked()
    };
    std::optional<known> find(host const& next_hop, time_point now) const;

    /// Whether an echo for that hop waits already.
    bool is_asked(host const& next_hop) const { return neighbours_.contains(next_hop); }
    bool empty() const noexcept { return neighbours_.empty(); }
    bool full() const noexcept { return held_ >= limits_.held; }

    /// The question for `next` has been sent.
    void asked(hop const& next, time_point now);
    /// `what` waits for the answer; the hop was asked() before, and the table is not full.
    void hold(host const& next_hop, parcel const& what, time_point now);
    /// Takes an answer to a question of ours, heard on `interface`; others are ignored.
    void learn(neighbour_message const&, std::uint32_t interface, time_point now);

    /// The echoes that may leave.
    ring<leaving> ready;

    /// The next gateway to be asked again, by a question that is then told by asked(). Forgets
    /// what has waited too long.
    std::optional<hop> again(time_point now);
    time_point next_wake() const noexcept;

    std::size_t held() const noexcept { return held_; }
    duration longest() const noexcept { return limits_.hold; }

private:
    static constexpr std::uint32_t none = 0xffffffff;

    struct hash {
        std::size_t operator()(host const& h) const noexcept;
    };
    struct neighbour {
        way const* by = nullptr;
        std::optional<mac> at = {};
        time_point learned{}, asked{};
        std::uint32_t first = none, last = none; // of the echoes that wait
    };
    struct waiting {
        parcel what = {};
        time_point since{};
        std::uint32_t next = none;
    };
    struct question {
        host to = {};
        time_point when{};
    };

    void look_again(host const&, neighbour&, time_point now);
    void take_first(neighbour&);
    void forget_known();

    limits limits_;
    std::unordered_map<host, neighbour, hash> neighbours_;
    std::vector<waiting> waiting_;
    std::uint32_t free_ = none;
    mutable ring<question> questions_; // in order of their times; mutable for front()
    std::size_t held_ = 0, known_ = 0;
};

} // namespace trawl::icmp::detail
