#include "ssh/channel.hpp"

#include <algorithm>
#include <new>

namespace trawl::ssh::detail {
namespace {

// ssh_channel_write copies whatever the peer's window holds (2 MB) into libssh's buffer, which
// never shrinks.
constexpr std::size_t largest_write = 128 * 1024;

} // namespace

void channel::stream::take(char const* data, std::size_t size) {
    auto const kept = std::min(size, budget - bytes.size());
    bytes.append(data, kept);
    if (kept < size) truncated = true;
}

channel::channel(std::shared_ptr<transport> link, std::size_t budget) : link_(std::move(link)) {
    out.budget = err.budget = budget;
    if (!link_->alive()) link_->throw_lost(phase::channel);
    handle_ = ssh_channel_new(link_->handle());
    if (!handle_) throw std::bad_alloc();
    auto& c = callbacks_;
    ssh_callbacks_init(&c);
    c.userdata = this;
    // The answer is the number of bytes consumed; libssh reopens the window by as many.
    c.channel_data_function = [](ssh_session, ssh_channel, void* data, std::uint32_t size,
                                 int is_err, void* self) {
        auto& to = is_err ? static_cast<channel*>(self)->err : static_cast<channel*>(self)->out;
        to.take(static_cast<char const*>(data), size);
        return static_cast<int>(size);
    };
    c.channel_eof_function = [](ssh_session, ssh_channel, void* self) {
        static_cast<channel*>(self)->eof_ = true;
    };
    c.channel_close_function = [](ssh_session, ssh_channel, void* self) {
        static_cast<channel*>(self)->closed_ = true;
    };
    c.channel_exit_status_function = [](ssh_session, ssh_channel, int status, void* self) {
        static_cast<channel*>(self)->exit_status = status;
    };
    c.channel_exit_signal_function = [](ssh_session, ssh_channel, char const* signal, int,
                                        char const*, char const*, void* self) {
        static_cast<channel*>(self)->exit_signal = signal ? signal : "";
    };
    ssh_set_channel_callbacks(handle_, &callbacks_);
    link_->attach(*this);
}

channel::~channel() {
    if (!handle_) return;
    link_->detach(*this);
    ssh_remove_channel_callbacks(handle_, &callbacks_);
    if (opening_ && link_->alive()) {
        link_->abandon(handle_);
    } else {
        // sshd passes the signal on (OpenSSH 7.9 and later); elsewhere the closed pipes have to do.
        if (running_ && !ended() && link_->alive())
            ssh_channel_request_send_signal(handle_, "TERM");
        ssh_channel_free(handle_);
    }
    link_->settle();
}

void channel::connection_closed() noexcept {
    if (handle_) ssh_remove_channel_callbacks(handle_, &callbacks_);
    handle_ = nullptr;
}

awaitable<> channel::open(step when) {
    opening_ = true;
    auto call = [this] { return handle_ ? ssh_channel_open_session(handle_) : SSH_ERROR; };
    int const result = co_await link_->drive(call, SSH_AGAIN, when);
    opening_ = false;
    if (result == SSH_OK) co_return;
    if (!link_->alive()) link_->throw_lost(when.at);
    throw failure(errc::channel_refused, when.at, link_->peer(), link_->words());
}

awaitable<> channel::request_exec(std::string command, step when) {
    running_ = true;
    auto call = [this, &command] {
        return handle_ ? ssh_channel_request_exec(handle_, command.c_str()) : SSH_ERROR;
    };
    int const result = co_await link_->drive(call, SSH_AGAIN, when);
    // libssh fails a request that was granted when the connection has ended by the time it is asked
    // again; the answer to the command may have come with the end.
    if (result == SSH_OK || answered()) co_return;
    running_ = false;
    if (!link_->alive()) link_->throw_lost(when.at);
    throw failure(errc::exec_failed, when.at, link_->peer(), link_->words());
}

awaitable<> channel::feed(std::string input, step when) {
    std::size_t sent = 0;
    while (sent < input.size() && handle_ && link_->alive() && !ended()) {
        int wrote = 0; // nothing while the last piece is in libssh's buffer, the window is full, or
                       // keys change
        if (!link_->write_pending()) {
            auto const piece =
                static_cast<std::uint32_t>(std::min(largest_write, input.size() - sent));
            wrote = ssh_channel_write(handle_, input.data() + sent, piece);
        }
        if (wrote > 0) sent += static_cast<std::size_t>(wrote);
        bool const moved = link_->settle();
        if (wrote < 0)
            break; // the command has closed its side, or the connection is lost: finish() tells
        if (wrote == 0 && !moved) co_await link_->progress(when);
    }
    if (handle_ && link_->alive() && !closed_) ssh_channel_send_eof(handle_);
    link_->settle();
}

awaitable<> channel::finish(step when) {
    while (!ended()) {
        if (!handle_ || !link_->alive()) {
            if (answered()) break; // nothing more to learn
            link_->throw_lost(when.at);
        }
        co_await link_->progress(when);
    }
}

} // namespace trawl::ssh::detail
