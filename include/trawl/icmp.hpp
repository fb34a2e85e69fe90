#pragma once

#include <trawl/async.hpp>
#include <trawl/observer.hpp>
#include <trawl/targets.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/ip/address.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

/// Echo requests (RFC 792, RFC 4443 §4): one at a time with pinger::probe, whole ranges with sweep.
namespace trawl::icmp {

/// Conditions of category "trawl.icmp".
enum class errc {
    not_permitted = 1, ///< neither a raw nor an unprivileged ICMP socket may be opened
    no_socket,         ///< the kernel has no ICMP for this address family
    unreachable,       ///< an ICMP error says that the target cannot be reached
    hops_exceeded,     ///< an ICMP error says that the hop limit ran out on the way
    replies_dropped,   ///< our own receive buffer lost packets while the target was silent
    pinger_closed,     ///< the pinger was destroyed while a sweep used it
};
/// Category "trawl.icmp" of errc.
std::error_category const& category() noexcept;
/// `code` in that category.
std::error_code make_error_code(errc code) noexcept;

/// Which kind of socket carries the echoes.
enum class socket_kind {
    automatic, ///< raw, or datagram where raw is not permitted (said through the observer)
    raw,       ///< needs CAP_NET_RAW
    datagram,  ///< needs a group in net.ipv4.ping_group_range
};

/// What became of one target of a sweep.
enum class status : std::uint8_t {
    up,          ///< it answered
    down,        ///< every echo went out and none was answered
    unreachable, ///< an ICMP error or the local routing table says so
    unknown,     ///< not told: the echo could not be sent, or replies may have been lost on this
                 ///< machine
};
/// "up", "down", "unreachable", "unknown".
std::string_view to_string(status) noexcept;

/// One echo reply.
struct reply {
    asio::ip::address from; ///< who sent it: the address that was asked
    duration rtt{}; ///< up to the kernel's receive time stamp, not to the wake-up of this process
    std::optional<std::uint8_t>
        hops_left; ///< TTL or hop limit of the reply, when the kernel told it
};

/// What became of one echo request.
struct echo {
    asio::ip::address target;              ///< whom it was sent to
    std::uint64_t position = 0;            ///< of the target in its sweep; 0 for pinger::ask
    std::uint32_t index = 0;               ///< which echo to its target, from 0
    icmp::status status = status::unknown; ///< up: answered; down: silent until the timeout
    bool duplicate = false;                ///< a further reply to an echo that was answered
    std::optional<duration> rtt; ///< from the sending to the reply or ICMP error; by the kernel's
                                 ///< transmit stamp too when pinger::options asks for them
    std::optional<asio::ip::address> from; ///< who sent the reply or the error
    std::optional<std::uint8_t> hops_left; ///< TTL or hop limit of the reply
    std::uint8_t type = 0;                 ///< of the ICMP message that came, when `from` is there
    std::uint8_t code = 0;                 ///< of that message
    std::uint16_t bytes = 0; ///< of that message, ICMP header included and IP header not
    std::error_code why;     ///< for unreachable and unknown
};

/// How one echo is sent.
struct echo_options {
    std::chrono::milliseconds timeout{1000}; ///< from its sending
    std::uint8_t hop_limit = 0;              ///< 1-255; 0: as the pinger's
};

/// Totals since the pinger was made. Every packet received is counted once.
struct statistics {
    std::uint64_t sent = 0;         ///< echo requests that the kernel took
    std::uint64_t received = 0;     ///< first replies in time
    std::uint64_t errors = 0;       ///< ICMP errors that belong to an echo of ours
    std::uint64_t duplicates = 0;   ///< further replies to an echo that was answered
    std::uint64_t late = 0;         ///< replies after the timeout, or to a probe that was cancelled
    std::uint64_t wrong_source = 0; ///< our own echo, proved, but answered by another address
    std::uint64_t forged = 0;       ///< our id, but not our cookie
    std::uint64_t malformed = 0;    ///< too short, broken, or of a kind that answers no echo
    std::uint64_t send_failures =
        0; ///< echoes that the kernel refused for good (no route, a local firewall)
    std::uint64_t deferred = 0; ///< sends put off because the kernel was short of buffers
    std::uint64_t drops = 0;    ///< packets that our own receive buffers lost (SO_MEMINFO)
};

/// The engine that sends echoes and takes in replies, for one io_context: sockets, a table of
/// outstanding echoes, and one random identifier. A reply counts only when it comes from the
/// address probed and carries the keyed cookie that went out (SipHash-2-4), so that none can be
/// forged from off the path.
///
/// Not thread-safe: `executor` runs one handler at a time (an io_context with one thread, or a
/// strand), and the coroutines that use the pinger run on it. At most about 0.25 ms of work is done
/// in a turn, then the loop's other handlers come first. The pinger outlives its probes and sweeps;
/// with none of them waiting it keeps no work on the io_context.
class pinger {
public:
    /// How echoes are made and sent.
    struct options {
        std::chrono::milliseconds timeout{1000};   ///< of probe(), from the sending
        socket_kind kind = socket_kind::automatic; ///< which sockets it may use
        /// Bytes asked of the kernel for each socket; 0 keeps its default (208 KiB hold 256
        /// replies). More than net.core.rmem_max needs CAP_NET_ADMIN. What is granted bounds how
        /// many answers can be on their way.
        std::size_t receive_buffer = 8u << 20;
        std::size_t outstanding =
            65536; ///< echoes of sweeps waited for at a time, 1 or more (32 bytes each)
        /// Beyond 256 addresses of a directly connected Ethernet, ask for their link addresses by
        /// ARP or neighbour discovery and send whole frames: the kernel's neighbour table has room
        /// for 1,024 and loses what is beyond without a word. Raw sockets only. Frames, those of
        /// packet_rings too, go by the routes of the moment.
        bool ask_neighbours = true;
        /// Send and receive by memory-mapped packet rings: less CPU, past the packet filter.
        bool packet_rings = false;
        std::uint16_t payload = 24; ///< bytes behind the echo header; under 24 there is no room for
                                    ///< the cookie, and address, identifier and number must do
        bool random_payload = false;    ///< fill what follows the cookie with random bytes, not 0
        std::uint8_t hop_limit = 0;     ///< 1-255; 0: the system's
        std::uint8_t traffic_class = 0; ///< TOS, or the IPv6 traffic class
        bool dont_fragment = false;     ///< what is too big for the path fails with EMSGSIZE
        bool transmit_stamps = false;   ///< time echoes by the kernel's transmit time stamp: exact,
                                        ///< for one more system call a batch
        std::optional<asio::ip::address> source = {}; ///< of that address family
        std::string interface = {};                   ///< by this one only (SO_BINDTODEVICE)
        std::uint32_t mark = 0;    ///< SO_MARK, for policy routing; needs CAP_NET_ADMIN
        observer* watch = nullptr; ///< not owned; outlives the pinger
    };

    /// With the options' defaults.
    explicit pinger(asio::any_io_executor executor);
    /// Opens the sockets; what fails is thrown by the probes and sweeps that need that address
    /// family.
    pinger(asio::any_io_executor executor, options configuration);
    pinger(pinger const&) = delete;
    pinger& operator=(pinger const&) = delete;
    ~pinger();

    /// Sends one echo request and waits for its reply.
    ///
    /// Returns nullopt when none arrives within options.timeout, or as soon as an ICMP error says
    /// that none will. Throws error on a local failure only: errc::not_permitted, errc::no_socket,
    /// or the kernel's reason not to send (network unreachable, operation not permitted).
    /// Cancelling forgets the request; a late reply is counted in stats().late.
    awaitable<std::optional<reply>> probe(asio::ip::address target);

    /// Sends one echo request and tells what became of it: the reply, the ICMP error and who sent
    /// it, or silence. Throws and cancels as probe() does.
    awaitable<echo> ask(asio::ip::address target, echo_options how);

    /// The totals of this moment.
    statistics stats() const;

    /// The kind in use; automatic when no socket could be opened.
    socket_kind kind() const noexcept;

private:
    friend class sweep;
    struct state;
    std::shared_ptr<state> state_;
};

/// What became of one target.
struct result {
    asio::ip::address address;             ///< of the target
    std::uint64_t position = 0;            ///< of the target in the sweep
    icmp::status status = status::unknown; ///< how it ended
    std::optional<duration> rtt;           ///< average of the replies; absent when there was none
    std::uint32_t sent = 0;                ///< echoes that the kernel took
    std::uint32_t received = 0;            ///< first replies to them in time
    std::error_code why;                   ///< for unreachable and unknown
};

/// Probes every address of a list, each ending in exactly one status, without a coroutine or a
/// timer for each: memory does not depend on the number of targets. Results come in the order of
/// the answers.
///
/// Sending starts with the first next*() and goes on while the caller does other things, until
/// 1,024 results wait for it. Replies are read before more is sent, and before a target is given
/// up; when this machine itself lost packets meanwhile the silent are asked again, and end as
/// unknown rather than down if that does not help.
class sweep {
public:
    /// What is sent to whom, and when.
    struct options {
        std::chrono::milliseconds timeout{1000}; ///< for each echo, from its sending
        unsigned retries = 1; ///< further echoes to a silent target; with count 1 only
        double backoff = 1;   ///< each further echo to a silent target waits so much longer, 1 to 5
        unsigned count = 1; ///< echoes to each target, all sent; 0: on and on, with every_echo only
        std::chrono::milliseconds interval{1000}; ///< between two echoes of `count` to one target
        bool every_echo = false;                  ///< tell of each echo, see next_events()
        double rate = 0;           ///< echoes a second in all; 0: as fast as answers can be read
        bool skip_names = false;   ///< pass over names; false: the constructor refuses them
        targets::order order = {}; ///< seed, shard, where to begin
        /// True: the target at that position was asked by an earlier run and is left out.
        std::function<bool(std::uint64_t position)> skip = {};
    };

    /// How far it has come.
    struct totals {
        std::uint64_t targets =
            0;                  ///< of the list (this shard of it), less those passed over so far
        std::uint64_t up = 0;   ///< handed out so far
        std::uint64_t down = 0; ///< handed out so far
        std::uint64_t unreachable = 0; ///< handed out so far
        std::uint64_t unknown = 0;     ///< handed out so far
    };

    /// With the options' defaults.
    sweep(pinger& with, targets::list addresses);
    /// `with` outlives the sweep. Throws error(trawl::errc::bad_target) when the list has names and
    /// skip_names is false: resolve them first.
    sweep(pinger& with, targets::list addresses, options configuration);
    sweep(sweep const&) = delete;
    sweep& operator=(sweep const&) = delete;
    ~sweep(); ///< forgets what is outstanding

    /// The next result; nullopt when every target has had its own. One caller at a time. Throws
    /// error when the sockets of a family that is needed cannot be opened. Cancelling loses no
    /// result; go on with another call.
    awaitable<std::optional<result>> next();

    /// The next target that is up; the others are counted in progress() only.
    awaitable<std::optional<result>> next_up();

    /// The results that are there, 1 to 64; empty at the end.
    awaitable<std::vector<result>> next_batch();

    /// What next_events() gives.
    struct events {
        std::vector<echo> echoes;    ///< in the order in which they ended
        std::vector<result> results; ///< of the targets whose last echo has ended
    };
    /// With options.every_echo: what happened, 1 to 64 events; both empty at the end. Nothing is sent
    /// while a thousand events have not been taken.
    awaitable<events> next_events();

    /// The counts of this moment.
    totals progress() const noexcept;

private:
    struct state;
    std::shared_ptr<state> state_;
};

} // namespace trawl::icmp

template <>
struct std::is_error_code_enum<trawl::icmp::errc> : std::true_type {};
