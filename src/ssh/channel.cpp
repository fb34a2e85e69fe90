#include "ssh/channel.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace trawl::ssh::detail {
namespace {

// ssh_channel_write copies whatever the peer's window holds (2 MB) into libssh's buffer, which
// never shrinks.
constexpr std::size_t largest_write = 128 * 1024;

/// dropbear (2022.83) ends the session ("Failed assertion ... `!channel->sent_close'") when a
/// command ends while its channel closes, as it would after a signal.
bool takes_last_signal(ssh_session by) {
    char const* const banner = ssh_get_serverbanner(by);
    return !banner || !std::string_view(banner).starts_with("SSH-2.0-dropbear");
}

} // namespace

std::size_t channel::stream::take(char const* data, std::size_t size, overflow rest) {
    auto const kept = std::min(size, budget - std::min(budget, bytes.size()));
    bytes.append(data, kept);
    held = rest == overflow::hold ? size - kept : 0;
    if (kept < size && rest == overflow::drop) truncated = true;
    return size - held;
}

channel::channel(std::shared_ptr<transport> link, std::size_t budget, overflow rest)
    : link_(std::move(link)), handle_(link_, &callbacks_), rest_(rest) {
    out.budget = err.budget = budget;
    auto& c = callbacks_;
    ssh_callbacks_init(&c);
    c.userdata = this;
    // libssh shows all it holds of the stream. The answer is the number of bytes consumed, by as
    // many it reopens the window.
    c.channel_data_function = [](ssh_session, ssh_channel, void* data, std::uint32_t size,
                                 int is_err, void* self) {
        auto& here = *static_cast<channel*>(self);
        return here.arrived(is_err ? here.err : here.out, static_cast<char const*>(data), size);
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
}

channel::~channel() {
    // sshd passes the signal on (OpenSSH 7.9 and later); elsewhere the closed pipes have to do.
    if (handle_ && running_ && !ended() && link_->alive() && takes_last_signal(link_->handle()))
        ssh_channel_request_send_signal(handle_, "TERM");
}

int channel::arrived(stream& to, char const* data, std::size_t size) {
    if (out.bytes.empty() && err.bytes.empty()) err_first_ = &to == &err;
    return static_cast<int>(to.take(data, size, rest_));
}

void channel::throw_refused(errc code, ssh::phase at) const {
    if (!link_->alive()) link_->throw_lost(at);
    throw failure(code, at, link_->peer(), link_->words());
}

/// sshd tells the status as soon as the command has ended, before the rest of its output.
void channel::throw_unfinished(ssh::phase at) const {
    std::string what;
    if (exit_status) what = "exit status " + std::to_string(*exit_status);
    if (!exit_signal.empty()) what = "ended by signal " + exit_signal;
    link_->throw_lost(at, what.empty() ? what : what + ", but its output was cut off");
}

void channel::check_connected(ssh::phase at) const {
    if (!ended() && (!handle_ || !link_->alive())) throw_unfinished(at);
}

awaitable<> channel::request_terminal(ssh::terminal what, step when) {
    auto call = [this, &what] {
        return handle_ ? ssh_channel_request_pty_size(handle_, what.type.c_str(),
                                                      static_cast<int>(what.columns),
                                                      static_cast<int>(what.rows))
                       : SSH_ERROR;
    };
    int const result = co_await link_->drive(call, SSH_AGAIN, when);
    if (result != SSH_OK) throw_refused(errc::exec_failed, when.at);
}

awaitable<bool> channel::request_variable(std::string name, std::string value, step when) {
    auto call = [this, &name, &value] {
        return handle_ ? ssh_channel_request_env(handle_, name.c_str(), value.c_str()) : SSH_ERROR;
    };
    int const result = co_await link_->drive(call, SSH_AGAIN, when);
    if (result != SSH_OK && !link_->alive()) link_->throw_lost(when.at);
    co_return result == SSH_OK;
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
    throw_refused(errc::exec_failed, when.at);
}

awaitable<bool> channel::feed(std::string_view input, step when) {
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
    co_return sent == input.size();
}

void channel::end_input() {
    if (handle_ && link_->alive() && !closed_) ssh_channel_send_eof(handle_);
    link_->settle();
}

awaitable<std::optional<output_piece>> channel::read(step when) {
    for (;;) {
        if (auto piece = take_piece()) co_return piece;
        if (eof_ || closed_) co_return std::nullopt;
        if (!handle_ || !link_->alive()) link_->throw_lost(when.at);
        co_await link_->progress(when);
    }
}

std::optional<output_piece> channel::take_piece() {
    bool const is_err = out.bytes.empty() || (err_first_ && !err.bytes.empty());
    auto& from = is_err ? err : out;
    if (from.bytes.empty()) return std::nullopt;
    output_piece piece{is_err ? output_stream::err : output_stream::out, {}};
    if (from.bytes.size() <= from.budget) {
        piece.bytes = std::exchange(from.bytes, {});
    } else {
        piece.bytes = from.bytes.substr(from.given, from.budget);
        from.given += piece.bytes.size();
        if (from.given == from.bytes.size()) from.bytes.clear(), from.given = 0;
    }
    if (!from.bytes.empty()) return piece;
    err_first_ = !is_err;
    fetch_held(from, is_err);
    return piece;
}

// All at once: each read opens the window by 1.28 MB when it is below half of that, however much
// stays in libssh's buffer. Smaller reads would let that buffer grow without bound.
void channel::fetch_held(stream& to, bool is_err) {
    if (to.held == 0 || !handle_) return;
    std::string bytes(to.held, '\0');
    auto const got = ssh_channel_read_nonblocking(handle_, bytes.data(),
                                                  static_cast<std::uint32_t>(bytes.size()), is_err);
    bytes.resize(static_cast<std::size_t>(std::max(got, 0))); // none: the connection is lost
    to.held = got > 0 ? to.held - bytes.size() : 0;
    to.bytes = std::move(bytes);
    link_->settle(); // the window was reopened
}

void channel::drop_output() {
    rest_ = overflow::drop;
    for (auto* of : {&out, &err}) {
        while (of->held > 0) fetch_held(*of, of == &err);
        of->bytes.clear();
        of->budget = 0;
    }
}

void channel::signal(char const* name) {
    if (handle_ && link_->alive() && !ended()) ssh_channel_request_send_signal(handle_, name);
    link_->settle();
}

void channel::resize(unsigned columns, unsigned rows) {
    if (handle_ && link_->alive() && !ended())
        ssh_channel_change_pty_size(handle_, static_cast<int>(columns), static_cast<int>(rows));
    link_->settle();
}

awaitable<> channel::finish(step when) {
    while (!ended()) {
        check_connected(when.at);
        co_await link_->progress(when);
    }
}

} // namespace trawl::ssh::detail
