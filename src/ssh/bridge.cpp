#include "ssh/bridge.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

namespace trawl::ssh::detail {
namespace {

// Two data packets of the usual 32 KiB, of which libssh leaves 10 bytes unused.
constexpr std::size_t largest_piece = 2 * (32 * 1024 - 10);

/// Bytes that the socket took at once; nullopt when it is gone.
std::optional<std::size_t> send_some(stream_socket& to, char const* data, std::size_t size) {
    for (std::size_t sent = 0;;) {
        auto const n =
            ::send(to.native_handle(), data + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) sent += static_cast<std::size_t>(n);
        if (sent == size) return sent;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return sent;
        if (n < 0 && errno != EINTR) return {};
    }
}

/// Closed on the other side, not only for sending. TCP does not tell before something is sent.
bool hung_up(stream_socket& local) {
    pollfd at{local.native_handle(), 0, 0};
    return ::poll(&at, 1, 0) == 1 && (at.revents & POLLHUP);
}

} // namespace

bridge::bridge(std::shared_ptr<transport> link)
    : link_(std::move(link)), handle_(link_, &callbacks_), local_(link_->executor()) {
    auto& c = callbacks_;
    ssh_callbacks_init(&c);
    c.userdata = this;
    c.channel_data_function = [](ssh_session, ssh_channel, void* data, std::uint32_t size,
                                 int is_err, void* self) {
        if (is_err) return static_cast<int>(size); // these channels have one stream
        auto& here = *static_cast<bridge*>(self);
        return static_cast<int>(here.arrived(static_cast<char const*>(data), size));
    };
    c.channel_eof_function = [](ssh_session, ssh_channel, void* self) {
        static_cast<bridge*>(self)->eof_ = true;
    };
    c.channel_close_function = [](ssh_session, ssh_channel, void* self) {
        static_cast<bridge*>(self)->closed_ = true;
    };
    link_->listen(*this);
}

bridge::~bridge() { end(); }

awaitable<> bridge::open(std::string host, std::uint16_t port, step when) {
    auto ask = [host = std::move(host), port](ssh_channel channel) {
        return ssh_channel_open_forward(channel, host.c_str(), port, "127.0.0.1", 0);
    };
    return handle_.open(std::move(ask), errc::connect_failed, when);
}

void bridge::start(stream_socket local) {
    local_ = std::move(local);
    self_ = shared_from_this();
    started_ = true;
    if (held_) fetch_held();
    progressed(); // the channel may have ended meanwhile
    if (!ended_) read_up();
}

// --- from the channel to the socket ---

/// In the middle of libssh: nothing may end here. The answer is the number of bytes consumed, by as
/// many the window is reopened.
std::size_t bridge::arrived(char const* data, std::size_t size) noexcept {
    if (gone_ || ended_) return size;
    std::size_t taken = 0;
    if (started_ && !fetching_ && down_.empty()) {
        auto const sent = send_some(local_, data, size);
        if (!sent) {
            gone_ = true;
            return size;
        }
        taken = *sent;
    }
    held_ = taken < size;
    return taken;
}

/// All at once: each read opens the window by 1.28 MB when it is below half of that, however much
/// stays in libssh's buffer. Smaller reads would let that buffer grow without bound.
void bridge::fetch_held() {
    fetching_ = true;
    while (held_ && link_->alive()) {
        held_ = false;
        int const size = ssh_channel_poll(handle_, 0);
        if (size <= 0) break;
        auto const before = down_.size();
        down_.resize(before + static_cast<std::size_t>(size));
        int const got = ssh_channel_read_nonblocking(handle_, down_.data() + before,
                                                     static_cast<std::uint32_t>(size), 0);
        down_.resize(before + static_cast<std::size_t>(std::max(got, 0)));
    }
    fetching_ = false;
    send_down();
    link_->settle();
}

void bridge::send_down() noexcept {
    if (down_.empty()) return;
    auto const sent = send_some(local_, down_.data() + sent_down_, down_.size() - sent_down_);
    if (!sent)
        gone_ = true;
    else
        sent_down_ += *sent;
    if (gone_ || sent_down_ == down_.size()) std::string().swap(down_), sent_down_ = 0;
}

void bridge::on_writable() {
    send_down();
    if (down_.empty() && held_ && !gone_) fetch_held();
    progressed();
}

// --- from the socket to the channel ---

bool bridge::room() const noexcept {
    return usable() && !link_->write_pending() && ssh_channel_window_size(handle_) > 0;
}

void bridge::read_up() {
    if (!finished_ && up_.empty() && room())
        watch(stream_socket::wait_read, reading_, &bridge::on_readable);
}

void bridge::on_readable() {
    if (!room()) return; // progressed() comes back to it
    char piece[largest_piece];
    auto const most = std::min<std::size_t>(sizeof piece, ssh_channel_window_size(handle_));
    auto const got = ::recv(local_.native_handle(), piece, most, MSG_DONTWAIT);
    if (got > 0) {
        up_.assign(piece, static_cast<std::size_t>(got));
        write_up();
    } else if (got == 0) {
        finished_ = true;
        gone_ = hung_up(local_);
        ssh_channel_send_eof(handle_);
    } else if (errno != EAGAIN && errno != EINTR) {
        gone_ = true;
    }
    link_->settle();
    progressed();
}

void bridge::write_up() {
    // Nothing is taken while keys change.
    int const wrote = ssh_channel_write(handle_, up_.data() + sent_up_,
                                        static_cast<std::uint32_t>(up_.size() - sent_up_));
    if (wrote < 0) return; // the channel has closed: progressed() sees it
    sent_up_ += static_cast<std::size_t>(wrote);
    if (sent_up_ == up_.size()) std::string().swap(up_), sent_up_ = 0;
}

// --- both ---

awaitable<> bridge::ended() {
    auto const keep = shared_from_this();
    while (!ended_) {
        trawl::detail::waiter place(waiters_);
        auto const how = co_await place.wait();
        if (how == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
    }
}

void bridge::progressed() noexcept {
    if (!started_ || ended_) return;
    if (!link_->alive())
        why_ = "the session with " + link_->peer() + " has ended: " + link_->words();
    bool const delivered = !held_ && down_.empty();
    if (!link_->alive() || gone_ || (closed_ && delivered) || (eof_ && finished_ && delivered))
        return end();
    if (eof_ && delivered && !std::exchange(shut_, true))
        ::shutdown(local_.native_handle(), SHUT_WR);
    if (!up_.empty() && room()) write_up(), link_->settle();
    if (ended_) return;
    if (!delivered) watch(stream_socket::wait_write, writing_, &bridge::on_writable);
    read_up();
}

void bridge::watch(stream_socket::wait_type what, bool& armed, void (bridge::*then)()) {
    if (std::exchange(armed, true)) return;
    local_.async_wait(what, [self = shared_from_this(), &armed, then](asio::error_code failed) {
        armed = false;
        if (!failed && !self->ended_) (self.get()->*then)();
    });
}

void bridge::end() noexcept {
    if (std::exchange(ended_, true)) return;
    link_->ignore(*this);
    handle_.close();
    asio::error_code ignored;
    local_.close(ignored);
    waiters_.wake_all();
    auto const last = std::move(self_); // perhaps the last reference
}

} // namespace trawl::ssh::detail
