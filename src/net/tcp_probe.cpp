#include <trawl/tcp_probe.hpp>

#include <trawl/task_group.hpp>

#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

// Not <linux/errqueue.h> before <time.h>: it needs struct timespec.
#include <time.h>

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace trawl::net {
namespace {

using asio::ip::address;
using asio::ip::tcp;

// ---- one attempt ----

/// The ICMP error that met an attempt.
struct icmp_error {
    int number;                      ///< errno
    std::optional<address> offender; ///< who sent it
};

std::optional<address> address_of(sockaddr const* raw) {
    if (raw->sa_family == AF_INET) {
        sockaddr_in v4;
        std::memcpy(&v4, raw, sizeof v4);
        return asio::ip::address_v4(ntohl(v4.sin_addr.s_addr));
    }
    if (raw->sa_family == AF_INET6) {
        sockaddr_in6 v6;
        std::memcpy(&v6, raw, sizeof v6);
        asio::ip::address_v6::bytes_type bytes;
        std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
        return asio::ip::address_v6(bytes);
    }
    return {};
}

/// Takes one ICMP error from the socket's queue (Linux 5.9 on; without a queue errno has to do).
std::optional<icmp_error> take_icmp_error(int socket) {
    alignas(cmsghdr) char control[512];
    char packet[64];
    iovec part{packet, sizeof packet};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (::recvmsg(socket, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return {};
    for (auto* at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
        bool const v4 = at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_RECVERR;
        bool const v6 = at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_RECVERR;
        if (!v4 && !v6) continue;
        auto const* seen = reinterpret_cast<sock_extended_err const*>(CMSG_DATA(at));
        bool const icmp =
            seen->ee_origin == SO_EE_ORIGIN_ICMP || seen->ee_origin == SO_EE_ORIGIN_ICMP6;
        return icmp_error{static_cast<int>(seen->ee_errno),
                          icmp ? address_of(SO_EE_OFFENDER(seen)) : std::nullopt};
    }
    return {};
}

std::error_code reason(int number) { return {number, std::system_category()}; }

/// Opens the socket and sends the SYN. EINPROGRESS is the good case.
int begin(tcp::socket& socket, tcp::endpoint const& to) {
    std::error_code failure;
    socket.open(to.protocol(), failure);
    if (!failure) socket.native_non_blocking(true, failure);
    if (failure) return failure.value();
    // Without the queue an ICMP error is lost when it arrives while connect() still runs, as it
    // does over a veth pair or loopback, and an RST looks like ICMP's "port unreachable".
    int const on = 1;
    bool const v4 = to.protocol() == tcp::v4();
    (void)::setsockopt(socket.native_handle(), v4 ? IPPROTO_IP : IPPROTO_IPV6,
                       v4 ? IP_RECVERR : IPV6_RECVERR, &on, sizeof on);
    auto const size = static_cast<socklen_t>(to.size());
    return ::connect(socket.native_handle(), to.data(), size) == 0 ? EINPROGRESS : errno;
}

/// How an attempt ended; `number` is 0 when it was accepted.
struct ending {
    int number = 0;
    std::optional<icmp_error> icmp = {};
};

/// nullopt while it is under way.
std::optional<ending> look(tcp::socket& socket) {
    int number = 0;
    socklen_t size = sizeof number;
    (void)::getsockopt(socket.native_handle(), SOL_SOCKET, SO_ERROR, &number, &size);
    auto const icmp = take_icmp_error(socket.native_handle());
    if (icmp) return ending{icmp->number, icmp};
    if (number != 0) return ending{number};
    std::error_code failure;
    auto const there = socket.remote_endpoint(failure);
    if (failure) return {}; // not connected
    // A port of our own ephemeral range on this host may meet itself when nobody listens there.
    if (socket.local_endpoint(failure) == there) return ending{ECONNREFUSED};
    return ending{};
}

std::optional<tcp_state> state_of(ending const& end, address const& target) {
    if (end.icmp) {
        // A host whose own firewall rejects is up. Zones and mapped forms do not matter here.
        bool const own =
            end.icmp->offender && target.is_v4() == end.icmp->offender->is_v4() &&
            (target.is_v4() ? end.icmp->offender->to_v4() == target.to_v4()
                            : end.icmp->offender->to_v6().to_bytes() == target.to_v6().to_bytes());
        return own ? tcp_state::refused : tcp_state::unreachable;
    }
    switch (end.number) {
    case 0:
    case ECONNRESET:
    case EPIPE: return tcp_state::open; // accepted, and perhaps closed since
    case ECONNREFUSED: return tcp_state::refused;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case ENOPROTOOPT: // ICMP: protocol unreachable
    case EACCES:      // a prohibit route
    case EINVAL:      // a blackhole route
        return tcp_state::unreachable;
    }
    return {}; // this machine could not ask
}

duration round_trip(tcp::socket& socket, duration measured) {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        info.tcpi_rtt == 0)
        return measured;
    return std::min<duration>(measured, std::chrono::microseconds(info.tcpi_rtt));
}

// ---- all attempts of a probe ----

/// Lives in the frame of tcp_probe(); the children refer to it.
struct inquiry {
    address target;
    std::optional<tcp_answer> answer, unreachable;
    std::error_code local_failure;
};

awaitable<> ask(inquiry& all, task_group& group, std::uint16_t port) {
    auto executor = co_await asio::this_coro::executor;
    tcp::socket socket(executor);
    auto const begun = clock::now();
    std::optional<ending> end;
    if (int const number = begin(socket, tcp::endpoint(all.target, port)); number != EINPROGRESS)
        end = ending{number};
    while (!end) {
        std::error_code failure;
        auto token = asio::redirect_error(asio::use_awaitable, failure);
        co_await socket.async_wait(tcp::socket::wait_write, token);
        if (failure) co_return; // another port answered, the time is up, or nobody wants to know
        end = look(socket);
    }
    if (end->number == ETIMEDOUT) co_return;
    auto const state = state_of(*end, all.target);
    tcp_answer found;
    found.port = port;
    found.rtt = clock::now() - begun;
    if (!state) {
        all.local_failure = reason(end->number);
    } else if (*state == tcp_state::unreachable) {
        found.why = reason(end->number);
        if (!all.unreachable) all.unreachable = found;
    } else if (!all.answer) {
        found.state = *state;
        if (end->number == 0) found.rtt = round_trip(socket, found.rtt);
        all.answer = found;
        group.cancel();
    }
}

} // namespace

std::string_view to_string(tcp_state state) noexcept {
    switch (state) {
    case tcp_state::open: return "open";
    case tcp_state::refused: return "refused";
    case tcp_state::unreachable: return "unreachable";
    }
    return "";
}

awaitable<std::optional<tcp_answer>> tcp_probe(address target, std::vector<std::uint16_t> ports,
                                               duration timeout) {
    inquiry all{.target = target, .answer = {}, .unreachable = {}, .local_failure = {}};
    auto body = [&](task_group& group) -> awaitable<> {
        for (auto const port : ports) group.spawn(ask(all, group, port));
        co_return;
    };
    auto asking = with_group(body);
    co_await within(timeout, std::move(asking));
    if (all.answer) co_return all.answer;
    if (all.local_failure) {
        bool const files = all.local_failure == std::errc::too_many_files_open ||
                           all.local_failure == std::errc::too_many_files_open_in_system;
        throw error(all.local_failure, fmt::format("tcp probe of {}", target.to_string()),
                    files ? "a probe takes one for each port; raise ulimit -n or ask fewer at once"
                          : "");
    }
    co_return all.unreachable;
}

} // namespace trawl::net
