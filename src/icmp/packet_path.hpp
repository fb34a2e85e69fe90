#pragma once

#include "icmp/channel.hpp"
#include "icmp/neighbour_table.hpp"
#include "icmp/packet_socket.hpp"
#include "icmp/route_monitor.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace trawl::icmp::detail {

/// How packet channels make and send their frames.
struct packet_options {
    echo_shape shape = {};
    std::optional<host> source = {}; ///< instead of the address that the way names
    std::uint32_t interface = 0;     ///< by this one only; 0: by any
    neighbour_table::limits table = {};
    std::size_t receive_buffer = 8u << 20; ///< bytes, as pinger::options::receive_buffer
};

/// Sends echoes as Ethernet frames by `output`, after it has asked the neighbours for their
/// addresses by itself: the half that packet channels have in common.
///
/// An echo whose next hop is not known is taken, waits in the table, and leaves in a later turn();
/// departures() tells when. One whose frame the kernel refuses then, though it had a chance for as
/// long as echoes are held, counts in drops(): it was lost by this machine. So does one that waits
/// while the routes change, as who was asked may no longer be the next hop.
class packet_path {
public:
    /// Questions and answers go by `questions`, echoes by `output`; both may be the same.
    packet_path(packet_options how, std::shared_ptr<route_monitor> by, packet_socket& questions,
                frame_output& output);

    /// Takes notice of routes that have changed. Ways are valid until the next call, or turn().
    void follow(time_point now);
    /// How frames go there; null where they cannot.
    way const* way_to(host const& target) const noexcept;

    /// As channel::send(), for echoes that leave by `by`.
    std::size_t send(std::span<parcel const> parcels, way const& by, int& failure);

    /// Reads answers and sends what waited for them, a batch of each at most, so that the replies
    /// can be read in between; asks again where it is time.
    void turn(time_point now);
    /// Of the last turn.
    std::span<channel::departed const> departures() const noexcept { return departed_; }

    time_point next_wake() const;
    std::uint64_t drops() { return questions_.drops() + lost_; }

    /// Whether the next hop has been asked for its address here.
    bool knows(host const& next_hop) const { return table_.is_asked(next_hop); }
    bool fits(way const& by) const noexcept {
        return how_.shape.packet_size(by.source.family) <= by.mtu;
    }

private:
    std::span<std::uint8_t> space(std::size_t index) noexcept {
        return std::span(frames_).subspan(index * frame_size_, frame_size_);
    }
    host const& source(way const& by) const noexcept {
        return how_.source ? *how_.source : by.source;
    }
    void place_echo(std::size_t index, parcel const&, way const&, mac const& to);
    void place_question(std::size_t index, host const& next_hop, way const&);
    std::size_t look_up(std::span<parcel const>, way const&, time_point now);
    void renew(host const& next_hop, way const&, time_point now);
    std::size_t send_echoes(std::span<parcel const>, way const&, int& failure);
    std::size_t send_questions(std::span<parcel const>, way const&, time_point now, int& failure);
    void listen(time_point now);
    void release(time_point now);
    void settle(std::size_t taken, int failure, time_point now);
    void ask_again(time_point now);

    packet_options how_;
    std::shared_ptr<route_monitor> monitor_;
    std::shared_ptr<routes const> routes_; // those that everything below refers to
    packet_socket& questions_;
    frame_output& output_;
    neighbour_table table_;
    std::size_t frame_size_;
    std::vector<std::uint8_t> frames_; // a batch
    std::array<bytes, channel::batch> placed_;
    std::array<std::optional<mac>, channel::batch> to_; // the next hops of those to be sent
    std::vector<neighbour_table::leaving> leaving_; // taken out of table_.ready, at most a batch
    std::vector<channel::departed> departed_;
    std::uint64_t lost_ = 0;
    std::uint16_t identification_ = 0;
    bool more_answers_ = false;
    time_point last_turn_{}, listened_{}, retry_at_{};
    duration backoff_{};
};

} // namespace trawl::icmp::detail
