#include "lab/ssh_connection.hpp"

#include "lab/command.hpp"

#include <trawl/error.hpp>

#include <asio/buffer.hpp>
#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <fmt/format.h>

#include <openssl/crypto.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace trawl::lab {

using asio::ip::tcp;

namespace {

// One libssh packet holds 32,768 bytes of payload; more in one write only lengthens its buffer.
constexpr std::size_t piece = 32 * 1024;
// Packets are 4 KiB a poll inside libssh: 64 of them, and the loop's other handlers get their turn.
constexpr int polls_at_once = 64;
constexpr std::size_t max_environment = 64;

std::string text_of(tcp::endpoint const& where) {
    return fmt::format("{} {}", where.address().to_string(), where.port());
}

bool same_secret(std::string_view a, std::string_view b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

// RFC 4254 §6.9 names signals without SIG.
int signal_number(std::string_view name) {
    for (int number = 1; number < NSIG; ++number)
        if (auto const* known = ::sigabbrev_np(number); known && name == known) return number;
    return 0;
}

} // namespace

struct ssh_connection::channel {
    channel(ssh_connection& o, ssh_channel h) : owner(o), handle(h) {}
    channel(channel const&) = delete;
    channel& operator=(channel const&) = delete;
    // libssh keeps the channel until the client's CLOSE and would call back meanwhile.
    ~channel() {
        ssh_remove_channel_callbacks(handle, &callbacks);
        ssh_channel_free(handle);
    }

    ssh_connection& owner;
    ssh_channel handle;
    ssh_channel_callbacks_struct callbacks{};
    std::optional<std::string> request; ///< the command line; empty for a shell
    std::vector<std::string> environment;
    std::optional<command::result> result;
    command* process = nullptr;    ///< while it runs
    task_group* running = nullptr; ///< while it runs
    detail::waiter_list changed;   ///< data, EOF, room to write, ...: look again
    bool started = false, eof = false, closed = false;
    bool news = false; ///< something of the client's came in: data, EOF or CLOSE
};

// What libssh calls while it digests packets: notes only, settle() acts on them.
struct ssh_connection::callbacks {
    static ssh_connection& connection(void* of) { return *static_cast<ssh_connection*>(of); }
    static channel& channel_of(void* data) { return *static_cast<channel*>(data); }

    static int verdict(ssh_connection& self, bool good, bool counts) {
        if (good && counts && !std::exchange(self.logged_in_, true)) ++self.policy_.stats.logins;
        if (!good) ++self.failed_logins_;
        return good ? SSH_AUTH_SUCCESS : SSH_AUTH_DENIED;
    }
    static int password(ssh_session, char const* user, char const* word, void* data) {
        auto& self = connection(data);
        bool const good =
            self.policy_.configuration.user == user && same_secret(word, self.policy_.password);
        return verdict(self, good, true);
    }
    static int public_key(ssh_session, char const* user, ssh_key_struct* key, char state,
                          void* data) {
        auto& self = connection(data);
        bool const probe = state == SSH_PUBLICKEY_STATE_NONE;
        bool const good = self.policy_.configuration.user == user &&
                          (probe || state == SSH_PUBLICKEY_STATE_VALID) &&
                          ssh_key_cmp(key, self.policy_.user_key.get(), SSH_KEY_CMP_PUBLIC) == 0;
        return verdict(self, good, !probe);
    }
    static ssh_channel open(ssh_session session, void* data) {
        auto& self = connection(data);
        if (self.channels_.size() >= self.policy_.configuration.max_channels) return nullptr;
        auto* handle = ssh_channel_new(session);
        if (!handle) return nullptr;
        auto& opened = self.channels_.emplace_back(self, handle);
        auto& calls = opened.callbacks;
        calls.userdata = &opened;
        calls.channel_data_function = [](ssh_session, ssh_channel, void*, std::uint32_t, int,
                                         void* of) {
            channel_of(of).news = true;
            return 0; // feed() reads it
        };
        calls.channel_eof_function = [](ssh_session, ssh_channel, void* of) {
            channel_of(of).eof = channel_of(of).news = true;
        };
        calls.channel_close_function = [](ssh_session, ssh_channel, void* of) {
            channel_of(of).closed = channel_of(of).news = true;
        };
        calls.channel_signal_function = signal;
        calls.channel_exec_request_function = [](ssh_session, ssh_channel, char const* line,
                                                 void* of) {
            return request(channel_of(of), line);
        };
        calls.channel_shell_request_function = [](ssh_session, ssh_channel, void* of) {
            return request(channel_of(of), "");
        };
        calls.channel_env_request_function = environment;
        calls.channel_pty_request_function = [](ssh_session, ssh_channel, char const*, int, int,
                                                int, int, void*) { return -1; };
        calls.channel_subsystem_request_function = [](ssh_session, ssh_channel, char const*,
                                                      void*) { return 1; };
        ssh_callbacks_init(&calls);
        ssh_set_channel_callbacks(handle, &calls);
        return handle;
    }
    // One request a channel (RFC 4254 §6.5).
    static int request(channel& on, char const* line) {
        if (on.request) return 1;
        on.request = line;
        ++on.owner.policy_.stats.commands;
        return 0;
    }
    // What Debian's sshd accepts: AcceptEnv LANG LC_*.
    static int environment(ssh_session, ssh_channel, char const* name, char const* value,
                           void* data) {
        auto& on = channel_of(data);
        bool const wanted = std::strcmp(name, "LANG") == 0 || std::strncmp(name, "LC_", 3) == 0;
        if (!wanted || on.started || on.environment.size() >= max_environment) return 1;
        on.environment.push_back(fmt::format("{}={}", name, value));
        return 0;
    }
    static void signal(ssh_session, ssh_channel, char const* name, void* data) {
        auto& on = channel_of(data);
        if (auto const number = signal_number(name); number > 0 && on.process)
            on.process->signal(number);
    }
};

ssh_connection::ssh_connection(tcp::socket client, ssh_bind host, ssh_policy& policy)
    : socket_(std::move(client)), policy_(policy), session_(ssh_new()), event_(ssh_event_new()) {
    ++policy_.stats.connections;
    ++policy_.stats.open;
    asio::error_code gone; // the client may have left already: the first read tells
    local_ = socket_.local_endpoint(gone);
    peer_ = socket_.remote_endpoint(gone);
    socket_.set_option(tcp::no_delay(true), gone);
    auto const known = policy_.configuration.faults.find(local_.address());
    fault_ = known == policy_.configuration.faults.end() ? fault::none : known->second;

    auto const where = "lab ssh " + text_of(local_);
    if (!session_ || !event_) throw error(make_error_code(std::errc::not_enough_memory), where);
    ssh_set_blocking(session_.get(), 0);
    server_callbacks_.userdata = this;
    server_callbacks_.auth_password_function = callbacks::password;
    server_callbacks_.auth_pubkey_function = callbacks::public_key;
    server_callbacks_.channel_open_request_session_function = callbacks::open;
    ssh_callbacks_init(&server_callbacks_);
    ssh_set_server_callbacks(session_.get(), &server_callbacks_);
    ssh_set_auth_methods(session_.get(), SSH_AUTH_METHOD_PASSWORD | SSH_AUTH_METHOD_PUBLICKEY);

    // libssh closes its descriptor when it likes; Asio keeps its own.
    int const descriptor = ::fcntl(socket_.native_handle(), F_DUPFD_CLOEXEC, 3);
    if (descriptor < 0) throw error(std::error_code(errno, std::generic_category()), where);
    if (ssh_bind_accept_fd(host, session_.get(), descriptor) != SSH_OK) {
        if (ssh_get_fd(session_.get()) != descriptor) ::close(descriptor);
        throw error(make_error_code(errc::keys), where, ssh_get_error(host));
    }
}

ssh_connection::~ssh_connection() {
    --policy_.stats.open;
    channels_.clear();
    if (!session_) return;
    if (keys_exchanged_) ssh_event_remove_session(event_.get(), session_.get());
    ssh_disconnect(session_.get());
}

awaitable<> ssh_connection::serve() {
    auto const body = [this](task_group& group) { return begin(group); };
    co_await with_group(body);
}

awaitable<> ssh_connection::begin(task_group& group) {
    group_ = &group;
    group.spawn_background(login_deadline());
    group.spawn_background(write_loop());
    group.spawn(read_loop());
    co_return;
}

awaitable<> ssh_connection::login_deadline() {
    co_await sleep_for(policy_.configuration.login_grace);
    if (!logged_in_) end("no login in time");
}

awaitable<> ssh_connection::read_loop() {
    for (drive(); !ended_; drive())
        co_await socket_.async_wait(tcp::socket::wait_read, asio::use_awaitable);
}

awaitable<> ssh_connection::write_loop() {
    while (!ended_) {
        if (!unsent()) {
            detail::waiter more(unsent_);
            if (co_await more.wait() == detail::wake::cancelled) co_return;
            continue;
        }
        co_await socket_.async_wait(tcp::socket::wait_write, asio::use_awaitable);
        drive();
    }
}

bool ssh_connection::unsent() const {
    return (ssh_get_status(session_.get()) & SSH_WRITE_PENDING) != 0;
}

void ssh_connection::drive() {
    if (ended_) return;
    if (!keys_exchanged_) exchange_keys();
    if (keys_exchanged_ && !ended_) pump();
    if (!ended_) settle();
}

void ssh_connection::exchange_keys() {
    auto const outcome = ssh_handle_key_exchange(session_.get());
    // libssh clears O_NONBLOCK, Asio's too, when it first sees its socket connected; a send would
    // then block.
    if (auto const descriptor = ssh_get_fd(session_.get()); descriptor >= 0)
        ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
    if (outcome == SSH_ERROR) return end(ssh_get_error(session_.get()));
    if (outcome != SSH_OK) return;
    keys_exchanged_ = true;
    if (ssh_event_add_session(event_.get(), session_.get()) != SSH_OK)
        end("no memory for the event");
}

void ssh_connection::pump() {
    for (int i = 0; i < polls_at_once; ++i) {
        auto const outcome = ssh_event_dopoll(event_.get(), 0);
        if (outcome == SSH_ERROR) return end(ssh_get_error(session_.get()));
        if (outcome != SSH_OK) break;
    }
    // Requests that no callback took wait in libssh's list, also those that came in with the key
    // exchange.
    if (ssh_execute_message_callbacks(session_.get()) == SSH_ERROR)
        end(ssh_get_error(session_.get()));
}

void ssh_connection::settle() {
    if (!ssh_is_connected(session_.get()) ||
        (ssh_get_status(session_.get()) & (SSH_CLOSED | SSH_CLOSED_ERROR)) != 0)
        return end("disconnected");
    if (failed_logins_ >= policy_.configuration.max_attempts) return end("too many failed logins");

    std::vector<channel*> to_start;
    for (auto at = channels_.begin(); at != channels_.end();) {
        auto& each = *at++;
        if (each.closed && each.running) each.running->cancel();
        if (each.started) continue;
        if (each.closed) {
            channels_.remove_if([&](channel const& one) { return &one == &each; });
        } else if (each.request) {
            each.started = true;
            to_start.push_back(&each);
        }
    }
    // A child runs at once and may drive() again; it removes no channel but its own.
    for (auto* each : to_start) group_->spawn(run_channel(*each));
    for (auto& each : channels_) each.changed.wake_all();
    if (unsent()) unsent_.wake_all();
}

void ssh_connection::end(std::string_view why) {
    if (std::exchange(ended_, true)) return;
    if (policy_.configuration.watch)
        policy_.configuration.watch->log(severity::debug, "lab ssh " + text_of(local_),
                                         fmt::format("{} closed: {}", text_of(peer_), why));
    if (group_) group_->cancel();
}

// RST, and not a word more: libssh would still close its channels in good order, so its descriptor
// is turned into one that leads nowhere. Asio undoes a linger option of its own before it closes;
// this one it does not know of.
void ssh_connection::reset() {
    if (ended_) return;
    if (int const descriptor = ssh_get_fd(session_.get()); descriptor >= 0) {
        int const nowhere = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ::dup3(nowhere, descriptor, O_CLOEXEC);
        ::close(nowhere);
    }
    linger const none{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    end("died on purpose");
    asio::error_code ignored;
    socket_.close(ignored);
}

awaitable<> ssh_connection::run_channel(channel& to) {
    std::exception_ptr failure;
    try {
        auto const canned = policy_.configuration.canned.find(*to.request);
        if (canned != policy_.configuration.canned.end())
            co_await answer(to, canned->second);
        else
            co_await run_command(to);
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure && !is_cancelled(failure) && policy_.configuration.watch)
        policy_.configuration.watch->log(severity::warning, "lab ssh " + text_of(local_),
                                         describe(failure));
    finish(to);
    channels_.remove_if([&](channel const& one) { return &one == &to; });
    drive();
}

awaitable<> ssh_connection::answer(channel& to, canned_answer with) {
    co_await send(to, with.out, false);
    co_await send(to, with.err, true);
    to.result = command::result{.exit_status = with.exit_status};
}

awaitable<> ssh_connection::run_command(channel& to) {
    std::optional<command> process;
    std::string failed;
    command::options what{
        .line = *to.request, .environment = environment(to), .directory = policy_.home};
    try {
        process.emplace(socket_.get_executor(), std::move(what));
        co_await process->start(*policy_.starter);
    } catch (std::system_error const& failure) {
        if (is_cancelled(failure)) throw;
        failed = fmt::format("lab: cannot start the command: {}\n", failure.what());
    }
    if (!failed.empty()) {
        to.result = command::result{.exit_status = 255};
        co_return co_await send(to, failed, true);
    }
    if (to.closed || ended_) co_return; // the client did not wait for the start
    to.process = &*process;
    std::exception_ptr failure;
    try {
        auto const body = [&](task_group& group) { return supervise(to, *process, group); };
        co_await with_group(body);
        if (!to.closed && !ended_) to.result = process->outcome();
    } catch (...) {
        failure = std::current_exception();
    }
    to.running = nullptr;
    to.process = nullptr;
    // So that the destructor, which reaps, need not wait for the dying.
    process->signal(SIGKILL);
    auto gone = process->ended();
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await shielded(within(std::chrono::seconds(1), std::move(gone)));
    co_await asio::this_coro::throw_if_cancelled(true);
    if (failure) std::rethrow_exception(failure);
}

// Ends as sshd does: when the command has ended and both its outputs are closed.
awaitable<> ssh_connection::supervise(channel& to, command& process, task_group& group) {
    to.running = &group;
    group.spawn_background(feed(to, process));
    group.spawn(forward(to, process.output(), false));
    group.spawn(forward(to, process.errors(), true));
    group.spawn(process.ended());
    co_return;
}

awaitable<> ssh_connection::forward(channel& to, asio::posix::stream_descriptor& from,
                                    bool is_stderr) {
    std::vector<char> bytes(piece);
    for (;;) {
        asio::error_code failure;
        auto const size = co_await from.async_read_some(
            asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, failure));
        if (failure == asio::error::eof) co_return;
        if (failure) throw std::system_error(failure, "reading a command's output");
        co_await send(to, std::string_view(bytes.data(), size), is_stderr);
    }
}

// libssh's window bounds what waits in it: 1.28 MB a channel. A command that closed its stdin has
// the rest dropped.
awaitable<> ssh_connection::feed(channel& from, command& into) {
    std::vector<char> bytes(piece);
    for (bool open = true;;) {
        from.news = false;
        auto const size = ssh_channel_read_nonblocking(from.handle, bytes.data(), piece, 0);
        drive(); // the window's adjustment wants to be sent, and packets may have come in
        if (size > 0) {
            if (!open) { // nobody reads it; the others get their turn
                co_await yield();
                continue;
            }
            asio::error_code failure;
            auto const text = asio::buffer(bytes.data(), static_cast<std::size_t>(size));
            co_await asio::async_write(into.input(), text,
                                       asio::redirect_error(asio::use_awaitable, failure));
            if (failure == asio::error::operation_aborted) throw std::system_error(failure);
            open = !failure;
        } else if (from.news) {
            continue;
        } else if (from.eof || from.closed || ended_ || size == SSH_ERROR) {
            asio::error_code ignored;
            into.input().close(ignored);
            co_return;
        } else {
            co_await changed(from);
        }
    }
}

// Hands libssh a piece only when it has sent the one before: its buffer takes a whole window
// otherwise.
awaitable<> ssh_connection::send(channel& to, std::string_view bytes, bool is_stderr) {
    while (!bytes.empty() && !to.closed && !ended_) {
        auto const window = ssh_channel_window_size(to.handle);
        if (unsent() || window == 0) {
            co_await changed(to);
            continue;
        }
        auto const size =
            static_cast<std::uint32_t>(std::min<std::size_t>({bytes.size(), window, piece}));
        auto const sent = is_stderr ? ssh_channel_write_stderr(to.handle, bytes.data(), size)
                                    : ssh_channel_write(to.handle, bytes.data(), size);
        if (sent == SSH_ERROR) co_return end(ssh_get_error(session_.get()));
        bytes.remove_prefix(static_cast<std::size_t>(sent));
        drive();
        if (fault_ == fault::die) co_return reset();
        // Keys are being renewed; libssh does not tell when that is over.
        if (sent == 0) co_await sleep_for(std::chrono::milliseconds(1));
    }
}

awaitable<> ssh_connection::changed(channel& on) {
    detail::waiter waiter(on.changed);
    if (co_await waiter.wait() == detail::wake::cancelled)
        throw std::system_error(asio::error::operation_aborted);
}

void ssh_connection::finish(channel& to) {
    if (fault_ == fault::die) reset();
    if (!ended_ && !to.closed) {
        if (to.result && to.result->signal > 0) {
            auto const* name = ::sigabbrev_np(to.result->signal);
            ssh_channel_request_send_exit_signal(to.handle, name ? name : "KILL", to.result->core,
                                                 "", "");
        } else if (to.result) {
            ssh_channel_request_send_exit_status(to.handle, to.result->exit_status);
        }
        ssh_channel_send_eof(to.handle);
        ssh_channel_close(to.handle);
    }
}

std::vector<std::string> ssh_connection::environment(channel const& of) const {
    auto const& user = policy_.configuration.user;
    std::vector<std::string> all{
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SHELL=/bin/sh",
        "HOME=" + policy_.home,
        "USER=" + user,
        "LOGNAME=" + user,
        fmt::format("SSH_CLIENT={} {}", text_of(peer_), local_.port()),
        fmt::format("SSH_CONNECTION={} {}", text_of(peer_), text_of(local_)),
        "TRAWL_LAB_HOST=" + local_.address().to_string(),
    };
    all.insert(all.end(), of.environment.begin(), of.environment.end());
    return all;
}

} // namespace trawl::lab
