#include "ssh/transport.hpp"

#include "ssh/bridge.hpp"
#include "ssh/channel_handle.hpp"
#include "ssh/remote_ports.hpp"

#include <libssh/server.h>

#include <asio/error.hpp>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <new>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace trawl::ssh::detail {
namespace {

// dopoll reads 4 KiB a turn; 32 turns with decryption stay well under a millisecond of hold.
constexpr int pump_turns = 32;

std::string seconds(std::chrono::milliseconds length) {
    auto const ms = length.count();
    if (ms % 1000 == 0) return std::to_string(ms / 1000) + " s";
    return std::to_string(ms) + " ms";
}

} // namespace

step step_within(ssh::phase at, std::chrono::milliseconds limit) {
    step out{at};
    out.limit = limit;
    if (limit.count() > 0) out.deadline = clock::now() + limit;
    return out;
}

transport::transport(stream_socket socket, std::string peer)
    : socket_(std::move(socket)), peer_(std::move(peer)), turns_(turns::of(socket_.get_executor())),
      life_timer_(socket_.get_executor()) {
    struct stat status;
    duplicate_ = ::fcntl(socket_.native_handle(), F_DUPFD_CLOEXEC, 3);
    if (duplicate_ < 0 || ::fstat(duplicate_, &status) != 0) {
        auto const code = std::error_code(errno, std::generic_category());
        if (duplicate_ >= 0) ::close(duplicate_);
        throw failure(code, phase::connect, peer_, "duplicating the socket");
    }
    inode_ = status.st_ino;
    session_ = ssh_new();
    event_ = ssh_event_new();
    if (!session_ || !event_) {
        ::close(duplicate_);
        if (event_) ssh_event_free(event_);
        ssh_free(session_);
        throw std::bad_alloc();
    }
    ssh_set_blocking(session_, 0);
    // Channels that the server opens are refused, but for those to the ports that we have asked
    // for; without a callback libssh would keep each such wish for us to take.
    ssh_set_message_callback(
        session_,
        [](ssh_session, ssh_message wish, void* self) {
            return static_cast<transport*>(self)->accept(wish) ? 0 : 1;
        },
        this);
    ssh_set_counters(session_, &counter_, &packets_);
}

transport::~transport() { close(); }

bool transport::accept(ssh_message wish) noexcept {
    return ports_ && ssh_message_type(wish) == SSH_REQUEST_CHANNEL_OPEN &&
           ssh_message_subtype(wish) == SSH_CHANNEL_FORWARDED_TCPIP && ports_->accept(wish);
}

remote_ports& transport::ports() {
    if (!ports_) ports_ = std::make_unique<remote_ports>(*this);
    return *ports_;
}

bool transport::alive() const noexcept {
    // After a packet whose MAC is wrong libssh leaves the socket open and takes nothing more from it.
    return session_ && ssh_is_connected(session_) && !(ssh_get_status(session_) & SSH_CLOSED_ERROR);
}

bool transport::write_pending() const noexcept {
    return session_ && (ssh_get_status(session_) & SSH_WRITE_PENDING);
}

int transport::connect_once() {
    int const result = ssh_connect(session_);
    // libssh 0.10 makes the descriptor blocking as soon as it is connected
    // (ssh_socket_pollcallback), and with it ours, which shares the open file description: a send
    // to a stopped peer would hold the loop.
    asio::error_code ignored;
    socket_.native_non_blocking(true, ignored);
    if (event_ && !seen_alive_ && alive()) {
        ssh_event_add_session(event_, session_);
        seen_alive_ = true;
    }
    return result;
}

awaitable<> transport::progress(step when) {
    if (!alive()) throw_lost(when.at);
    auto deadline = when.deadline;
    auto const heard = counter_.in_bytes;
    if (when.idle.count() > 0) deadline = std::min(deadline, clock::now() + when.idle);
    trawl::detail::waiter place(waiters_);
    auto const how = co_await place.wait(deadline);
    if (how == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
    if (how == trawl::detail::wake::signalled || counter_.in_bytes != heard) co_return;
    if (heard_in_line()) co_return;
    if (clock::now() >= when.deadline)
        throw failure(trawl::errc::timed_out, when.at, peer_,
                      "no end within " + seconds(when.limit));
    throw failure(trawl::errc::timed_out, when.at, peer_, "silent for " + seconds(when.idle));
}

bool transport::settle() {
    if (!session_) return false;
    if (write_pending()) pump();
    bool const any = moved();
    watch();
    return any;
}

void transport::pump() noexcept {
    for (int turn = 0; turn < pump_turns; ++turn)
        if (ssh_event_dopoll(event_, 0) != SSH_OK) break;
}

bool transport::moved() noexcept {
    bool any = false;
    // Closing an abandoned channel moves bytes itself, hence the loop; it ends because each turn of
    // it consumed a packet.
    while (counter_.in_bytes != seen_in_ || counter_.out_bytes != seen_out_ ||
           (seen_alive_ && !alive())) {
        any = true;
        seen_in_ = counter_.in_bytes, seen_out_ = counter_.out_bytes, seen_alive_ = alive();
        close_abandoned();
        if (ports_) ports_->progress();
    }
    if (any) wake_all();
    return any;
}

/// What a listener does may move more, and so on; they are told one after the other, not one inside
/// the other.
void transport::wake_all() noexcept {
    waiters_.wake_all();
    tell_again_ = true;
    if (std::exchange(telling_, true)) return;
    while (std::exchange(tell_again_, false))
        for (std::size_t i = 0; i < listeners_.size(); ++i)
            if (listeners_[i]) listeners_[i]->progressed();
    telling_ = false;
    std::erase(listeners_, nullptr);
}

void transport::ignore(listener& l) noexcept {
    std::ranges::replace(listeners_, &l, nullptr);
    if (!telling_) std::erase(listeners_, nullptr);
}

void transport::close_abandoned() noexcept {
    if (abandoned_.empty() || !alive()) return;
    std::erase_if(abandoned_, [](ssh_channel opening) {
        if (ssh_channel_open_session(opening) == SSH_AGAIN) return false;
        ssh_channel_free(opening);
        return true;
    });
}

void transport::watch() {
    if (!alive() || in_line_) return;
    if (!reading_) watch_for(stream_socket::wait_read, reading_);
    if (!writing_ && write_pending()) watch_for(stream_socket::wait_write, writing_);
}

void transport::watch_for(stream_socket::wait_type what, bool& armed) {
    armed = true;
    // The handler keeps the transport, so that `armed` is there; close() cancels it.
    socket_.async_wait(what, [self = shared_from_this(), &armed](asio::error_code failed) {
        armed = false;
        if (failed || !self->session_ || std::exchange(self->in_line_, true)) return;
        self->turns_->stand_in_line(self);
    });
}

bool transport::heard_in_line() {
    if (!in_line_ || !session_) return false;
    auto const before = counter_.in_bytes;
    pump();
    settle();
    return counter_.in_bytes != before || !alive();
}

void transport::take_turn() {
    in_line_ = false;
    if (!session_) return;
    pump();
    settle();
}

bool transport::cut_off() const noexcept { return carrier_ && !carrier_->why().empty(); }

std::string transport::words() const {
    if (!silent_.empty()) return silent_;
    if (!session_) return last_words_;
    if (cut_off()) return carrier_->why();
    std::string text = ssh_get_error(session_);
    if (auto const end = text.find_last_not_of(" \r\n"); end != std::string::npos)
        text.resize(end + 1);
    return text;
}

void transport::throw_lost(ssh::phase at, std::string const& what) const {
    auto const code = silent_.empty() ? make_error_code(errc::disconnected)
                                      : make_error_code(trawl::errc::timed_out);
    throw failure(code, at, peer_, what.empty() ? words() : what + ": " + words());
}

// --- keepalive ---

void transport::keep_alive(ssh::keepalive how) {
    life_ = how;
    heard_ = counter_.in_bytes, unanswered_ = 0;
    if (life_.interval.count() > 0) wait_for_life();
}

void transport::wait_for_life() {
    life_timer_.expires_after(life_.interval);
    life_timer_.async_wait([self = weak_from_this()](asio::error_code cancelled) {
        auto const there = self.lock();
        if (!cancelled && there && there->alive()) there->look_for_life();
    });
}

void transport::look_for_life() {
    if (heard_in_line() && !alive()) return;
    if (std::exchange(heard_, counter_.in_bytes) != counter_.in_bytes) {
        unanswered_ = 0;
    } else if (unanswered_ == life_.unanswered) {
        silent_ = "no answer to " + std::to_string(unanswered_) + " keepalives, silent for " +
                  seconds(life_.interval * (unanswered_ + 1));
        return close();
    } else {
        ++unanswered_;
        if (!ports_ || !ports_->asking()) ask_for_life(); // else an answer is due anyway
    }
    wait_for_life();
}

void transport::ask_for_life() {
    // libssh asks for one thing at a time: when it has the last answer, a call only collects that.
    // A call in which nothing arrives tells by the packets sent whether it has asked; after two that
    // have not, the last question is still out.
    for (int silent = 0; silent < 2 && alive();) {
        auto const before = packets_;
        ssh_send_keepalive(session_);
        if (packets_.in_packets != before.in_packets) continue;
        if (packets_.out_packets != before.out_packets) break;
        ++silent;
    }
    asked_for_life_ = true;
    settle();
}

void transport::close() noexcept {
    if (!session_) return;
    life_timer_.cancel();
    if (ports_) ports_->close();
    for (auto* c : channels_) c->connection_closed();
    channels_.clear();
    last_words_ = alive() ? std::string("closed by this side") : words();
    if (alive()) pump(); // learns whether the goodbye can be sent at once
    ssh_event_free(event_);
    event_ = nullptr;
    int const descriptor = ssh_get_fd(session_);
    if (descriptor >= 0) ssh_disconnect(session_);
    // ssh_disconnect leaves a caller's descriptor open, unless its last send failed: then it is
    // closed and its number may be somebody else's by now.
    struct stat status;
    if (descriptor >= 0 && ::fstat(descriptor, &status) == 0 && status.st_ino == inode_)
        ::close(descriptor);
    ssh_free(session_);
    session_ = nullptr;
    asio::error_code ignored;
    socket_.close(ignored);
    wake_all();
}

} // namespace trawl::ssh::detail
