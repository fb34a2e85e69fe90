#pragma once

#include "cli/ping_writer.hpp"
#include "cli/worst_hosts.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace trawl::cli {

/// What is known of the targets of one cell.
struct live_cell {
    std::uint64_t targets = 0;             ///< the cell stands for
    std::uint64_t earlier = 0;             ///< have their results of an earlier run (--resume)
    std::uint64_t asked = 0;               ///< their first echo is out, or their name looked up
    std::array<std::uint64_t, 4> status{}; ///< by icmp::status
    duration rtt{};                        ///< the last one, of several targets the longest

    std::uint64_t known() const noexcept { return status[0] + status[1] + status[2] + status[3]; }
    std::uint64_t up() const noexcept { return status[0]; }
    live_cell& operator+=(live_cell const&) noexcept;
};

/// Round trips by length, in classes that end at 1, 2 and 5 times a power of ten from 10 us on.
class rtt_histogram {
public:
    static constexpr std::size_t classes = 19; ///< up to 10 s; the last one takes the rest
    /// What the round trips of a class are shorter than.
    static duration limit(std::size_t which);

    void add(duration rtt);
    std::array<std::uint64_t, classes> const& counts() const noexcept { return counts_; }

private:
    std::array<std::uint64_t, classes> counts_{};
};

/// How a run of `trawl ping` stands, for one who draws it: events in, figures out. Its memory is
/// bounded whatever the number of targets: at most 65,536 cells, and a few hosts by name.
class live_model {
public:
    struct options {
        std::uint64_t places = 0; ///< targets of the whole list, each with its place in the picture
        std::uint64_t targets = 0;              ///< of them those of this run (--shard)
        std::array<std::uint64_t, 4> earlier{}; ///< results of the runs this one goes on from
    };
    explicit live_model(options);

    /// The target's result is among options::earlier; which one, no one knows any more.
    void known_earlier(std::uint64_t place) { ++cells_[index(place)].earlier; }

    // As ping_writer's.
    void asked(std::uint64_t place);
    void unresolved(std::uint64_t place);
    void echo(pinged_host const&, icmp::echo const&);
    void host(pinged_host const&, icmp::result const&);
    void now(ping_moment const&);

    /// One for each target, or for a run of 2^n of them, in the order of the list.
    std::size_t cells() const noexcept { return cells_.size(); }
    live_cell const& cell(std::size_t index) const { return cells_[index]; }

    std::uint64_t targets() const noexcept { return options_.targets; }
    std::uint64_t done() const noexcept { return done_; } ///< targets that had their last echo
    /// Hosts by their state now.
    std::uint64_t count(icmp::status s) const { return by_status_[static_cast<std::size_t>(s)]; }
    std::uint64_t earlier() const noexcept;
    std::uint64_t awaiting() const noexcept;
    std::uint64_t unprobed() const noexcept;
    double loss() const noexcept; ///< of the echoes that have ended, in per cent
    double rate() const noexcept; ///< echoes a second, lately
    duration elapsed() const noexcept { return moment_.elapsed; }
    rtt_histogram const& round_trips() const noexcept { return round_trips_; }
    worst_hosts const& worst() const noexcept { return worst_; }

private:
    std::size_t index(std::uint64_t place) const;
    void settle(pinged_host const&, icmp::status now, std::optional<duration> rtt);

    options options_;
    unsigned shift_ = 0; ///< a cell stands for 2^shift_ targets
    std::vector<live_cell> cells_;
    std::array<std::uint64_t, 4> by_status_;
    std::uint64_t asked_ = 0, done_ = 0, ended_ = 0, answered_ = 0;
    rtt_histogram round_trips_;
    worst_hosts worst_;
    ping_moment moment_;
    std::deque<ping_moment> lately_; ///< of the last second
};

} // namespace trawl::cli
