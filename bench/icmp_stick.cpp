// The measuring stick of icmp.sh: what the kernel allows when next to nothing is around it. One raw
// socket, batches of sendmmsg, everything that has arrived read after each, no retry.
//
//     bench-icmp-stick FIRST COUNT [TIMEOUT_MS]
//
// asks COUNT addresses from FIRST on and prints "alive N of COUNT"; it waits until all have answered,
// or TIMEOUT_MS (500) behind the last send.
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

constexpr std::size_t batch = 64, echo_size = 32; // as trawl's echoes

bool v6 = false;
int fd = -1;
std::uint16_t const id = static_cast<std::uint16_t>(::getpid()); // as it is in the packets
sockaddr_storage first{}; // the last 32 bits of its address number the targets
std::uint32_t count = 0, alive = 0;
std::vector<bool> seen;

[[noreturn]] void fail(char const* what) {
    std::perror(what);
    std::exit(2);
}

std::size_t last_octets() {
    return v6 ? offsetof(sockaddr_in6, sin6_addr) + 12 : offsetof(sockaddr_in, sin_addr);
}

sockaddr_storage address(std::uint32_t index) {
    auto made = first;
    auto* const at = reinterpret_cast<std::uint8_t*>(&made) + last_octets();
    std::uint32_t number;
    std::memcpy(&number, at, 4);
    number = htonl(ntohl(number) + index);
    std::memcpy(at, &number, 4);
    return made;
}

struct proof {
    explicit proof(std::uint32_t index = 0)
        : which(index), mark((index ^ 0x9e3779b9) * 0x85ebca6b) {}
    std::uint32_t which, mark;
};

std::uint16_t checksum(std::uint8_t const* data, std::size_t size) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < size; i += 2) sum += std::uint32_t{data[i]} << 8 | data[i + 1];
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

/// Lets through only echo replies that bear our identifier.
void open_socket() {
    fd = ::socket(first.ss_family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                  v6 ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP});
    if (fd < 0) fail("raw socket");
    int const room = 8 << 20;
    if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
        ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    sock_filter code[] = {{BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0}, // X: length of the IPv4 header
                          {BPF_LD | BPF_H | BPF_IND, 0, 0, 4},
                          {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, ntohs(id)},
                          {BPF_RET | BPF_K, 0, 0, 0xffffffff},
                          {BPF_RET | BPF_K, 0, 0, 0}};
    if (v6) code[0] = {BPF_LDX | BPF_W | BPF_IMM, 0, 0, 0};
    sock_fprog const filter{5, code};
    icmp_filter const replies{~(1u << ICMP_ECHOREPLY)};
    icmp6_filter replies6;
    ICMP6_FILTER_SETBLOCKALL(&replies6);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &replies6);
    if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0 ||
        (v6 ? ::setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &replies6, sizeof replies6)
            : ::setsockopt(fd, SOL_RAW, ICMP_FILTER, &replies, sizeof replies)) != 0)
        fail("filter");
}

struct packets {
    std::array<sockaddr_storage, batch> peer;
    std::array<std::array<std::uint8_t, 128>, batch> bytes;
    std::array<iovec, batch> piece;
    std::array<mmsghdr, batch> header{};

    void prepare(std::size_t k, std::size_t size) {
        piece[k] = {bytes[k].data(), size};
        header[k].msg_hdr = {&peer[k], sizeof peer[k], &piece[k], 1, nullptr, 0, 0};
    }
} out, in;

/// How many of a batch from `index` on have gone out.
std::uint32_t send(std::uint32_t index) {
    auto const n = std::min<std::uint32_t>(batch, count - index);
    for (std::uint32_t k = 0; k < n; ++k) {
        proof const p(index + k);
        auto& b = out.bytes[k] = {std::uint8_t(v6 ? 128 : 8)};
        std::memcpy(&b[4], &id, 2);
        std::memcpy(&b[6], &p.which, 2);
        std::memcpy(&b[8], &p, sizeof p);
        auto const sum = htons(v6 ? std::uint16_t{0} : checksum(b.data(), echo_size));
        std::memcpy(&b[2], &sum, 2);
        out.peer[k] = address(p.which);
        out.prepare(k, echo_size);
        out.header[k].msg_hdr.msg_namelen = v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    }
    int const taken = ::sendmmsg(fd, out.header.data(), n, 0);
    if (taken < 0 && errno != EAGAIN && errno != ENOBUFS) fail("sendmmsg");
    return static_cast<std::uint32_t>(std::max(taken, 0));
}

void drain() {
    for (std::size_t n = batch; n == batch;) {
        for (std::size_t k = 0; k < batch; ++k) in.prepare(k, in.bytes[k].size());
        int const got = ::recvmmsg(fd, in.header.data(), batch, 0, nullptr);
        n = static_cast<std::size_t>(std::max(got, 0));
        for (std::size_t k = 0; k < n; ++k) {
            auto const* const b = &in.bytes[k][v6 ? 0 : (in.bytes[k][0] & 15u) * 4];
            proof p;
            std::memcpy(&p, b + 8, sizeof p);
            if (p.which >= count || p.mark != proof(p.which).mark || seen[p.which]) continue;
            auto const asked = address(p.which);
            if (std::memcmp(&asked, &in.peer[k], last_octets() + 4) != 0) continue;
            seen[p.which] = true, ++alive;
        }
    }
}

} // namespace

int main(int words, char** word) {
    if (words < 3) return std::fputs("bench-icmp-stick FIRST COUNT [TIMEOUT_MS]\n", stderr), 2;
    v6 = std::strchr(word[1], ':') != nullptr;
    first.ss_family = v6 ? AF_INET6 : AF_INET;
    auto* const octets = reinterpret_cast<std::uint8_t*>(&first) + last_octets() - (v6 ? 12 : 0);
    if (::inet_pton(first.ss_family, word[1], octets) != 1) fail(word[1]);
    seen.resize(count = static_cast<std::uint32_t>(std::strtoul(word[2], nullptr, 10)));
    open_socket();
    for (std::uint32_t i = 0; i < count;) i += send(i), drain();
    using std::chrono::steady_clock, std::chrono::milliseconds;
    auto const end = steady_clock::now() + milliseconds(words > 3 ? std::atoi(word[3]) : 500);
    while (alive < count && steady_clock::now() < end) {
        pollfd wait{fd, POLLIN, 0};
        auto const left = std::chrono::ceil<milliseconds>(end - steady_clock::now());
        if (::poll(&wait, 1, static_cast<int>(left.count())) > 0) drain();
    }
    std::printf("alive %u of %u\n", alive, count);
}
