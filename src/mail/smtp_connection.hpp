#pragma once

#include "mail/smtp_dialogue.hpp"
#include "net/tls.hpp"

#include <trawl/limiter.hpp>
#include <trawl/smtp.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/local/stream_protocol.hpp>

#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace trawl::smtp::detail {

/// A server, and what all connections to it share.
struct destination {
    /// Throws error for options that could forge a command.
    explicit destination(smtp::options with);

    /// The peer as messages name it.
    std::string peer() const;
    /// The name that its certificate has to have.
    std::string name() const;
    std::shared_ptr<net::tls_context> tls();
    /// TLS stands only with a certificate that is the server's.
    bool verifies() const noexcept;

    smtp::options options;
    std::deque<job_ptr> returned;     ///< to be sent again by whoever has a connection
    std::size_t members = 0;          ///< connections that share the work of send_all
    std::optional<error> unreachable; ///< why the last attempt to connect failed
    time_point hold_off{};            ///< no other attempt before

private:
    std::shared_ptr<net::tls_context> tls_;
};

/// Checks addresses and parameters, so that nothing in them becomes a command. Throws error.
void require_valid(outgoing const& one);
/// What throws as require_valid has not taken `one`.
job_ptr make_job(outgoing&& one);

/// RFC 5321 §4.1.4: the full name of this host; empty when it has none.
std::string host_name();

/// One connection to a destination and the dialogue on it.
class connection {
public:
    using done = std::function<void(std::uint64_t, receipt)>;

    connection(asio::any_io_executor executor, std::shared_ptr<destination> to)
        : executor_(std::move(executor)), to_(std::move(to)) {}
    connection(connection const&) = delete;
    connection& operator=(connection const&) = delete;

    void adopt(asio::ip::tcp::socket connected) { given_.emplace(std::move(connected)); }
    bool open() const noexcept { return talk_ != nullptr; }

    /// One message and its receipt; as client::send.
    awaitable<receipt> send(job_ptr one);
    /// As client::send_all. `opened` is called for each connection that stands; ends without taking
    /// more, at least one message given back, when no connection can be had and others share the work.
    awaitable<> send_all(queue<outgoing>& from, done const& report, pacer* pace, std::size_t most,
                         std::function<void()> const& opened);
    awaitable<> quit();

private:
    awaitable<> connect();
    awaitable<asio::ip::tcp::socket> reach();
    awaitable<asio::ip::tcp::socket> reach_greeted();
    awaitable<asio::local::stream_protocol::socket> reach_unix();
    awaitable<> start();
    awaitable<> advance();
    awaitable<> step();
    awaitable<bool> await_reply(time_point deadline);
    awaitable<> upload(std::string_view first);
    awaitable<> handshake();
    awaitable<> say_quit();
    error failure() const;
    std::chrono::milliseconds limit() const;
    static job_ptr accept(outgoing one, done const& report);
    job_ptr at_hand(queue<outgoing>& from, done const& report);
    awaitable<job_ptr> next(queue<outgoing>& from, pacer* pace, done const& report);
    awaitable<bool> ready(std::size_t most, std::function<void()> const& opened);
    awaitable<> announce_and_begin(job_ptr one);
    void begin(job_ptr one, bool alive = false);
    void settle(done const& report);
    void give_up(job_ptr one, error const& why, done const& report);
    void drop() noexcept {
        talk_.reset();
        wire_.reset();
    }

    asio::any_io_executor executor_;
    std::shared_ptr<destination> to_;
    std::optional<asio::ip::tcp::socket> given_;
    std::string local_; ///< our address in brackets
    bool loopback_ = false;
    time_point banner_until_{};
    std::size_t begun_ = 0; ///< messages on this connection
    std::unique_ptr<net::stream> wire_;
    std::unique_ptr<dialogue> talk_;
    std::array<char, 1024> buffer_;
};

} // namespace trawl::smtp::detail
