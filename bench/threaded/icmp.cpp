// The sweep as it is written without an event loop: a blocking raw socket in each thread.
//
//     bench-threaded-icmp [--threads per-host|N] NETWORK [TIMEOUT_MS]
//
// sends one echo to each address of an IPv4 NETWORK (127.1.0.0/24) and prints "ADDRESS: up 0.12 ms" or "ADDRESS: down" for
// each, or "ADDRESS: failed: WHY". The kernel gives each raw socket a copy of every reply on the machine: connect(2), an
// ICMP filter and a BPF filter on the identifier keep all but the own ones out of its buffer.
#include "crowd.hpp"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace {

using std::chrono::steady_clock;

constexpr std::size_t echo_size = 32; // as the library's echoes

std::system_error failed(char const* what) { return {errno, std::generic_category(), what}; }

std::uint16_t checksum(std::array<std::uint8_t, echo_size> const& data) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < data.size(); i += 2)
        sum += std::uint32_t{data[i]} << 8 | data[i + 1];
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

std::string text_of(std::uint32_t address) {
    in_addr const raw{htonl(address)};
    std::array<char, INET_ADDRSTRLEN> text{};
    ::inet_ntop(AF_INET, &raw, text.data(), text.size());
    return text.data();
}

/// A raw socket that hears nothing but echo replies with its own identifier, from the host that it asked last.
class echo_socket {
public:
    echo_socket(std::uint16_t id, std::chrono::milliseconds timeout) : id_(id), timeout_(timeout) {
        fd_ = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
        if (fd_ < 0) throw failed("raw socket");
        icmp_filter const replies{~(1u << ICMP_ECHOREPLY)};
        std::array<sock_filter, 5> code{
            {{BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0}, // X: length of the IPv4 header
             {BPF_LD | BPF_H | BPF_IND, 0, 0, 4},
             {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, id},
             {BPF_RET | BPF_K, 0, 0, 0xffffffff},
             {BPF_RET | BPF_K, 0, 0, 0}}};
        sock_fprog const filter{code.size(), code.data()};
        if (::setsockopt(fd_, SOL_RAW, ICMP_FILTER, &replies, sizeof replies) != 0 ||
            ::setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) {
            auto const why = failed("filter");
            ::close(fd_);
            throw why;
        }
    }
    echo_socket(echo_socket const&) = delete;
    echo_socket& operator=(echo_socket const&) = delete;
    ~echo_socket() { ::close(fd_); }

    /// The round trip in milliseconds; nullopt: no answer in time.
    std::optional<double> ask(std::uint32_t target) {
        sockaddr_in peer{};
        peer.sin_family = AF_INET;
        peer.sin_addr.s_addr = htonl(target);
        if (::connect(fd_, reinterpret_cast<sockaddr*>(&peer), sizeof peer) != 0)
            throw failed("connect");
        auto const echo = make_echo();
        auto const began = steady_clock::now();
        if (::send(fd_, echo.data(), echo.size(), 0) < 0) throw failed("send");
        // The last look does not wait: what came while this thread did not run counts, too.
        for (bool over = false; !over;) {
            over = !wait_until(began + timeout_);
            auto answers = receive(over ? MSG_DONTWAIT : 0);
            while (over && answers && !*answers) answers = receive(MSG_DONTWAIT);
            std::chrono::duration<double, std::milli> const rtt = steady_clock::now() - began;
            if (answers.value_or(false)) return rtt.count();
        }
        return std::nullopt;
    }

private:
    std::array<std::uint8_t, echo_size> make_echo() {
        std::array<std::uint8_t, echo_size> echo{ICMP_ECHO};
        auto const id = htons(id_), sequence = htons(++sequence_);
        std::memcpy(&echo[4], &id, 2);
        std::memcpy(&echo[6], &sequence, 2);
        auto const sum = htons(checksum(echo));
        std::memcpy(&echo[2], &sum, 2);
        return echo;
    }

    /// Sets what recv(2) may take; false when the time is up.
    bool wait_until(steady_clock::time_point end) {
        auto const left =
            std::chrono::ceil<std::chrono::microseconds>(end - steady_clock::now()).count();
        if (left <= 0) return false;
        timeval const limit{left / 1'000'000, left % 1'000'000};
        return ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0;
    }

    /// Whether a packet answers the last echo; nullopt: none came.
    std::optional<bool> receive(int flags) {
        std::array<std::uint8_t, 256> packet;
        auto const size = ::recv(fd_, packet.data(), packet.size(), flags);
        if (size < 0 && errno != EAGAIN && errno != EINTR) throw failed("recv");
        if (size < 0) return std::nullopt;
        std::size_t const header = (packet[0] & 15u) * 4;
        if (size < static_cast<ssize_t>(header + 8)) return false;
        std::uint16_t sequence = 0;
        std::memcpy(&sequence, &packet[header + 6], 2);
        return packet[header] == ICMP_ECHOREPLY && ntohs(sequence) == sequence_;
    }

    int fd_ = -1;
    std::uint16_t id_, sequence_ = 0;
    std::chrono::milliseconds timeout_;
};

struct network {
    std::uint32_t first = 0;
    std::size_t size = 0;
};

network read_network(std::string const& word) {
    auto const slash = word.find('/');
    auto const bits = slash == std::string::npos ? 32 : std::atoi(word.c_str() + slash + 1);
    in_addr address{};
    if (::inet_pton(AF_INET, word.substr(0, slash).c_str(), &address) != 1 || bits < 8 || bits > 32)
        throw std::runtime_error(word + ": not an IPv4 network of /8 to /32");
    return {ntohl(address.s_addr), std::size_t{1} << (32 - bits)};
}

int sweep(bench::pool_size threads, network const& targets, std::chrono::milliseconds timeout) {
    bench::output out;
    std::atomic<std::size_t> failures = 0;
    std::atomic<std::uint16_t> next_id = static_cast<std::uint16_t>(::getpid());
    auto const fail = [&](std::size_t i, std::string const& why) {
        ++failures;
        out.line(text_of(targets.first + static_cast<std::uint32_t>(i)) + ": failed: " + why);
    };
    auto const ask = [&](std::size_t i) {
        // A thread of the pool keeps its socket for all of its hosts.
        thread_local std::unique_ptr<echo_socket> socket;
        auto const target = targets.first + static_cast<std::uint32_t>(i);
        try {
            if (!socket) socket = std::make_unique<echo_socket>(next_id++, timeout);
            auto const rtt = socket->ask(target);
            std::array<char, 32> said{};
            if (rtt) std::snprintf(said.data(), said.size(), "up %.2f ms", *rtt);
            out.line(text_of(target) + ": " + (rtt ? said.data() : "down"));
        } catch (std::system_error const& why) {
            fail(i, why.what());
        }
    };
    bench::run_crowd(threads, targets.size, ask, fail);
    return failures == 0 ? 0 : 1;
}

} // namespace

int main(int count, char** word) {
    std::vector<std::string> words(word + 1, word + count);
    auto const threads = bench::take_threads(words);
    if (words.empty() || words.size() > 2)
        return std::fputs("bench-threaded-icmp [--threads per-host|N] NETWORK [TIMEOUT_MS]\n",
                          stderr),
               2;
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    try {
        auto const timeout = words.size() > 1 ? std::atoi(words[1].c_str()) : 1000;
        return sweep(threads, read_network(words[0]), std::chrono::milliseconds(timeout));
    } catch (std::exception const& why) {
        return std::fprintf(stderr, "%s\n", why.what()), 2;
    }
}
