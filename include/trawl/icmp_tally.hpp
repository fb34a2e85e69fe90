#pragma once

#include <trawl/async.hpp>
#include <trawl/icmp.hpp>

#include <cstdint>
#include <memory>
#include <optional>

namespace trawl::icmp {

/// Statistics of echoes, of one target or of many, in bounded memory however many echoes there are:
/// 72 bytes, and some 500 more from the first reply on.
///
/// What counts is an echo that has ended, so that one still on its way is not lost; an echo that
/// could not be sent (status::unknown) is a lost one, as with fping. Tell a tally of one target of
/// its echoes with add(echo); for many targets merge theirs, since jitter compares consecutive
/// replies of one target.
class tally {
public:
    tally();                            ///< of no echo
    tally(tally const&);                ///< with the same counts
    tally(tally&&) noexcept;            ///< leaves the other empty, as all moves
    tally& operator=(tally const&);     ///< forgets its own counts
    tally& operator=(tally&&) noexcept; ///< forgets its own counts
    ~tally();

    /// Counts one ended echo; a duplicate changes duplicates() only.
    void add(echo const& ended);
    /// Adds what another has counted, as if it came after this one's.
    void add(tally const& other);

    /// Echoes that have ended.
    std::uint64_t sent() const noexcept { return counts_.sent; }
    /// Of sent(): those answered in time.
    std::uint64_t received() const noexcept { return counts_.received; }
    /// Of sent(): the others.
    std::uint64_t lost() const noexcept { return counts_.sent - counts_.received; }
    /// Of lost(): those that an ICMP error ended.
    std::uint64_t unreachable() const noexcept { return counts_.unreachable; }
    /// Of lost(): those that this machine could not tell of.
    std::uint64_t unknown() const noexcept { return counts_.unknown; }
    std::uint64_t duplicates() const noexcept { return counts_.duplicates; } ///< further replies
    double loss() const noexcept; ///< lost() of sent() in per cent; 0 when nothing was sent

    // Of the round trips of the replies; nullopt without one.
    std::optional<duration> least() const noexcept;   ///< the shortest
    std::optional<duration> average() const noexcept; ///< rounded down to a nanosecond
    std::optional<duration> most() const noexcept;    ///< the longest
    std::optional<duration> last() const noexcept;    ///< that of the last reply
    /// Standard deviation of the population (Welford), as ping's mdev; 0 of one reply.
    std::optional<duration> deviation() const noexcept;
    /// Mean of |D(i-1, i)| over consecutive replies, where D is RFC 3550 §6.4.1's difference of
    /// transit times, taken of round trips; without that section's smoothing by 1/16. nullopt
    /// before the second reply.
    std::optional<duration> jitter() const noexcept;
    /// The round trip that `fraction` (0 to 1) of the replies do not exceed, at most 1/16 too long.
    std::optional<duration> quantile(double fraction) const;

    /// lost() times the interval between two echoes: fping's accumulated outage.
    duration outage(duration interval) const noexcept;
    /// The most lost echoes in a row so far.
    std::uint64_t longest_loss() const noexcept { return counts_.longest_loss; }
    /// Lost echoes since the last reply.
    std::uint64_t current_loss() const noexcept { return counts_.current_loss; }

private:
    struct trips; ///< of the replies; made with the first one
    void swap(tally& other) noexcept;

    struct counts {
        std::uint64_t sent = 0, received = 0, unreachable = 0, unknown = 0, duplicates = 0;
        std::uint64_t first_loss = 0; // in a row, before any reply
        std::uint64_t current_loss = 0, longest_loss = 0;
    } counts_;
    std::unique_ptr<trips> trips_;
};

} // namespace trawl::icmp
