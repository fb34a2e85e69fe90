#include "icmp/socket.hpp"

#include "icmp/engine.hpp"
#include "icmp/packet_socket.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/net_tstamp.h>
#include <linux/sock_diag.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace trawl::icmp::detail {
namespace {

// An error quotes all of a short echo and may add padding and extensions (RFC 4884); a reply is as
// long as its echo, behind an IP header of up to 60 bytes. What is longer is none of ours.
constexpr std::size_t longest_error = 576, longest_ip_header = 60;
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
    std::optional<timespec> stamp = {}; ///< of arrival, or of sending in the error queue
    std::optional<std::uint8_t> hops_left = {};
    std::optional<sock_extended_err> error = {};
    std::optional<host> offender = {}; ///< who sent the ICMP error
};

// The address behind the error (SO_EE_OFFENDER); of family AF_UNSPEC when there is none.
std::optional<host> read_offender(cmsghdr const& c) {
    sockaddr_storage from{};
    auto const length = c.cmsg_len - CMSG_LEN(sizeof(sock_extended_err));
    std::memcpy(&from, CMSG_DATA(&c) + sizeof(sock_extended_err), std::min(length, sizeof from));
    if (from.ss_family != AF_INET && from.ss_family != AF_INET6) return std::nullopt;
    return read_address(from);
}

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
        else if (is(SOL_SOCKET, SCM_TIMESTAMPING))
            found.stamp = read(scm_timestamping{}).ts[0];
        else if (is(IPPROTO_IP, IP_TTL) || is(IPPROTO_IPV6, IPV6_HOPLIMIT))
            found.hops_left = static_cast<std::uint8_t>(read(int{}));
        else if (is(IPPROTO_IP, IP_RECVERR) || is(IPPROTO_IPV6, IPV6_RECVERR))
            found.error = read(sock_extended_err{}), found.offender = read_offender(*c);
    }
    return found;
}

class kernel_channel final : public socket_channel {
public:
    kernel_channel(int fd, settings s, pinger::options const& o)
        : fd_(fd), family_(s.family), kind_(s.kind),
          head_size_(echo_form{.payload = o.payload}.head_size()), stamps_(o.transmit_stamps),
          padding_(std::move(s.padding)),
          longest_(std::max(longest_error, longest_ip_header + head_size_ + padding_.size())),
          in_(batch * longest_) {
        for (std::size_t i = 0; i < batch; ++i) {
            in_parts_[i] = {in_.data() + i * longest_, longest_};
            in_heads_[i].msg_hdr = {&in_from_[i],
                                    sizeof in_from_[i],
                                    &in_parts_[i],
                                    1,
                                    in_notes_[i].data(),
                                    in_notes_[i].size(),
                                    0};
            out_parts_[i][1] = {padding_.data(), padding_.size()};
        }
        int granted = 0;
        socklen_t size = sizeof granted;
        if (::getsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &granted, &size) == 0)
            capacity_ = static_cast<std::size_t>(granted) / (charge + padding_.size());
    }
    ~kernel_channel() override { ::close(fd_); }

    std::span<int const> descriptors() const override { return {&fd_, 1}; }
    std::size_t capacity() const override { return capacity_; }
    std::size_t send(std::span<parcel const> parcels, int& failure) override;
    std::span<arrived const> receive(bool& more) override;
    std::span<departed const> departures() override;
    std::uint64_t drops() override;

private:
    int send_once(unsigned count) {
        int taken;
        do taken = ::sendmmsg(fd_, out_heads_.data(), count, 0);
        while (taken < 0 && errno == EINTR);
        return taken;
    }
    void set_hop_limit(msghdr&, std::size_t index, std::uint8_t hops);
    void read_clocks();
    void read_errors();
    bool read_error();
    void take_error(notes const&, host const& about, bytes request);
    void take_stamp(bytes packet, timespec const& stamp);
    time_point steady_time(timespec const& stamp) const;

    int fd_;
    detail::family family_;
    socket_kind kind_;
    std::size_t head_size_;
    bool stamps_;
    std::vector<std::uint8_t> padding_;
    std::size_t longest_;
    std::size_t capacity_ = 1;
    std::uint32_t drops_last_ = 0;
    std::uint64_t drops_ = 0;
    timespec real_{};
    time_point steady_{};

    struct alignas(cmsghdr) note_space : std::array<std::uint8_t, 256> {};
    struct alignas(cmsghdr) hop_space : std::array<std::uint8_t, CMSG_SPACE(sizeof(int))> {};
    std::array<mmsghdr, batch> out_heads_{}, in_heads_{};
    std::array<std::array<iovec, 2>, batch> out_parts_{};
    std::array<iovec, batch> in_parts_{};
    std::array<sockaddr_storage, batch> out_to_{}, in_from_{};
    std::array<hop_space, batch> out_hops_;
    std::vector<std::uint8_t> in_;
    std::array<note_space, batch> in_notes_;
    std::vector<arrived> arrived_, errors_;
    std::vector<departed> departed_, told_;
    std::vector<std::uint8_t> error_data_ = std::vector<std::uint8_t>(longest_ + 128);
};

void kernel_channel::set_hop_limit(msghdr& m, std::size_t index, std::uint8_t hops) {
    m.msg_control = out_hops_[index].data();
    m.msg_controllen = out_hops_[index].size();
    auto* c = CMSG_FIRSTHDR(&m);
    bool const v4 = family_ == family::v4;
    c->cmsg_level = v4 ? static_cast<int>(IPPROTO_IP) : static_cast<int>(IPPROTO_IPV6);
    c->cmsg_type = v4 ? IP_TTL : IPV6_HOPLIMIT;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    int const value = hops;
    std::memcpy(CMSG_DATA(c), &value, sizeof value);
}

std::size_t kernel_channel::send(std::span<parcel const> parcels, int& failure) {
    auto const count = std::min(parcels.size(), batch);
    for (std::size_t i = 0; i < count; ++i) {
        // The kernel does not write through an iovec that it sends from.
        out_parts_[i][0] = {const_cast<std::uint8_t*>(parcels[i].bytes.data()), head_size_};
        auto const length = write_address(parcels[i].target, out_to_[i]);
        auto const parts = padding_.empty() ? 1u : 2u;
        out_heads_[i].msg_hdr = {&out_to_[i], length, out_parts_[i].data(), parts, nullptr, 0, 0};
        if (parcels[i].hop_limit != 0)
            set_hop_limit(out_heads_[i].msg_hdr, i, parcels[i].hop_limit);
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

void kernel_channel::read_clocks() {
    ::clock_gettime(CLOCK_REALTIME, &real_);
    steady_ = clock::now();
}

// The stamp is of the wall clock. Its distance from now is how long ago that was.
time_point kernel_channel::steady_time(timespec const& stamp) const {
    auto const ago = std::chrono::seconds(real_.tv_sec - stamp.tv_sec) +
                     std::chrono::nanoseconds(real_.tv_nsec - stamp.tv_nsec);
    // Beyond this the wall clock was set meanwhile.
    bool const sane = ago >= duration::zero() && ago < std::chrono::seconds(60);
    return sane ? steady_ - ago : steady_;
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
    read_clocks();
    for (std::size_t i = 0; static_cast<int>(i) < count; ++i) {
        auto& head = in_heads_[i].msg_hdr;
        auto data = bytes(in_).subspan(i * longest_, in_heads_[i].msg_len);
        auto const told = read_notes(head);
        arrived a{.hops_left = told.hops_left};
        a.when = told.stamp ? steady_time(*told.stamp) : steady_;
        a.from = read_address(in_from_[i]);
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

std::span<channel::departed const> kernel_channel::departures() {
    if (!stamps_) return {};
    if (kind_ == socket_kind::raw) read_errors();
    std::swap(told_, departed_);
    departed_.clear();
    return told_;
}

void kernel_channel::read_errors() {
    read_clocks();
    for (std::size_t i = 0; i < batch * 4; ++i)
        if (!read_error()) return;
}

// Each entry of the error queue is an ICMP error and the echo that it quotes, from the ICMP header
// on (datagram sockets only), or an echo of ours and when it left.
bool kernel_channel::read_error() {
    auto& data = error_data_;
    note_space space;
    sockaddr_storage about{};
    iovec part{data.data(), data.size()};
    msghdr head{&about, sizeof about, &part, 1, space.data(), space.size(), 0};
    auto const length = ::recvmsg(fd_, &head, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (length < 0) return false;
    auto const told = read_notes(head);
    if (!told.error) return true;
    auto const packet = bytes(data).first(static_cast<std::size_t>(length));
    auto const origin = told.error->ee_origin;
    if (origin == SO_EE_ORIGIN_ICMP || origin == SO_EE_ORIGIN_ICMP6)
        take_error(told, read_address(about), packet);
    else if (origin == SO_EE_ORIGIN_TIMESTAMPING && told.stamp)
        take_stamp(packet, *told.stamp);
    return true;
}

void kernel_channel::take_error(notes const& told, host const& about, bytes request) {
    arrived a{.from = told.offender.value_or(about), .when = clock::now()};
    a.what = parse_quoted(family_, told.error->ee_type, told.error->ee_code, request);
    a.what.destination = about;
    errors_.push_back(a);
}

// The packet as it went to the device: what its headers are, only the device knows; the echo is its
// end.
void kernel_channel::take_stamp(bytes packet, timespec const& stamp) {
    auto const size = head_size_ + padding_.size();
    if (packet.size() < size) return;
    auto const sent = parse_quoted(family_, 0, 0, packet.last(size));
    if (sent.proof) departed_.push_back({sent.proof->number, steady_time(stamp)});
}

// SO_RXQ_OVFL would count only with the next packet that gets through: nothing after the last one.
std::uint64_t kernel_channel::drops() {
    std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
    socklen_t size = sizeof memory;
    if (::getsockopt(fd_, SOL_SOCKET, SO_MEMINFO, memory.data(), &size) != 0) return drops_;
    drops_ += memory[SK_MEMINFO_DROPS] - std::exchange(drops_last_, memory[SK_MEMINFO_DROPS]);
    return drops_;
}

// What the user asked for; false when the kernel cannot do it.
bool apply(int fd, bool v4, pinger::options const& o) {
    auto set_ip = [&](int ipv4_option, int ipv6_option, int value) {
        return v4 ? set(fd, IPPROTO_IP, ipv4_option, value) == 0
                  : set(fd, IPPROTO_IPV6, ipv6_option, value) == 0;
    };
    if (o.hop_limit && !set_ip(IP_TTL, IPV6_UNICAST_HOPS, o.hop_limit)) return false;
    if (o.traffic_class && !set_ip(IP_TOS, IPV6_TCLASS, o.traffic_class)) return false;
    if (o.dont_fragment && !set_ip(IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO))
        return false;
    if (o.mark && set(fd, SOL_SOCKET, SO_MARK, static_cast<int>(o.mark)) != 0) return false;
    if (!o.interface.empty() && ::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, o.interface.data(),
                                             static_cast<socklen_t>(o.interface.size())) != 0)
        return false;
    if (o.source && o.source->is_v4() == v4) {
        sockaddr_storage from{};
        auto const length = write_address(host(*o.source), from);
        if (::bind(fd, reinterpret_cast<sockaddr const*>(&from), length) != 0) return false;
    }
    return true;
}

bool prepare(int fd, socket_channel::settings const& s, pinger::options const& o) {
    bool const v4 = s.family == family::v4;
    bool const raw = s.kind == socket_kind::raw;
    if (set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1) != 0) return false;
    if (o.transmit_stamps && set(fd, SOL_SOCKET, SO_TIMESTAMPING,
                                 SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE) != 0)
        return false;
    if (raw && (filter_types(fd, s.family) != 0 || attach_filter(fd, s.family, s.id) != 0))
        return false;
    if (!raw &&
        (v4 ? set(fd, IPPROTO_IP, IP_RECVERR, 1) : set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1)) != 0)
        return false;
    // Only the hop count of the answer depends on it. A raw IPv4 socket reads it from the header.
    if (!v4)
        set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    else if (!raw)
        set(fd, IPPROTO_IP, IP_RECVTTL, 1);
    return apply(fd, v4, o);
}

} // namespace

std::unique_ptr<socket_channel> socket_channel::open(settings s, pinger::options const& o,
                                                     std::error_code& failure) {
    assert(s.kind == socket_kind::raw || s.kind == socket_kind::datagram);
    bool const v4 = s.family == family::v4;
    int const type = s.kind == socket_kind::raw ? SOCK_RAW : SOCK_DGRAM;
    int const fd = ::socket(v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK,
                            v4 ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6));
    if (fd < 0) {
        failure = last_error();
        return nullptr;
    }
    enlarge_receive_buffer(fd, o.receive_buffer);
    if (!prepare(fd, s, o)) {
        failure = last_error();
        ::close(fd);
        return nullptr;
    }
    // What came before the filter was there is somebody else's.
    for (int i = 0; i < 4096 && ::recv(fd, nullptr, 0, MSG_DONTWAIT | MSG_TRUNC) >= 0; ++i) {
    }
    failure.clear();
    return std::make_unique<kernel_channel>(fd, std::move(s), o);
}

} // namespace trawl::icmp::detail
