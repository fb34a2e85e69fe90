#pragma once

#include "icmp/channel.hpp"
#include "icmp/packet_socket.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace trawl::icmp::detail {

/// Memory that a packet socket shares with the kernel (packet(7), PACKET_MMAP), and the socket.
class mapped_socket {
public:
    mapped_socket() = default;
    mapped_socket(int fd, std::uint8_t* at, std::size_t size) noexcept
        : fd_(fd), at_(at), size_(size) {}
    mapped_socket(mapped_socket&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)), at_(std::exchange(other.at_, nullptr)),
          size_(other.size_) {}
    mapped_socket& operator=(mapped_socket&&) = delete;
    ~mapped_socket();

    explicit operator bool() const noexcept { return fd_ >= 0; }
    int descriptor() const noexcept { return fd_; }
    std::uint8_t* at(std::size_t offset) const noexcept { return at_ + offset; }
    std::size_t size() const noexcept { return size_; }

private:
    int fd_ = -1;
    std::uint8_t* at_ = nullptr;
    std::size_t size_ = 0;
};

/// Frames are laid into a ring and sent by one system call, past the queueing discipline.
class send_ring final : public frame_output {
public:
    /// For frames of up to `longest` bytes. Null with `failure`.
    static std::unique_ptr<send_ring> open(std::size_t longest, std::error_code& failure);

    std::size_t transmit(std::uint32_t interface, std::span<bytes const> frames,
                         int& failure) override;

private:
    send_ring(mapped_socket memory, std::size_t frame) noexcept
        : memory_(std::move(memory)), frame_(frame), count_(memory_.size() / frame) {}

    mapped_socket memory_;
    std::size_t frame_, count_;
    std::size_t next_ = 0; // the kernel's place is the same between two calls
};

/// The kernel fills blocks with replies to, and errors about, echoes with one identifier, each with
/// its time of arrival; a block is handed over when it is full or 1 ms old.
class receive_ring {
public:
    /// Of about `size` bytes. Null with `failure`.
    static std::unique_ptr<receive_ring> open(family, std::uint16_t id, std::size_t size,
                                              std::error_code& failure);

    std::span<channel::arrived const> receive(bool& more);
    std::uint64_t drops() noexcept;
    std::size_t capacity() const noexcept;
    int descriptor() const noexcept { return memory_.descriptor(); }

private:
    receive_ring(mapped_socket memory, detail::family f);
    bool open_block() noexcept;
    void take(std::uint8_t const* head, time_point now, std::int64_t real);

    mapped_socket memory_;
    detail::family family_;
    std::size_t block_ = 0;  // the one that is read, or is read next
    std::uint32_t left_ = 0; // packets of it that have not been read
    std::size_t packet_ = 0; // where the next one is
    std::uint64_t drops_ = 0;
    std::vector<channel::arrived> arrived_;
};

} // namespace trawl::icmp::detail
