#include "icmp/socket.hpp"

#include "icmp/engine.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/sock_diag.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace trawl::icmp::detail {
namespace {

// Echoes are 60 or 80 bytes with their IP header; an error quotes all of one and may add padding
// and extensions (RFC 4884). What is longer is none of ours.
constexpr std::size_t longest = 576;
// What one reply of ours is charged against the receive buffer (sk_buff included), measured.
constexpr std::size_t charge = 832;

std::error_code last_error() { return {errno, std::system_category()}; }

int set(int fd, int level, int option, int value) {
    return ::setsockopt(fd, level, option, &value, sizeof value);
}

socklen_t write_address(host const& to, sockaddr_storage& into) noexcept {
    if (to.family == family::v4) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        std::memcpy(&v4.sin_addr, to.octets.data(), 4);
        std::memcpy(&into, &v4, sizeof v4);
        return sizeof v4;
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_scope_id = to.scope;
    std::memcpy(&v6.sin6_addr, to.octets.data(), 16);
    std::memcpy(&into, &v6, sizeof v6);
    return sizeof v6;
}

host read_address(sockaddr_storage const& from) noexcept {
    host found;
    if (from.ss_family == AF_INET6) {
        sockaddr_in6 v6;
        std::memcpy(&v6, &from, sizeof v6);
        found.family = family::v6;
        found.scope = v6.sin6_scope_id;
        std::memcpy(found.octets.data(), &v6.sin6_addr, 16);
    } else {
        sockaddr_in v4;
        std::memcpy(&v4, &from, sizeof v4);
        std::memcpy(found.octets.data(), &v4.sin_addr, 4);
    }
    return found;
}

// Lets replies to and errors about our identifier through; everything else never reaches the
// receive buffer. An IPv4 raw socket sees the IP header first, an IPv6 one begins with ICMPv6.
int attach_filter(int fd, family f, std::uint16_t id) {
    auto load_byte = [](std::uint32_t at) {
        return sock_filter(BPF_STMT(BPF_LD | BPF_B | BPF_ABS, at));
    };
    auto load_byte_x = [](std::uint32_t at) {
        return sock_filter(BPF_STMT(BPF_LD | BPF_B | BPF_IND, at));
    };
    auto load_half = [](std::uint32_t at) {
        return sock_filter(BPF_STMT(BPF_LD | BPF_H | BPF_ABS, at));
    };
    auto load_half_x = [](std::uint32_t at) {
        return sock_filter(BPF_STMT(BPF_LD | BPF_H | BPF_IND, at));
    };
    auto equal = [](std::uint32_t value, std::uint8_t yes, std::uint8_t no) {
        return sock_filter(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no));
    };
    auto verdict = [](std::uint32_t bytes) {
        return sock_filter(BPF_STMT(BPF_RET | BPF_K, bytes));
    };
    sock_filter v4[] = {
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), // x = length of the IP header
        load_byte_x(0),                         // ICMP type
        equal(0, 11, 0),                        // echo reply
        equal(3, 3, 0),                         // unreachable
        equal(11, 2, 0),                        // time exceeded
        equal(12, 1, 0),                        // parameter problem
        verdict(0),
        load_byte_x(8), // of the quoted packet: version and header length
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x0f),
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 2),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        load_half_x(8 + 4), // identifier of the quoted request
        BPF_STMT(BPF_JMP | BPF_JA, 1),
        load_half_x(4), // identifier of the reply
        equal(id, 0, 1),
        verdict(0xffffffff),
        verdict(0),
    };
    sock_filter v6[] = {
        load_byte(0),     // ICMPv6 type
        equal(129, 7, 0), // echo reply
        equal(1, 4, 0),   // unreachable
        equal(2, 3, 0),   // packet too big
        equal(3, 2, 0),   // time exceeded
        equal(4, 1, 0),   // parameter problem
        verdict(0),
        load_half(8 + 40 + 4), // identifier of the quoted request
        BPF_STMT(BPF_JMP | BPF_JA, 1),
        load_half(4), // identifier of the reply
        equal(id, 0, 1),
        verdict(0xffffffff),
        verdict(0),
    };
    sock_fprog const program =
        f == family::v4 ? sock_fprog{std::size(v4), v4} : sock_fprog{std::size(v6), v6};
    return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

// The filter on the type runs before the packet is even copied for this socket.
int filter_types(int fd, family f) {
    if (f == family::v4) {
        icmp_filter blocked{~(1u << 0 | 1u << 3 | 1u << 11 | 1u << 12)};
        return ::setsockopt(fd, SOL_RAW, ICMP_FILTER, &blocked, sizeof blocked);
    }
    icmp6_filter pass;
    ICMP6_FILTER_SETBLOCKALL(&pass);
    for (int type : {1, 2, 3, 4, 129}) ICMP6_FILTER_SETPASS(type, &pass);
    return ::setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &pass, sizeof pass);
}

/// What the ancillary data of a packet tells.
struct notes {
    std::optional<timespec> stamp = {};
    std::optional<std::uint8_t> hops_left = {};
    std::optional<sock_extended_err> error = {};
};

notes read_notes(msghdr& m) {
    notes found;
    for (auto* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        auto is = [&](int level, int type) {
            return c->cmsg_level == level && c->cmsg_type == type;
        };
        auto read = [&]<class T>(T value) {
            std::memcpy(&value, CMSG_DATA(c), sizeof value);
            return value;
        };
        if (is(SOL_SOCKET, SCM_TIMESTAMPNS))
            found.stamp = read(timespec{});
        else if (is(IPPROTO_IP, IP_TTL) || is(IPPROTO_IPV6, IPV6_HOPLIMIT))
            found.hops_left = static_cast<std::uint8_t>(read(int{}));
        else if (is(IPPROTO_IP, IP_RECVERR) || is(IPPROTO_IPV6, IPV6_RECVERR))
            found.error = read(sock_extended_err{});
    }
    return found;
}

class kernel_channel final : public socket_channel {
public:
    kernel_channel(int fd, detail::family f, socket_kind kind) : fd_(fd), family_(f), kind_(kind) {
        for (std::size_t i = 0; i < batch; ++i) {
            in_parts_[i] = {in_[i].data(), in_[i].size()};
            in_heads_[i].msg_hdr = {&in_from_[i],
                                    sizeof in_from_[i],
                                    &in_parts_[i],
                                    1,
                                    in_notes_[i].data(),
                                    in_notes_[i].size(),
                                    0};
        }
        int granted = 0;
        socklen_t size = sizeof granted;
        if (::getsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &granted, &size) == 0)
            capacity_ = static_cast<std::size_t>(granted) / charge;
    }
    ~kernel_channel() override { ::close(fd_); }

    int descriptor() const noexcept override { return fd_; }
    std::size_t capacity() const override { return capacity_; }
    std::size_t send(std::span<parcel const> parcels, int& failure) override;
    std::span<arrived const> receive(bool& more) override;
    std::uint64_t drops() override;

private:
    int send_once(unsigned count) {
        int taken;
        do taken = ::sendmmsg(fd_, out_heads_.data(), count, 0);
        while (taken < 0 && errno == EINTR);
        return taken;
    }
    void add(mmsghdr& head, bytes data, std::time_t real, time_point steady);
    void read_errors();
    time_point arrival(timespec const& stamp) const;

    int fd_;
    detail::family family_;
    socket_kind kind_;
    std::size_t capacity_ = 1;
    std::uint32_t drops_last_ = 0;
    std::uint64_t drops_ = 0;
    timespec real_{};
    time_point steady_{};

    std::array<mmsghdr, batch> out_heads_{}, in_heads_{};
    std::array<iovec, batch> out_parts_{}, in_parts_{};
    std::array<sockaddr_storage, batch> out_to_{}, in_from_{};
    std::array<std::array<std::uint8_t, longest>, batch> in_;
    struct alignas(cmsghdr) note_space : std::array<std::uint8_t, 128> {};
    std::array<note_space, batch> in_notes_;
    std::vector<arrived> arrived_, errors_;
};

std::size_t kernel_channel::send(std::span<parcel const> parcels, int& failure) {
    auto const count = std::min(parcels.size(), batch);
    for (std::size_t i = 0; i < count; ++i) {
        // The kernel does not write through an iovec that it sends from.
        out_parts_[i] = {const_cast<std::uint8_t*>(parcels[i].bytes.data()), echo_size};
        auto const length = write_address(parcels[i].target, out_to_[i]);
        out_heads_[i].msg_hdr = {&out_to_[i], length, &out_parts_[i], 1, nullptr, 0, 0};
    }
    // A datagram socket reports an ICMP error about an earlier echo by failing the next call.
    // Taking it out of the error queue first leaves the failures that belong to this one.
    for (int attempt = 0;; ++attempt) {
        int const taken = send_once(static_cast<unsigned>(count));
        if (taken > 0) return static_cast<std::size_t>(taken);
        failure = taken < 0 ? errno : EAGAIN;
        if (kind_ != socket_kind::datagram || engine::short_of_buffers(failure) || attempt == 3)
            return 0;
        read_errors();
    }
}

// The stamp is of the wall clock. Its distance from now is what the packet waited in the buffer.
time_point kernel_channel::arrival(timespec const& stamp) const {
    auto const waited = std::chrono::seconds(real_.tv_sec - stamp.tv_sec) +
                        std::chrono::nanoseconds(real_.tv_nsec - stamp.tv_nsec);
    // Beyond this the wall clock was set meanwhile.
    bool const sane = waited >= duration::zero() && waited < std::chrono::seconds(60);
    return sane ? steady_ - waited : steady_;
}

std::span<channel::arrived const> kernel_channel::receive(bool& more) {
    arrived_.clear();
    if (kind_ == socket_kind::datagram) read_errors();
    std::swap(arrived_, errors_);
    for (auto& head : in_heads_) {
        head.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
        head.msg_hdr.msg_controllen = in_notes_[0].size();
        head.msg_hdr.msg_flags = 0;
    }
    int const count = ::recvmmsg(fd_, in_heads_.data(), batch, MSG_DONTWAIT, nullptr);
    // An error of an earlier echo that came after read_errors() fails the call once.
    more =
        count == static_cast<int>(batch) || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
    ::clock_gettime(CLOCK_REALTIME, &real_);
    steady_ = clock::now();
    for (int i = 0; i < count; ++i) {
        auto& head = in_heads_[static_cast<std::size_t>(i)].msg_hdr;
        auto data = bytes(in_[static_cast<std::size_t>(i)])
                        .first(in_heads_[static_cast<std::size_t>(i)].msg_len);
        auto const told = read_notes(head);
        arrived a{.hops_left = told.hops_left, .when = told.stamp ? arrival(*told.stamp) : steady_};
        a.from = read_address(in_from_[static_cast<std::size_t>(i)]);
        bool whole = !(head.msg_flags & MSG_TRUNC);
        if (kind_ == socket_kind::raw && family_ == family::v4) {
            auto const packet = parse_ipv4(data);
            whole = whole && packet;
            if (packet) a.hops_left = packet->hops_left, data = packet->payload;
        }
        if (whole) a.what = parse(family_, data);
        arrived_.push_back(a);
    }
    return arrived_;
}

// Each entry is an ICMP error and the echo that it quotes, from the ICMP header on.
void kernel_channel::read_errors() {
    for (std::size_t i = 0; i < batch; ++i) {
        std::array<std::uint8_t, longest> data;
        note_space space;
        sockaddr_storage about{};
        iovec part{data.data(), data.size()};
        msghdr head{&about, sizeof about, &part, 1, space.data(), space.size(), 0};
        auto const length = ::recvmsg(fd_, &head, MSG_ERRQUEUE | MSG_DONTWAIT);
        if (length < 0) return;
        auto const told = read_notes(head);
        bool const from_network = told.error && (told.error->ee_origin == SO_EE_ORIGIN_ICMP ||
                                                 told.error->ee_origin == SO_EE_ORIGIN_ICMP6);
        if (!from_network) continue;
        arrived a{.from = read_address(about), .when = clock::now()};
        a.what = parse_quoted(family_, told.error->ee_type, told.error->ee_code,
                              bytes(data).first(static_cast<std::size_t>(length)));
        a.what.destination = a.from;
        errors_.push_back(a);
    }
}

// SO_RXQ_OVFL would count only with the next packet that gets through: nothing after the last one.
std::uint64_t kernel_channel::drops() {
    std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
    socklen_t size = sizeof memory;
    if (::getsockopt(fd_, SOL_SOCKET, SO_MEMINFO, memory.data(), &size) != 0) return drops_;
    drops_ += memory[SK_MEMINFO_DROPS] - std::exchange(drops_last_, memory[SK_MEMINFO_DROPS]);
    return drops_;
}

// SO_RCVBUFFORCE passes over net.core.rmem_max and needs CAP_NET_ADMIN.
void enlarge(int fd, std::size_t wanted) {
    int const size = static_cast<int>(std::min<std::size_t>(wanted, 1u << 30));
    if (size > 0 && set(fd, SOL_SOCKET, SO_RCVBUFFORCE, size) != 0)
        set(fd, SOL_SOCKET, SO_RCVBUF, size);
}

bool prepare(int fd, family f, socket_kind kind, std::uint16_t id) {
    bool const v4 = f == family::v4;
    if (set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1) != 0) return false;
    if (kind == socket_kind::raw && (filter_types(fd, f) != 0 || attach_filter(fd, f, id) != 0))
        return false;
    if (kind == socket_kind::datagram &&
        (v4 ? set(fd, IPPROTO_IP, IP_RECVERR, 1) : set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1)) != 0)
        return false;
    // Only the hop count of the answer depends on it. A raw IPv4 socket reads it from the header.
    if (!v4)
        set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    else if (kind == socket_kind::datagram)
        set(fd, IPPROTO_IP, IP_RECVTTL, 1);
    return true;
}

} // namespace

std::unique_ptr<socket_channel> socket_channel::open(family f, socket_kind kind, std::uint16_t id,
                                                     std::size_t receive_buffer,
                                                     std::error_code& failure) {
    assert(kind != socket_kind::automatic);
    bool const v4 = f == family::v4;
    int const type = kind == socket_kind::raw ? SOCK_RAW : SOCK_DGRAM;
    int const fd = ::socket(v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK,
                            v4 ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6));
    if (fd < 0) {
        failure = last_error();
        return nullptr;
    }
    enlarge(fd, receive_buffer);
    if (!prepare(fd, f, kind, id)) {
        failure = last_error();
        ::close(fd);
        return nullptr;
    }
    failure.clear();
    return std::make_unique<kernel_channel>(fd, f, kind);
}

} // namespace trawl::icmp::detail
