#pragma once

#include "icmp/driver.hpp"
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

/// Who wants to know after a turn that something may have happened to his lane.
class listener {
public:
    virtual void notify() = 0;
    /// The pinger was closed or failed.
    virtual void wake() = 0;

protected:
    ~listener() = default;
};

/// One socket, its readiness, and why it is missing.
struct port {
    std::unique_ptr<socket_channel> socket;
    std::optional<asio::posix::stream_descriptor> readiness;
    bool watched = false;
    std::error_code missing;
    std::string said; ///< the kernel's words when it is missing

    ~port() {
        if (readiness) readiness->release(); // the channel closes it
    }
};

/// The sockets of a pinger.
struct ports {
    /// What cannot be opened has no socket.
    ports(asio::any_io_executor const& executor, pinger::options const&, std::uint16_t id);

    port const& of(family f) const noexcept { return f == family::v4 ? v4 : v6; }
    /// How many replies may arrive at once without loss.
    std::size_t window() const noexcept;

    port v4, v6;
    socket_kind kind = socket_kind::automatic;

private:
    void open(port&, family, asio::any_io_executor const&, pinger::options const&,
              std::uint16_t id);
};

} // namespace trawl::icmp::detail

namespace trawl::icmp {

/// What a pinger and its sweeps share. One coroutine, the pump, runs the driver's turns while there
/// is something outstanding or to send; it ends when there is not.
struct pinger::state : std::enable_shared_from_this<pinger::state> {
    state(asio::any_io_executor on, options const& configuration);

    static awaitable<std::optional<reply>> probe(std::shared_ptr<state> self,
                                                 asio::ip::address target);

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
    detail::lane& probes;
    std::vector<detail::listener*> listeners;
    detail::waiter_list asking; ///< the probes

private:
    struct question;

    static awaitable<> pump(std::shared_ptr<state> self);
    awaitable<> rest(time_point wake);
    void watch(detail::port&);
    void deliver();
    void wake_all();

    detail::waiter* parked_ = nullptr; // the pump's, while it rests
    bool pumping_ = false, closed_ = false;
    std::exception_ptr failure_;
};

} // namespace trawl::icmp
