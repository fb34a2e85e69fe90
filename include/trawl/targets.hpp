#pragma once

#include <asio/ip/address.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

/// One grammar for the targets of every verb. Pure: nothing here reads a file or asks a name
/// server.
///
///     10.0.0.7            2001:db8::7, fe80::7%eth0         an address
///     10.0.0.0/24         2001:db8::/64                     every address of the network
///     10.0.0.1-254        2001:db8::1-ff                    a range, by its last part
///     10.0.0.1-10.0.3.9   2001:db8::1-2001:db8::9:0         a range
///     web.example                                           a name
///     node[01-20,25].example                                a host list, zero padding kept
///     any of them:PORT    [2001:db8::7]:PORT                with a port, 1-65535
///
/// A network's first and last address belong to it; 10.0.0.9/24 is the network of 10.0.0.9.
/// A host list may hold several brackets
/// (`rack[1-4]-[01-40]`). Octets with leading zeros, names beyond RFC 1123 letters, digits, '-' and
/// '_', and non-ASCII names (write the xn-- form) are refused.
namespace trawl::targets {

/// One target: an address, or a name that somebody else resolves.
struct target {
    std::optional<asio::ip::address> address; ///< absent for a name
    std::string name;                         ///< empty for an address
    std::optional<std::uint16_t> port;        ///< when the target named one

    /// Address or name without the port.
    std::string host() const;
    /// As the grammar writes it: "10.0.0.7", "10.0.0.7:22", "[2001:db8::7]:22",
    /// "node01.example:22".
    std::string to_string() const;

    friend bool operator==(target const&, target const&) = default;
};

/// Where a text was found, for the message of a bad target: line 0 is an argument ("argument 2,
/// column 5"), others lines of a file ("hosts.txt:7:5"). `column` is where the text begins in its
/// line, from 1, in bytes.
struct origin {
    std::string_view name = {}; ///< of the file, or "argument 2"
    std::size_t line = 0;       ///< from 1; 0: an argument
    std::size_t column = 1;     ///< from 1, in bytes
};

/// A set of targets in the order in which they were listed. It keeps ranges as ranges: 10.0.0.0/8
/// costs no more than 10.0.0.0/30.
///
/// Each target is in it once, where it was mentioned first; what overlaps is not repeated. The same
/// host with another port, or with and without one, is another target. Names are compared without
/// case and never with addresses. Copying is cheap (copy on write); copies may be used on different
/// threads.
class list {
public:
    list() = default;

    /// Adds every target of `text`, separated by blanks or commas (a comma inside a bracket belongs
    /// to its host list). Throws error(errc::bad_target) that names the target and its position;
    /// the list is then unchanged.
    list& add(std::string_view text, origin from = {});

    /// Removes every target of `text`, now and from what is added later; without a port it removes
    /// any port. A name removes that name only, not its addresses. Excluding before adding is
    /// cheaper when there are thousands.
    list& exclude(std::string_view text, origin from = {});

    /// Number of targets; 2^64 - 1 also stands for more.
    std::uint64_t size() const noexcept;
    /// Whether size() is 0.
    bool empty() const noexcept { return size() == 0; }
    /// True when some target is a name.
    bool has_names() const noexcept;
    /// True when some target has a port: a verb that has no use for ports refuses it.
    bool has_ports() const noexcept;

    /// The target at `index` < size(), in O(log of the listed items).
    target at(std::uint64_t index) const;

    /// Tells lists apart: machines that agree on it go through the same targets in the same order.
    ///
    /// The first 8 bytes of the SHA-256 of canonical_text(), the first being the highest; the same
    /// on every machine and in every version. Costs no more than the listed items, not their
    /// targets. Throws std::bad_alloc only.
    std::uint64_t fingerprint() const;
    /// The list as a text, excludes applied: a line for each run of consecutive targets.
    ///
    ///     10.0.0.0-10.0.3.255             however its ranges were written
    ///     fe80::7%eth0 :22                one address; a port follows a blank
    ///     web.example                     a name, in lower case
    ///     n[1-9,10-12].example 0-4        a host list, and which of its names, counted from 0
    ///
    /// Host lists count as they were written: n[1-2] and "n1 n2" differ.
    std::string canonical_text() const;

private:
    friend class cursor;
    struct state;
    std::shared_ptr<state> writable(bool anew) const;
    std::shared_ptr<state> state_; // shared with copies and cursors, null when nothing was added
};

/// `list().add(text)`.
list parse(std::string_view text);

/// A pseudo-random order of 0 .. size - 1, each exactly once, that needs no memory: a Feistel
/// network over the least power of two that holds `size`, walked until it falls inside. Equal seeds
/// give equal orders on every machine. Not for secrets.
class permutation {
public:
    /// `size` >= 1.
    permutation(std::uint64_t size, std::uint64_t seed) noexcept;

    /// The number at `position` < size().
    std::uint64_t operator()(std::uint64_t position) const noexcept;
    /// As given to the constructor.
    std::uint64_t size() const noexcept { return size_; }

private:
    static constexpr std::size_t rounds = 6;
    std::uint64_t size_;
    unsigned low_bits_, high_bits_;
    std::uint64_t keys_[rounds];
};

/// Part `index` (from 0) of `count` of a sequence: every count-th element. The parts are disjoint,
/// together they are the whole, and their sizes differ by one at most.
struct shard {
    std::uint64_t index = 0; ///< which part, below `count`
    std::uint64_t count = 1; ///< of how many

    /// Reads "I/N", 0 <= I < N. Throws error(errc::bad_target).
    static shard parse(std::string_view text);

    /// Elements of this part when the whole has `total`.
    std::uint64_t size(std::uint64_t total) const noexcept;
    /// Where the part's element `position` lies in the whole.
    std::uint64_t at(std::uint64_t position) const noexcept { return index + position * count; }
};

/// How a cursor goes through a list.
struct order {
    /// Absent: as listed; else shuffled by permutation(size, seed).
    std::optional<std::uint64_t> seed = {};
    /// For machines that share a list: the same seed, different parts.
    shard part = {};
    /// position() of an earlier cursor with the same list, seed and part: goes on behind it.
    std::uint64_t from = 0;
};

/// Walks a list lazily, in constant memory and without an allocation for addresses. It keeps the
/// list as it was when the walk began; the list itself need not live on.
class cursor {
public:
    /// Begins at `how.from`; `how.part.index` is below its count.
    explicit cursor(list const& targets, order how = {});

    /// The next target; nullopt at the end.
    std::optional<target> next();

    /// Targets of this part given out so far.
    std::uint64_t position() const noexcept { return position_; }
    /// Targets of this part.
    std::uint64_t size() const noexcept { return size_; }
    /// Where in the list (list::at) the target lies that is given out at `position` < size().
    std::uint64_t index(std::uint64_t position) const noexcept;

private:
    std::shared_ptr<list::state const> state_;
    std::optional<permutation> shuffled_;
    shard part_;
    std::uint64_t position_, size_;
    std::size_t piece_ = 0; ///< where the last one was found
};

} // namespace trawl::targets
