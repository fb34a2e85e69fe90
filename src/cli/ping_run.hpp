#pragma once

#include "cli/environment.hpp"
#include "cli/ledger.hpp"
#include "cli/ping_count.hpp"

#include <trawl/dns.hpp>
#include <trawl/icmp.hpp>
#include <trawl/limiter.hpp>
#include <trawl/targets.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace trawl::cli {

/// What a run of `trawl ping` does, whichever command line it was written in.
struct ping_plan {
    enum class family { any, v4, v6 };
    icmp::pinger::options sending;
    icmp::sweep::options asking;
    family only = family::any;
    bool all_addresses = false; ///< of a name
    /// Whether the name of its address is looked up for a host; empty: for none.
    std::function<bool(std::string const& given)> wants_name;
    /// What a host is shown as; empty: as it was given.
    std::function<std::string(std::string const& given, asio::ip::address const&,
                              std::optional<std::string> const& name)>
        label;
    /// Where in the picture the target lies that is asked at that position of the run; empty: no
    /// one draws.
    std::function<std::uint64_t(std::uint64_t position)> place;
    duration redraw{};                    ///< between two calls of ping_writer::redraw(); 0: none
    duration report{};                    ///< between two calls of ping_writer::interval(); 0: none
    std::vector<std::uint16_t> tcp_ports; ///< asked where no echo is answered
};

/// Asks names for their addresses and addresses for their names, for both kinds of run.
class ping_names {
public:
    ping_names(asio::any_io_executor executor, ping_plan const& plan)
        : resolver_(std::move(executor)), plan_(plan) {}

    /// Those of the family that is wanted: one (IPv4 where there is a choice), or all. Throws error.
    awaitable<std::vector<asio::ip::address>> addresses(std::string name);
    /// What the host is shown as.
    awaitable<std::string> label(std::string given, asio::ip::address address);

private:
    dns::resolver resolver_;
    ping_plan const& plan_;
};

/// Asks the addresses of a list while its names are looked up, and then what those gave. Keeps no
/// host: a list of millions costs nothing.
class ping_sweep {
public:
    /// All outlive the run.
    ping_sweep(environment&, ping_plan const&, ping_writer&, icmp::pinger&, targets::list const&,
               ledger&);

    awaitable<> run();
    ping_count const& count() const noexcept { return count_; }

private:
    awaitable<> ask_all();
    awaitable<> sweep(targets::list addresses, bool of_names);
    bool skips(std::uint64_t position);
    awaitable<> look_up_all();
    awaitable<> look_up(std::string name, std::uint64_t position, limiter::ticket);
    awaitable<> finish(icmp::result, bool of_names, limiter::ticket);
    awaitable<std::string> ask_tcp(icmp::result& host);
    void report(pinged_host&, icmp::result const&, bool of_names);
    void tell(pinged_host&, icmp::result const&, std::uint64_t position);

    environment& env_;
    ping_plan const& plan_;
    ping_writer& writer_;
    icmp::pinger& pinger_;
    targets::list const& list_;
    ledger& ledger_;
    ping_names names_;
    limiter in_flight_{1000}; // look-ups and TCP attempts
    targets::list found_;     // what the names stand for
    struct named {
        std::string name;
        std::uint64_t position;
    };
    std::map<asio::ip::address, std::vector<named>> names_of_;
    ping_count count_;
};

/// Asks every host again and again, or just keeps its statistics, and tells the writer of each echo.
class ping_watch {
public:
    /// All outlive the run.
    ping_watch(environment&, ping_plan const&, ping_writer&, icmp::pinger&);

    /// `given`: addresses and names, each a host of its own.
    awaitable<> run(std::vector<std::string> given);
    pinged_hosts hosts() const noexcept { return hosts_; }
    ping_count const& count() const noexcept { return count_; }

private:
    awaitable<> look_up_all(std::vector<std::string> const& given);
    awaitable<> look_up(std::string const& given, std::uint64_t position,
                        std::vector<pinged_host>& into, limiter::ticket);
    awaitable<> ask_all();
    void tell(icmp::sweep::events const&);
    awaitable<> report_on_time();
    awaitable<> report_on_signal();
    void begin_anew();

    environment& env_;
    ping_plan const& plan_;
    ping_writer& writer_;
    icmp::pinger& pinger_;
    ping_names names_;
    std::vector<pinged_host> hosts_;
    std::map<asio::ip::address, std::vector<std::size_t>> by_address_;
    ping_count count_;
};

} // namespace trawl::cli
