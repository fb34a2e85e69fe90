#pragma once

#include "icmp/driver.hpp"
#include "icmp/route_monitor.hpp"
#include "icmp/socket.hpp"

#include <trawl/detail/parking.hpp>
#include <trawl/icmp.hpp>

#include <asio/posix/stream_descriptor.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trawl::icmp::detail {

using namespace trawl::detail; // waiter, wake: the parking of the async core

echo to_echo(echo_outcome const&);

/// Who wants to know after a turn that something may have happened to his lane.
class listener {
public:
    virtual void notify() = 0;
    /// The pinger was closed or failed.
    virtual void wake() = 0;

protected:
    ~listener() = default;
};

/// What carries one address family, its readiness, and why it is missing.
struct port {
    struct watched_descriptor {
        asio::posix::stream_descriptor readiness;
        bool watched = false;
    };

    std::unique_ptr<channel> carrier;
    std::vector<std::unique_ptr<watched_descriptor>> descriptors;
    std::error_code missing;
    std::string said; ///< the kernel's words when it is missing

    ~port() {
        for (auto& d : descriptors) d->readiness.release(); // the channel closes it
    }
};

/// The sockets of a pinger.
struct ports {
    /// What cannot be opened has no socket.
    ports(asio::any_io_executor const& executor, pinger::options const&, std::uint16_t id);

    echo_form form() const noexcept { return form_; }

    port const& of(family f) const noexcept { return f == family::v4 ? v4 : v6; }
    /// How many replies may arrive at once without loss.
    std::size_t window() const noexcept;

    port v4, v6;
    socket_kind kind = socket_kind::automatic;

private:
    void open(port&, family, asio::any_io_executor const&, pinger::options const&,
              std::uint16_t id);
    void go_past_ip(port&, family, pinger::options const&, std::uint16_t id);

    std::shared_ptr<route_monitor> routes_;
    std::vector<std::uint8_t> padding_;
    echo_form form_;
};

} // namespace trawl::icmp::detail

namespace trawl::icmp {

/// What a pinger and its sweeps share. One coroutine, the pump, runs the driver's turns while there
/// is something outstanding or to send; it ends when there is not.
struct pinger::state : std::enable_shared_from_this<pinger::state> {
    state(asio::any_io_executor on, options const& configuration);

    static awaitable<std::optional<reply>> probe(std::shared_ptr<state> self,
                                                 asio::ip::address target);
    static awaitable<echo> ask(std::shared_ptr<state> self, asio::ip::address target,
                               echo_options how);

    /// Makes the pump run, or look again.
    void kick();
    /// To be called when something was forgotten: lets the pump end if that was the last.
    void settle();
    void close();
    /// Throws what ended the pump, or pinger_closed.
    void check() const;
    /// Throws when the sockets of that family could not be opened.
    void require(detail::family) const;
    /// Throws when no socket at all could be opened.
    void require_any() const;

    asio::any_io_executor executor;
    std::uint16_t const id;
    detail::ports ports;
    detail::engine engine;
    detail::driver driver;
    std::vector<detail::listener*> listeners;
    detail::waiter_list asking; ///< the probes

private:
    struct question;
    struct probe_lane {
        duration timeout{};
        detail::lane* lane = nullptr;
    };

    static awaitable<detail::outcome> put(std::shared_ptr<state> self, asio::ip::address target,
                                          echo_options how);
    detail::lane& lane_of(duration timeout);
    static awaitable<> pump(std::shared_ptr<state> self);
    awaitable<> rest(time_point wake);
    void watch(detail::port::watched_descriptor&);
    void deliver();
    void wake_all();

    duration timeout_;                 // of probe()
    std::vector<probe_lane> probes_;   // by timeout
    detail::waiter* parked_ = nullptr; // the pump's, while it rests
    bool pumping_ = false, closed_ = false;
    std::exception_ptr failure_;
};

} // namespace trawl::icmp
