#include "dns/lane.hpp"

#include <trawl/error.hpp>

#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <span>

namespace trawl::dns::detail {

namespace {

constexpr std::size_t batch = 32; // packets of one that reads
constexpr int receive_buffer = 212'992;

/// Packets of one recvmmsg. Reading never suspends: one set of buffers does for all lanes of a
/// thread.
class packet_reader {
public:
    static packet_reader& of_this_thread() {
        thread_local packet_reader instance;
        return instance;
    }

    /// How many have come; -1 and errno.
    int receive(int from) { return ::recvmmsg(from, heads_.data(), batch, MSG_DONTWAIT, nullptr); }
    std::span<mmsghdr const> first(int count) const {
        return std::span(heads_).first(static_cast<std::size_t>(count));
    }

private:
    packet_reader() {
        for (std::size_t i = 0; i < batch; ++i) {
            parts_[i] = {space_[i].data(), space_[i].size()};
            heads_[i].msg_hdr.msg_iov = &parts_[i];
            heads_[i].msg_hdr.msg_iovlen = 1;
        }
    }

    std::array<std::array<unsigned char, 4096>, batch> space_; // what c-ares takes
    std::array<iovec, batch> parts_{};
    std::array<mmsghdr, batch> heads_{};
};

/// A packet that is to be sent: where its bytes are.
struct outgoing {
    std::size_t begin, size;
};

/// Packets of one sendmmsg. Runs of one size go to the kernel as one message, which it cuts into
/// datagrams behind most of its work (UDP_SEGMENT of udp(7)).
class packet_writer {
public:
    static packet_writer& of_this_thread() {
        thread_local packet_writer instance;
        return instance;
    }

    /// How many it has sent; nullopt and errno.
    std::optional<std::size_t> send(int to, unsigned char* bytes, std::span<outgoing const> all,
                                    bool segments) {
        std::array<std::size_t, messages> end; // packets up to the end of each message
        std::size_t count = 0, used = 0;
        while (count < messages && used < std::min(all.size(), parts_.size())) {
            auto const first = used;
            auto const most = segments ? most_segments : std::size_t{1};
            do {
                parts_[used] = {bytes + all[used].begin, all[used].size};
                ++used;
            } while (used < std::min(all.size(), parts_.size()) && used - first < most &&
                     all[used].size == all[first].size);
            add(count, first, used - first);
            end[count++] = used;
        }
        int const taken = ::sendmmsg(to, heads_.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
        if (taken <= 0) return std::nullopt;
        return end[static_cast<std::size_t>(taken) - 1];
    }

private:
    static constexpr std::size_t messages = 32;
    static constexpr std::size_t most_segments = 64; // of a message (UDP_MAX_SEGMENTS)

    void add(std::size_t number, std::size_t first, std::size_t size) {
        auto& head = heads_[number].msg_hdr;
        head.msg_iov = &parts_[first];
        head.msg_iovlen = size;
        head.msg_control = size > 1 ? controls_[number].room : nullptr;
        head.msg_controllen = size > 1 ? sizeof controls_[number].room : 0;
        if (size == 1) return;
        auto* const about = CMSG_FIRSTHDR(&head);
        about->cmsg_level = SOL_UDP;
        about->cmsg_type = UDP_SEGMENT;
        about->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
        auto const each = static_cast<std::uint16_t>(parts_[first].iov_len);
        std::memcpy(CMSG_DATA(about), &each, sizeof each);
    }

    struct alignas(cmsghdr) control {
        char room[CMSG_SPACE(sizeof(std::uint16_t))];
    };
    std::array<iovec, 256> parts_{};
    std::array<mmsghdr, messages> heads_{};
    std::array<control, messages> controls_{};
};

} // namespace

struct lane::socket {
    socket(asio::any_io_executor const& executor, int number, bool is_datagram)
        : descriptor(executor, number), datagram(is_datagram) {}

    asio::posix::stream_descriptor descriptor;
    bool datagram;
    sockaddr_storage peer{};
    socklen_t peer_size = 0;
    bool wanted[2] = {false, false};  // to read, to write
    bool pending[2] = {false, false}; // a wait is out

    // Of a datagram socket.
    std::vector<unsigned char> bytes; // of the packets in the outbox
    std::vector<outgoing> outbox;
    bool segments = false;          // the kernel cuts messages into datagrams
    bool flushing = false;          // a flush is on its way through the loop
    std::span<mmsghdr const> inbox; // packets that c-ares is to read now
    int fault = 0;                  // or the error that it is to see
};

// No exception may cross c-ares.
struct lane::hooks {
    static ares_socket_t open(int family, int kind, int protocol, void* self) {
        auto& me = *static_cast<lane*>(self);
        auto const number = ::socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
        if (number < 0) return ARES_SOCKET_BAD;
        int const size = receive_buffer, yes = 1;
        bool const datagram = kind == SOCK_DGRAM;
        if (datagram) // as much as it may be; the window bounds what comes
            ::setsockopt(number, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        else
            ::setsockopt(number, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        try {
            auto const made = std::make_shared<socket>(me.executor_, number, datagram);
            int const off = 0; // whether it is known at all
            made->segments =
                datagram && ::setsockopt(number, SOL_UDP, UDP_SEGMENT, &off, sizeof off) == 0;
            me.sockets_[number] = made;
            return number;
        } catch (...) {
            me.sockets_.erase(number);
            ::close(number);
            errno = ENOMEM;
            return ARES_SOCKET_BAD;
        }
    }

    static int close(ares_socket_t number, void* self) {
        static_cast<lane*>(self)->sockets_.erase(number); // which closes it
        return 0;
    }

    static int connect(ares_socket_t number, sockaddr const* to, ares_socklen_t size, void* self) {
        auto& on = *static_cast<lane*>(self)->sockets_.at(number);
        std::memcpy(&on.peer, to, size);
        on.peer_size = size;
        return ::connect(number, to, size);
    }

    static ares_ssize_t receive(ares_socket_t number, void* into, std::size_t room, int flags,
                                sockaddr* from, ares_socklen_t* from_size, void* self) {
        auto& on = *static_cast<lane*>(self)->sockets_.at(number);
        if (!on.datagram) return ::recv(number, into, room, flags);
        if (on.fault != 0) return errno = std::exchange(on.fault, 0), -1;
        // One without bytes c-ares would take for a closed connection (CVE-2023-32067).
        while (!on.inbox.empty() && on.inbox.front().msg_len == 0) on.inbox = on.inbox.subspan(1);
        if (on.inbox.empty()) return errno = EAGAIN, -1;
        auto const& packet = on.inbox.front();
        auto const size = std::min<std::size_t>(room, packet.msg_len);
        std::memcpy(into, packet.msg_hdr.msg_iov->iov_base, size);
        on.inbox = on.inbox.subspan(1);
        if (from && from_size) { // the socket is connected: nobody else is heard
            *from_size = std::min(*from_size, on.peer_size);
            std::memcpy(from, &on.peer, *from_size);
        }
        return static_cast<ares_ssize_t>(size);
    }

    // As writev(), but a connection that the server has cut is an error and no SIGPIPE.
    static ares_ssize_t write(ares_socket_t number, iovec const* parts, int count) {
        msghdr message{};
        message.msg_iov = const_cast<iovec*>(parts);
        message.msg_iovlen = static_cast<std::size_t>(count);
        return ::sendmsg(number, &message, MSG_NOSIGNAL);
    }

    static ares_ssize_t send(ares_socket_t number, iovec const* parts, int count, void* self) {
        auto& me = *static_cast<lane*>(self);
        try {
            auto const& on = me.sockets_.at(number);
            if (!on->datagram) return write(number, parts, count);
            auto const before = on->bytes.size();
            for (auto part = parts; part != parts + count; ++part) {
                auto const* begin = static_cast<unsigned char const*>(part->iov_base);
                on->bytes.insert(on->bytes.end(), begin, begin + part->iov_len);
            }
            on->outbox.push_back({before, on->bytes.size() - before});
            me.flush_later(on);
            return static_cast<ares_ssize_t>(on->outbox.back().size);
        } catch (...) {
            errno = ENOMEM;
            return -1;
        }
    }

    static void watch(void* self, ares_socket_t number, int readable, int writable) {
        auto& me = *static_cast<lane*>(self);
        auto const found = me.sockets_.find(number);
        if (found == me.sockets_.end()) return;
        auto const on = found->second;
        on->wanted[0] = readable;
        on->wanted[1] = writable;
        try {
            me.arm(on, false);
            me.arm(on, true);
        } catch (...) { // what is not watched stays silent, and its questions time out
            on->wanted[0] = on->wanted[1] = false;
        }
    }

    static void answered(void* asked, int status, int, unsigned char* packet, int size) {
        auto const it = std::exchange(static_cast<question*>(asked)->self, nullptr);
        auto const length = packet ? static_cast<std::size_t>(std::max(0, size)) : 0;
        it->over->answered(*it, status, bytes(packet, length));
    }

    static constexpr ares_socket_functions functions{&open, &close, &connect, &receive, &send};
};

lane::lane(asio::any_io_executor executor, name_server const& to, duration give_up)
    : executor_(std::move(executor)) {
    char lookups[] = "b", no_file[] = "/dev/null"; // neither hosts nor resolv.conf is read
    ares_options options{};
    options.flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_EDNS;
    options.timeout = static_cast<int>(std::clamp<std::int64_t>(
        std::chrono::ceil<std::chrono::milliseconds>(give_up).count(), 1, 3'600'000));
    options.tries = 1;
    options.lookups = lookups;
    options.ednspsz = udp_payload;
    options.resolvconf_path = no_file;
    options.sock_state_cb = &hooks::watch;
    options.sock_state_cb_data = this;
    auto const mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
                      ARES_OPT_EDNSPSZ | ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_STATE_CB;
    if (auto const status = ares_init_options(&handle_, &options, mask); status != ARES_SUCCESS)
        throw error(errc::no_server, "c-ares", ares_strerror(status));
    ares_set_socket_functions(handle_, &hooks::functions, this);

    ares_addr_port_node node{};
    node.family = to.address.is_v4() ? AF_INET : AF_INET6;
    node.udp_port = node.tcp_port = to.port;
    auto const put = [](auto const& octets, void* into) {
        std::memcpy(into, octets.data(), octets.size());
    };
    if (to.address.is_v4())
        put(to.address.to_v4().to_bytes(), &node.addr.addr4);
    else
        put(to.address.to_v6().to_bytes(), &node.addr.addr6);
    if (auto const status = ares_set_servers_ports(handle_, &node); status != ARES_SUCCESS) {
        ares_destroy(handle_);
        throw error(errc::no_server, "c-ares", ares_strerror(status));
    }
}

lane::~lane() { ares_destroy(handle_); }

// ---- questions ----

void lane::ask(std::shared_ptr<question> asked, std::string const& name, type wanted) {
    auto& it = *asked;
    it.id = fresh_id();
    it.over = this;
    it.on_its_way = true;
    ++out_, ++on_its_way_;
    packet_.clear();
    append_query(packet_, it.id, name, wanted, it.edns);
    it.self = std::move(asked);
    ares_send(handle_, packet_.data(), static_cast<int>(packet_.size()), &hooks::answered, &it);
}

void lane::catch_up() {
    auto const found = std::ranges::find_if(sockets_, [](auto& s) { return s.second->datagram; });
    if (found == sockets_.end()) return;
    auto const from = found->second;
    while (is_open(from) && read(from) == batch) {
    }
}

void lane::repeat(question const& asked, std::string const& name, type wanted) {
    for (auto const& [number, on] : sockets_) {
        if (!on->datagram) continue;
        auto const before = on->bytes.size();
        append_query(on->bytes, asked.id, name, wanted, asked.edns);
        on->outbox.push_back({before, on->bytes.size() - before});
        return flush_later(on);
    }
}

void lane::overdue(question& asked) noexcept {
    if (std::exchange(asked.on_its_way, false)) --on_its_way_;
}

void lane::answered(question& asked, int status, bytes packet) noexcept {
    ids_.reset(asked.id);
    --out_;
    overdue(asked);
    asked.over = nullptr;
    asked.ended = true;
    if (asked.from) asked.from->answered(asked, status, packet);
}

// c-ares would draw them from RC4 (CVE-2023-31147).
std::uint16_t lane::fresh_id() {
    thread_local std::array<std::uint16_t, 128> drawn; // 256 bytes come without interruption
    thread_local std::size_t left = 0;
    for (;;) {
        if (left == 0) {
            if (::getrandom(drawn.data(), sizeof drawn, 0) != static_cast<ssize_t>(sizeof drawn))
                throw error(std::error_code(errno, std::generic_category()), "getrandom");
            left = drawn.size();
        }
        auto const id = drawn[--left];
        if (ids_.test(id)) continue;
        ids_.set(id);
        return id;
    }
}

// ---- sockets ----

bool lane::is_open(std::shared_ptr<socket> const& it) const {
    auto const found = sockets_.find(it->descriptor.native_handle());
    return found != sockets_.end() && found->second == it;
}

void lane::arm(std::shared_ptr<socket> const& on, bool writing) {
    bool const wanted = on->wanted[writing] || (writing && !on->outbox.empty() && !on->flushing);
    if (!wanted || on->pending[writing]) return;
    on->pending[writing] = true;
    auto const direction = writing ? asio::posix::descriptor_base::wait_write
                                   : asio::posix::descriptor_base::wait_read;
    // Weak: a wait that is still out keeps neither the lane nor the socket open.
    auto then = [owner = weak_from_this(), seen = std::weak_ptr(on),
                 writing](std::error_code failure) {
        auto const self = owner.lock();
        auto const mine = seen.lock();
        if (!self || !mine) return;
        mine->pending[writing] = false;
        if (failure || !self->is_open(mine)) return;
        self->ready(mine, writing);
        if (self->is_open(mine)) self->arm(mine, writing);
    };
    on->descriptor.async_wait(direction, std::move(then));
}

void lane::ready(std::shared_ptr<socket> const& on, bool writing) {
    if (on->datagram && writing) return flush(on);
    if (on->datagram) return void(read(on));
    auto const number = on->descriptor.native_handle();
    if (on->wanted[writing])
        ares_process_fd(handle_, writing ? ARES_SOCKET_BAD : number,
                        writing ? number : ARES_SOCKET_BAD);
}

/// How many packets it has read.
std::size_t lane::read(std::shared_ptr<socket> const& from) {
    auto& reader = packet_reader::of_this_thread();
    auto const number = from->descriptor.native_handle();
    int const count = reader.receive(number);
    if (count < 0) {
        if (errno != EAGAIN && errno != EINTR) fail(from, errno);
        return 0;
    }
    from->inbox = reader.first(count);
    ares_process_fd(handle_, number, ARES_SOCKET_BAD); // reads until there is no more
    from->inbox = {};
    return static_cast<std::size_t>(count);
}

void lane::flush_later(std::shared_ptr<socket> const& by) {
    if (std::exchange(by->flushing, true)) return;
    auto later = [owner = weak_from_this(), seen = std::weak_ptr(by)] {
        auto const self = owner.lock();
        auto const mine = seen.lock();
        if (!self || !mine) return;
        mine->flushing = false;
        if (self->is_open(mine)) self->flush(mine);
    };
    asio::post(executor_, std::move(later));
}

void lane::flush(std::shared_ptr<socket> const& by) {
    auto& out = *by;
    // Those of one size next to each other: a run of them is one message to the kernel.
    if (out.segments)
        std::ranges::stable_sort(out.outbox, {}, [](auto const& one) { return one.size; });
    std::size_t sent = 0;
    int failure = 0;
    while (sent < out.outbox.size() && failure == 0) {
        auto const left = std::span(out.outbox).subspan(sent);
        auto const taken = packet_writer::of_this_thread().send(
            out.descriptor.native_handle(), out.bytes.data(), left, out.segments);
        if (taken)
            sent += *taken;
        else if (out.segments && (errno == EIO || errno == EINVAL))
            out.segments = false; // not on this way (udp(7))
        else if (errno != EINTR)
            failure = errno;
    }
    if (failure == EAGAIN) { // the rest later
        out.outbox.erase(out.outbox.begin(),
                         out.outbox.begin() + static_cast<std::ptrdiff_t>(sent));
        return arm(by, true);
    }
    out.outbox.clear(); // with ENOBUFS lost as on the way: they are repeated
    out.bytes.clear();
    if (failure != 0 && failure != ENOBUFS) fail(by, failure);
}

// The server's host says that nobody listens there, or this one knows no way to it. c-ares learns it
// when it reads, and ends the questions of the socket.
void lane::fail(std::shared_ptr<socket> const& on, int error) {
    on->fault = error;
    ares_process_fd(handle_, on->descriptor.native_handle(), ARES_SOCKET_BAD);
}

} // namespace trawl::dns::detail
