#include "icmp/mapped_ring.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace trawl::icmp::detail {
namespace {

constexpr std::size_t block_size = 1u << 17;
// Frames that the device still has stay occupied; long ones are few.
constexpr std::size_t most_frames = 1024, send_memory = 4u << 20;
// An IPv6 reply of ours with what the kernel puts before it.
constexpr std::size_t reply_room = 192;
constexpr std::size_t longest_reply = 2048;

int set(int fd, int level, int option, int value) {
    return ::setsockopt(fd, level, option, &value, sizeof value);
}

// The kernel writes the status while we read it.
std::uint32_t status(std::uint8_t const* at) noexcept {
    return std::atomic_ref(*reinterpret_cast<std::uint32_t*>(const_cast<std::uint8_t*>(at)))
        .load(std::memory_order_acquire);
}
void set_status(std::uint8_t* at, std::uint32_t value) noexcept {
    std::atomic_ref(*reinterpret_cast<std::uint32_t*>(at)).store(value, std::memory_order_release);
}

mapped_socket fail(int fd, std::error_code& failure) {
    failure.assign(errno, std::system_category());
    if (fd >= 0) ::close(fd);
    return {};
}

template <class Request>
mapped_socket map(int fd, int option, Request const& wanted, std::size_t size,
                  std::error_code& failure) {
    if (::setsockopt(fd, SOL_PACKET, option, &wanted, sizeof wanted) != 0) return fail(fd, failure);
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return fail(fd, failure);
    failure.clear();
    return {fd, static_cast<std::uint8_t*>(at), size};
}

// Without the Ethernet header, addressed to this machine: echo replies with our identifier, and
// errors about requests with it. As the filter of the raw socket, but that also takes fragments.
int attach_filter(int fd, family f, std::uint16_t id) {
    auto load = [](int how, std::uint32_t at) {
        return sock_filter(BPF_STMT(static_cast<std::uint16_t>(BPF_LD | how), at));
    };
    auto equal = [](std::uint32_t value, std::uint8_t yes, std::uint8_t no) {
        return sock_filter(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no));
    };
    auto verdict = [](std::uint32_t length) {
        return sock_filter(BPF_STMT(BPF_RET | BPF_K, length));
    };
    auto const packet_type = static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PKTTYPE);
    sock_filter v4[] = {
        load(BPF_B | BPF_ABS, 9), // protocol
        equal(1, 0, 21),
        load(BPF_B | BPF_ABS, packet_type),
        equal(PACKET_HOST, 0, 19),
        load(BPF_H | BPF_ABS, 6), // fragments: none of ours is one
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 17, 0),
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), // x = length of the IP header
        load(BPF_B | BPF_IND, 0),               // ICMP type
        equal(0, 11, 0),                        // echo reply
        equal(3, 3, 0),                         // unreachable
        equal(11, 2, 0),                        // time exceeded
        equal(12, 1, 0),                        // parameter problem
        verdict(0),
        load(BPF_B | BPF_IND, 8), // of the quoted packet: version and header length
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x0f),
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 2),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        load(BPF_H | BPF_IND, 8 + 4), // identifier of the quoted request
        BPF_STMT(BPF_JMP | BPF_JA, 1),
        load(BPF_H | BPF_IND, 4), // identifier of the reply
        equal(id, 0, 1),
        verdict(longest_reply),
        verdict(0),
    };
    sock_filter v6[] = {
        load(BPF_B | BPF_ABS, 6), // next header
        equal(58, 0, 14),
        load(BPF_B | BPF_ABS, packet_type),
        equal(PACKET_HOST, 0, 12),
        load(BPF_B | BPF_ABS, 40), // ICMPv6 type
        equal(129, 7, 0),          // echo reply
        equal(1, 4, 0),            // unreachable
        equal(2, 3, 0),            // packet too big
        equal(3, 2, 0),            // time exceeded
        equal(4, 1, 0),            // parameter problem
        verdict(0),
        load(BPF_H | BPF_ABS, 40 + 8 + 40 + 4), // identifier of the quoted request
        BPF_STMT(BPF_JMP | BPF_JA, 1),
        load(BPF_H | BPF_ABS, 40 + 4), // identifier of the reply
        equal(id, 0, 1),
        verdict(longest_reply),
        verdict(0),
    };
    sock_fprog const program =
        f == family::v4 ? sock_fprog{std::size(v4), v4} : sock_fprog{std::size(v6), v6};
    return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

} // namespace

mapped_socket::~mapped_socket() {
    if (at_) ::munmap(at_, size_);
    if (fd_ >= 0) ::close(fd_);
}

// ---- sending ----

std::unique_ptr<send_ring> send_ring::open(std::size_t longest, std::error_code& failure) {
    int const fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || set(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2) != 0) {
        fail(fd, failure);
        return nullptr;
    }
    set(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1); // faster; without it sending works as well
    auto const frame = std::bit_ceil(TPACKET2_HDRLEN + longest);
    auto const count = std::clamp<std::size_t>(send_memory / frame, 1, most_frames);
    auto const size = count * frame;
    tpacket_req wanted{};
    wanted.tp_block_size = static_cast<unsigned>(std::max<std::size_t>(frame, 1u << 16));
    wanted.tp_block_nr = static_cast<unsigned>(size / wanted.tp_block_size);
    wanted.tp_frame_size = static_cast<unsigned>(frame);
    wanted.tp_frame_nr = static_cast<unsigned>(count);
    auto memory = map(fd, PACKET_TX_RING, wanted, size, failure);
    if (!memory) return nullptr;
    return std::unique_ptr<send_ring>(new send_ring(std::move(memory), frame));
}

// The kernel sends frame after frame while they wait to be sent, and stops at one that the device
// refuses: that one and those behind it still wait, and are taken back.
std::size_t send_ring::transmit(std::uint32_t interface, std::span<bytes const> frames,
                                int& failure) {
    auto head = [&](std::size_t i) { return memory_.at((next_ + i) % count_ * frame_); };
    std::size_t placed = 0;
    for (; placed < frames.size(); ++placed) {
        auto* const at = head(placed);
        if (status(at) != TP_STATUS_AVAILABLE) break;
        auto const length = static_cast<std::uint32_t>(frames[placed].size());
        std::memcpy(at + offsetof(tpacket2_hdr, tp_len), &length, sizeof length);
        std::ranges::copy(frames[placed], at + TPACKET2_HDRLEN - sizeof(sockaddr_ll));
        set_status(at, TP_STATUS_SEND_REQUEST);
    }
    if (placed == 0) return failure = ENOBUFS, 0;
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(interface);
    std::memcpy(&to.sll_protocol, &frames[0][12], sizeof to.sll_protocol);
    auto const* const name = reinterpret_cast<sockaddr const*>(&to);
    ssize_t result;
    do result = ::sendto(memory_.descriptor(), nullptr, 0, MSG_DONTWAIT, name, sizeof to);
    while (result < 0 && errno == EINTR);
    int const why = result < 0 ? errno : 0;
    std::size_t taken = 0;
    auto waits = [&](std::size_t i) {
        return (status(head(i)) & (TP_STATUS_SEND_REQUEST | TP_STATUS_WRONG_FORMAT)) != 0;
    };
    while (taken < placed && !waits(taken)) ++taken;
    for (std::size_t i = taken; i < placed; ++i) set_status(head(i), TP_STATUS_AVAILABLE);
    next_ = (next_ + taken) % count_;
    if (taken == 0) failure = why ? why : ENOBUFS;
    return taken;
}

// ---- receiving ----

std::unique_ptr<receive_ring> receive_ring::open(family f, std::uint16_t id, std::size_t size,
                                                 std::error_code& failure) {
    int const fd = ::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || attach_filter(fd, f, id) != 0 ||
        set(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V3) != 0) {
        fail(fd, failure);
        return nullptr;
    }
    std::size_t const blocks = std::clamp<std::size_t>(size / block_size, 4, 1024);
    tpacket_req3 wanted{};
    wanted.tp_block_size = block_size;
    wanted.tp_block_nr = static_cast<unsigned>(blocks);
    wanted.tp_frame_size = 4096; // the longest; packets are laid close together
    wanted.tp_frame_nr = static_cast<unsigned>(blocks * (block_size / wanted.tp_frame_size));
    wanted.tp_retire_blk_tov = 1;
    auto memory = map(fd, PACKET_RX_RING, wanted, blocks * block_size, failure);
    if (!memory) return nullptr;
    sockaddr_ll every{};
    every.sll_family = AF_PACKET;
    every.sll_protocol = htons(f == family::v4 ? ETH_P_IP : ETH_P_IPV6);
    if (::bind(fd, reinterpret_cast<sockaddr const*>(&every), sizeof every) != 0) {
        failure.assign(errno, std::system_category());
        return nullptr;
    }
    return std::unique_ptr<receive_ring>(new receive_ring(std::move(memory), f));
}

receive_ring::receive_ring(mapped_socket memory, detail::family f)
    : memory_(std::move(memory)), family_(f) {
    arrived_.reserve(channel::batch);
}

// False when the kernel has the next one still.
bool receive_ring::open_block() noexcept {
    auto const* const at = memory_.at(block_ * block_size);
    tpacket_block_desc const* const block = reinterpret_cast<tpacket_block_desc const*>(at);
    if (!(status(at + offsetof(tpacket_block_desc, hdr.bh1.block_status)) & TP_STATUS_USER))
        return false;
    left_ = block->hdr.bh1.num_pkts;
    packet_ = block_ * block_size + block->hdr.bh1.offset_to_first_pkt;
    return true;
}

std::span<channel::arrived const> receive_ring::receive(bool& more) {
    arrived_.clear();
    timespec stamp;
    ::clock_gettime(CLOCK_REALTIME, &stamp);
    auto const now = clock::now();
    auto const real = stamp.tv_sec * std::int64_t{1000000000} + stamp.tv_nsec;
    more = false;
    while (left_ > 0 || open_block()) {
        while (left_ > 0 && arrived_.size() < channel::batch) {
            tpacket3_hdr head;
            std::memcpy(&head, memory_.at(packet_), sizeof head);
            take(memory_.at(packet_), now, real);
            packet_ += head.tp_next_offset;
            --left_;
        }
        if (left_ > 0) {
            more = true;
            break;
        }
        set_status(
            memory_.at(block_ * block_size + offsetof(tpacket_block_desc, hdr.bh1.block_status)),
            TP_STATUS_KERNEL);
        block_ = (block_ + 1) % (memory_.size() / block_size);
    }
    return arrived_;
}

void receive_ring::take(std::uint8_t const* at, time_point now, std::int64_t real) {
    tpacket3_hdr head;
    std::memcpy(&head, at, sizeof head);
    sockaddr_ll link;
    std::memcpy(&link, at + TPACKET_ALIGN(sizeof head), sizeof link);
    bytes const packet(at + head.tp_net, head.tp_snaplen);
    bool const cut = head.tp_snaplen < head.tp_len;
    // The stamp is of the wall clock: what counts is how long ago that was.
    auto const waited = real - (head.tp_sec * std::int64_t{1000000000} + head.tp_nsec);
    bool const sane = waited >= 0 && waited < 60'000'000'000; // else the clock was set meanwhile
    channel::arrived a{.when = sane ? now - std::chrono::nanoseconds(waited) : now};
    if (family_ == family::v4) {
        if (auto const ip = parse_ipv4(packet)) {
            a.from = ip->source;
            a.hops_left = ip->hops_left;
            if (!cut) a.what = parse(family::v4, ip->payload);
        }
    } else if (auto const ip = parse_ipv6(packet)) {
        a.from = ip->source;
        if (a.from.octets[0] == 0xfe && (a.from.octets[1] & 0xc0) == 0x80)
            a.from.scope = static_cast<std::uint32_t>(link.sll_ifindex);
        a.hops_left = ip->hops_left;
        // A packet of this machine may not have its checksum yet, and one of a device need not.
        bool const proved = head.tp_status & (TP_STATUS_CSUMNOTREADY | TP_STATUS_CSUM_VALID);
        if (!cut && (proved || checksum_v6(ip->source, ip->destination, ip->payload) == 0))
            a.what = parse(family::v6, ip->payload);
    }
    arrived_.push_back(a);
}

std::uint64_t receive_ring::drops() noexcept {
    return drops_ += packet_drops(memory_.descriptor());
}

// One block may be with us, and one be handed over half empty.
std::size_t receive_ring::capacity() const noexcept {
    return (memory_.size() - 2 * block_size) / reply_room;
}

} // namespace trawl::icmp::detail
