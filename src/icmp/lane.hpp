#pragma once

#include "icmp/flights.hpp"
#include "icmp/pace.hpp"
#include "icmp/packet.hpp"
#include "icmp/ring.hpp"

#include <trawl/icmp.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>
#include <vector>

namespace trawl::icmp::detail {

/// How each target of a lane is asked.
struct plan {
    duration timeout = std::chrono::seconds(1);
    unsigned retries = 0; ///< with count 1: further echoes while it is silent, 0-250
    double backoff = 1;   ///< each waits so much longer than the one before
    unsigned count = 1;   ///< 0: on and on
    duration interval{};  ///< from echo to echo of one target, when count is not 1
    double rate = 0;      ///< echoes a second of the lane; 0: no limit
    bool every_echo = false;
    /// Nothing is sent while so many echoes and outcomes have not been taken out, until half of
    /// them are; 0: no limit.
    std::size_t unread = 0;
};

/// What came back for an echo: a reply, or an ICMP error.
struct answer {
    host from = {};
    std::uint8_t type = 0, code = 0;
    std::uint16_t bytes = 0;
    std::optional<std::uint8_t> hops_left = {};
};

/// What became of one echo.
struct echo_outcome {
    std::uint64_t tag = 0; ///< of its target
    host target = {};
    std::uint32_t index = 0; ///< which echo to that target, from 0
    icmp::status status = status::unknown;
    bool duplicate = false;
    std::optional<duration> rtt = {};
    std::optional<detail::answer> answer = {};
    std::error_code why = {};
};

/// What became of one target.
struct outcome {
    std::uint64_t tag = 0;
    host target = {};
    icmp::status status = status::unknown;
    std::uint32_t sent = 0, received = 0;
    duration rtt{};                            ///< average; of no meaning when nothing was received
    std::optional<detail::answer> answer = {}; ///< the last one
    std::error_code why = {};
};

/// Where a lane takes its targets from.
class source {
public:
    struct item {
        host target = {};
        std::uint64_t position = 0; ///< grows from item to item, by less than 2^31
    };
    /// The next target; nullopt for now or for good.
    virtual std::optional<item> next_target() = 0;

protected:
    ~source() = default;
};

/// One user's share of an engine: a sweep, or the probes of one timeout.
class lane {
public:
    ring<echo_outcome> echoes; ///< with plan.every_echo; to be taken out by the owner, as are
    ring<outcome> outcomes;

    /// Targets that have no outcome yet.
    std::size_t active() const noexcept { return active_; }
    /// Those that the owner has not taken out.
    std::size_t unread() const noexcept { return echoes.size() + outcomes.size(); }
    /// True when enough has been taken out of a lane that had stopped sending.
    bool resumes() noexcept { return stalled_ && !stalls(); }
    /// To be called when `source` may have targets again.
    void feed() noexcept { hungry_ = supply_ != nullptr; }

private:
    friend class engine;
    struct turn {
        std::uint32_t whom = 0;
        time_point when{};
    };

    lane(detail::plan p, source* supply) : plan_(p), pace_(p.rate), supply_(supply) { feed(); }

    /// One target of several echoes, or one that somebody may forget.
    bool tracks() const noexcept { return plan_.count != 1 || !supply_; }

    /// Looks anew: from plan_.unread on until half of it has been taken.
    bool stalls() noexcept {
        auto const most = stalled_ ? plan_.unread / 2 + 1 : plan_.unread;
        return stalled_ = plan_.unread > 0 && unread() >= most;
    }

    detail::plan plan_;
    send_pace pace_;
    source* supply_;
    bool hungry_ = false;  // supply_ may have a target
    bool stalled_ = false; // by plan_.unread
    std::size_t active_ = 0;
    std::uint64_t position_ = 0;         // of the latest target from supply_
    std::vector<std::uint16_t> flights_; // by try: their indices in the engine
    ring<flight> ready_;                 // to be sent
    ring<turn> turns_;                   // when the next of several echoes is due
    // The kernel was short of buffers: nothing is sent before blocked_until_; since when, without a
    // success.
    time_point blocked_until_{}, blocked_since_{};
    duration backoff_{};
};

} // namespace trawl::icmp::detail
