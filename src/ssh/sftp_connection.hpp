#pragma once

#include "ssh/sftp_packets.hpp"
#include "ssh/subsystem.hpp"

#include <trawl/detail/parking.hpp>
#include <trawl/limiter.hpp>
#include <trawl/sftp.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trawl::sftp::detail {

/// Requests and their replies, matched by id: any number in flight, answered in any order.
///
///     start(packet) ──> stream ──> server          a flight that is destroyed before its reply came
///          │                          │            is forgotten; a file that such a reply opens is
///        flight <── id ── packets <───┘            closed again
///
/// The server's bytes are trusted in nothing: a packet that is no reply to a request of ours ends
/// the connection.
class connection : public std::enable_shared_from_this<connection> {
    struct slot {
        std::optional<detail::reply> answer{};
        trawl::detail::waiter_list waiting{};
    };

public:
    /// A request on its way.
    class flight {
    public:
        flight() = default;
        flight(flight&& other) noexcept = default;
        flight& operator=(flight&& other) noexcept {
            forget();
            owner_ = std::move(other.owner_), id_ = other.id_, place_ = std::move(other.place_);
            return *this;
        }
        ~flight() { forget(); }

        bool answered() const noexcept { return place_ && place_->answer.has_value(); }
        /// Waits for the reply; once only. Throws what ended the connection, or
        /// error(errc::timed_out) when the server was silent for options.timeout.
        awaitable<detail::reply> reply();
        /// The reply that is there.
        detail::reply take();

    private:
        friend class connection;
        void forget() noexcept;
        std::shared_ptr<connection> owner_;
        std::uint32_t id_ = 0;
        std::unique_ptr<slot> place_;
    };

    connection(std::unique_ptr<ssh::detail::byte_stream> stream, options how);
    connection(connection const&) = delete;
    connection& operator=(connection const&) = delete;
    ~connection();

    /// Versions and limits (§4, limits@openssh.com).
    awaitable<> handshake();
    /// One like this over a further channel of the session, ready; null when there is none. Works on
    /// this one's pool and does not outlive it.
    awaitable<std::shared_ptr<connection>> another();

    /// A packet of this type with a new id.
    packet_writer request(packet type) { return packet_writer(type, next_id_++); }
    packet_writer extension(std::string_view name);
    /// An id for a request that is built elsewhere.
    std::uint32_t take_id() noexcept { return next_id_++; }

    /// Sends a request that was begun with request() or extension().
    flight start(packet_writer& request);
    /// Sends requests that stand one behind the other, with these ids.
    std::vector<flight> start(std::string packets, std::vector<std::uint32_t> const& ids);
    /// Sends a request whose reply nobody waits for.
    void start_and_forget(packet_writer& request);
    awaitable<detail::reply> call(packet_writer& request);

    /// Sends what is queued now: for clean-up just before the end.
    void flush() { stream_->flush(); }

    // What a reply means; all throw failure. `operation` and `path` are for the message.
    void expect_ok(reply const& from, std::string_view operation, std::string const& path) const;
    template <class T>
    T expect(std::optional<T> parsed, reply const& from, std::string_view operation,
             std::string const& path) const {
        if (!parsed) throw_unexpected(from, operation, path);
        return std::move(*parsed);
    }
    [[noreturn]] void throw_unexpected(reply const& from, std::string_view operation,
                                       std::string const& path) const;
    failure failed(std::error_code code, std::string_view operation, std::string path,
                   std::string said = {}) const {
        return failure(code, peer(), operation, std::move(path), std::move(said));
    }

    bool supports(std::string_view extension) const {
        return server_.extensions.count(std::string(extension)) > 0;
    }
    std::string const& peer() const noexcept { return stream_->peer(); }
    options const& how() const noexcept { return how_; }
    limiter& budget() noexcept { return budget_; }
    offload_pool& blocking() noexcept { return *pool_; }
    std::size_t read_size() const noexcept { return read_size_; }
    std::size_t write_size() const noexcept { return write_size_; }

private:
    flight expect_reply(std::uint32_t id);
    void take_bytes(std::string_view bytes);
    void take_packet(std::string packet);
    void close_unclaimed(detail::reply const& late);
    void break_off(std::exception_ptr why) noexcept;
    awaitable<> wait_for(slot& place);

    std::unique_ptr<ssh::detail::byte_stream> stream_;
    options how_;
    std::unique_ptr<offload_pool> own_pool_;
    offload_pool* pool_;
    limiter budget_;
    std::size_t read_size_, write_size_;
    packet_stream packets_;
    version server_;
    bool greeted_ = false;
    trawl::detail::waiter_list greeting_;
    std::uint32_t next_id_ = 0;
    std::unordered_map<std::uint32_t, slot*> flights_; // null: nobody waits any more
    std::exception_ptr broken_;
    time_point heard_{};
};

} // namespace trawl::sftp::detail
