#pragma once

#include "ssh/turns.hpp"

#include <trawl/detail/parking.hpp>
#include <trawl/ssh.hpp>

#include <asio/generic/stream_protocol.hpp>
#include <asio/steady_timer.hpp>

#include <libssh/libssh.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trawl::ssh::detail {

class bridge;
class channel_handle;
class remote_ports;

/// Any connected stream that has a descriptor.
using stream_socket = asio::generic::stream_protocol::socket;

/// Where a wait stands: its phase, and until when it may last.
struct step {
    ssh::phase at;
    time_point deadline = time_point::max();
    std::chrono::milliseconds limit{0}; ///< what the deadline was made of, for the message
    std::chrono::milliseconds idle{0};  ///< zero, or how long the peer may be silent
};

/// A step whose deadline is `limit` from now; zero: none.
step step_within(ssh::phase at, std::chrono::milliseconds limit);

/// One libssh session in non-blocking mode over a connected socket.
///
///     call ── AGAIN ──> progress() ─ parks ─┐            the socket's descriptor (ours)
///      ^                                    │ wake_all    │ readable / writable
///      └────────────────────────────────────┴──── pump: ssh_event_dopoll until AGAIN
///
/// libssh gets a duplicate of the descriptor, because some of its error paths close the one they
/// were given. Any libssh call may read packets of any channel, so after every call and every pump
/// all waiters look again; what a waiter waits for is never asked of the descriptor first.
class transport : public std::enable_shared_from_this<transport>, public turn_taker {
public:
    /// Hears of everything that wakes the waiters, without a coroutine of its own. It may listen and
    /// ignore meanwhile.
    class listener {
    public:
        virtual void progressed() noexcept = 0;

    protected:
        ~listener() = default;
    };

    transport(stream_socket socket, std::string peer);
    transport(transport const&) = delete;
    transport& operator=(transport const&) = delete;
    ~transport();

    ssh_session handle() const noexcept { return session_; }
    std::string const& peer() const noexcept { return peer_; }
    stream_socket::executor_type executor() { return socket_.get_executor(); }
    /// The descriptor for SSH_OPTIONS_FD; libssh owns it from then on.
    int duplicate() const noexcept { return duplicate_; }

    /// False once libssh has given the connection up, or close() was called.
    bool alive() const noexcept;
    /// Bytes in libssh's buffer that the kernel has not taken.
    bool write_pending() const noexcept;
    std::uint64_t bytes_in() const noexcept { return counter_.in_bytes; }

    /// Calls `call` until it answers something else than `again`, waiting in between. The first
    /// answer after a lost connection is libssh's own.
    template <class Call>
    awaitable<int> drive(Call call, int again, step when) {
        for (;;) {
            int const result = call();
            bool const moved = settle();
            if (result != again) co_return result;
            if (!moved)
                co_await progress(when);
            else if (budget_.spent())
                co_await yield();
        }
    }

    /// One call of ssh_connect and what must follow it.
    int connect_once();

    /// Waits until something has arrived, left or broken. Throws failure when the step's time is
    /// up.
    awaitable<> progress(step when);

    /// After a libssh call: sends what it has queued as far as that goes at once, wakes everybody
    /// if anything has moved, and watches the descriptor. True when something has moved.
    bool settle();

    /// Throws what the end of the connection means in this phase: `what`, and libssh's or the
    /// peer's words.
    [[noreturn]] void throw_lost(ssh::phase at, std::string const& what = {}) const;
    /// libssh's last message without its decoration.
    std::string words() const;

    void attach(channel_handle& c) { channels_.push_back(&c); }
    void detach(channel_handle& c) noexcept { std::erase(channels_, &c); }
    void listen(listener& l) { listeners_.push_back(&l); }
    void ignore(listener& l) noexcept;
    /// Keeps a channel whose opening was given up until the server has answered, then closes it.
    void abandon(ssh_channel opening) { abandoned_.push_back(opening); }

    /// The ports at the server that connections come in by; until close().
    remote_ports& ports();

    /// From now on: a peer that gives no sign of life is given up.
    void keep_alive(ssh::keepalive how);

    /// True once after a keepalive: libssh's next answer to a global request is the one to that.
    bool take_sign_of_life() noexcept { return std::exchange(asked_for_life_, false); }

    /// The bytes go through a channel of another session, which knows why they end.
    void carried_by(std::shared_ptr<bridge const> carrier) { carrier_ = std::move(carrier); }
    /// That session has ended.
    bool cut_off() const noexcept;

    /// Takes what the socket has brought: this session's turn has come.
    void take_turn() override;

    /// Says goodbye if that goes at once, and closes. Wakes all waiters.
    void close() noexcept;

private:
    bool accept(ssh_message wish) noexcept;
    void pump() noexcept;
    bool moved() noexcept;
    void wake_all() noexcept;
    void close_abandoned() noexcept;
    void watch();
    void wait_for_life();
    /// Takes what has come while this session stands in line: to be asked before it is called silent.
    /// True when something had, be it the end.
    bool heard_in_line();
    void look_for_life();
    void ask_for_life();
    void watch_for(stream_socket::wait_type what, bool& armed);

    stream_socket socket_;
    std::string peer_;
    std::shared_ptr<turns> turns_;
    ssh_session session_ = nullptr;
    ssh_event event_ = nullptr;
    ssh_counter_struct counter_{}, packets_{}; // of the socket; of what is inside
    int duplicate_ = -1;
    std::uint64_t inode_ = 0;
    std::uint64_t seen_in_ = 0, seen_out_ = 0;
    bool seen_alive_ = false;
    bool reading_ = false, writing_ = false;
    bool in_line_ = false;   // has been woken, and waits for its turn
    std::string last_words_; // of a session that is closed
    std::vector<channel_handle*> channels_;
    std::vector<listener*> listeners_; // null: gone while they were told
    bool telling_ = false, tell_again_ = false;
    std::shared_ptr<bridge const> carrier_;
    ssh::keepalive life_;
    asio::steady_timer life_timer_;
    std::uint64_t heard_ = 0;
    unsigned unanswered_ = 0;
    std::string silent_; // why it was given up
    std::vector<ssh_channel> abandoned_;
    std::unique_ptr<remote_ports> ports_; // when they are needed
    bool asked_for_life_ = false;         // and nobody has collected the answer
    trawl::detail::waiter_list waiters_;
    trawl::detail::turn_budget budget_;
};

} // namespace trawl::ssh::detail
