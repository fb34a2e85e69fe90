#include "ssh/auth.hpp"
#include "ssh/channel.hpp"
#include "ssh/private_key.hpp"
#include "ssh/transport.hpp"

#include <trawl/limiter.hpp>
#include <trawl/mutex.hpp>
#include <trawl/net.hpp>
#include <trawl/ssh.hpp>

#include <algorithm>
#include <utility>

namespace trawl::ssh {

using detail::channel;
using detail::step_within;
using detail::transport;
using tcp = asio::ip::tcp;

struct detail::session_state {
    session_state(asio::any_io_executor on, ssh::options configuration)
        : executor(std::move(on)), how(std::move(configuration)),
          channels(std::max<std::size_t>(how.max_channels, 1)) {
        peer = how.host + ":" + std::to_string(how.port);
        if (!how.known) how.known = std::make_shared<ssh::host_keys>();
    }

    void log(severity level, std::string_view text) const {
        if (how.log) how.log->log(level, "ssh " + peer, text);
    }

    asio::any_io_executor executor;
    ssh::options how;
    std::string peer, banner;
    std::optional<asio::ip::address> address;
    host_key shown;
    std::shared_ptr<transport> link;
    limiter channels;
    std::size_t open = 0; // commands with a channel
    bool opened = false;  // this server has granted one before
    mutex refused;        // held by the one command that asks again
    trawl::detail::waiter_list ended;
};

namespace {

using state_ptr = std::shared_ptr<detail::session_state>;

std::string to_text(tcp::endpoint const& at) {
    auto const address = at.address().to_string();
    return (at.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(at.port());
}

/// libssh's own order, for hosts that are not on record.
constexpr std::string_view host_key_algorithms[] = {
    "ssh-ed25519",         "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp256", "rsa-sha2-512",        "rsa-sha2-256",
};

/// The host key algorithms to ask for: those whose keys are on record first, as OpenSSH does, so
/// that a host with several keys shows the one that can be compared.
std::string preferred_algorithms(std::vector<std::string> const& on_record) {
    auto const recorded = [&](std::string_view algorithm) {
        auto const type =
            algorithm.starts_with("rsa-sha2-") ? std::string_view("ssh-rsa") : algorithm;
        return std::find(on_record.begin(), on_record.end(), type) != on_record.end();
    };
    std::vector<std::string_view> order(std::begin(host_key_algorithms),
                                        std::end(host_key_algorithms));
    std::stable_partition(order.begin(), order.end(), recorded);
    std::string out;
    for (auto algorithm : order) out.append(out.empty() ? "" : ",").append(algorithm);
    return out;
}

void configure(transport& link, options const& how, std::vector<std::string> const& on_record) {
    auto* const s = link.handle();
    auto const set = [&](ssh_options_e option, void const* value) {
        if (ssh_options_set(s, option, value) != SSH_OK)
            throw failure(errc::connect_failed, phase::connect, link.peer(), link.words());
    };
    bool const no = false; // configuration files are read with blocking calls, once a session
    int const descriptor = link.duplicate();
    auto const algorithms = preferred_algorithms(on_record);
    set(SSH_OPTIONS_PROCESS_CONFIG, &no);
    set(SSH_OPTIONS_HOST, how.host.c_str());
    set(SSH_OPTIONS_FD, &descriptor);
    if (!how.user.empty()) set(SSH_OPTIONS_USER, how.user.c_str());
    set(SSH_OPTIONS_SSH_DIR, "/nonexistent");
    set(SSH_OPTIONS_KNOWNHOSTS, "/dev/null");
    set(SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null");
    set(SSH_OPTIONS_HOSTKEYS, algorithms.c_str());
}

// --- connect, in the order of RFC 4253: TCP, banner and keys, the host's key; then RFC 4252 ---

awaitable<tcp::socket> connect_tcp(state_ptr self) {
    auto addresses = self->how.addresses;
    if (addresses.empty()) {
        asio::error_code bad;
        auto const address = asio::ip::make_address(self->how.host, bad);
        if (bad)
            throw failure(trawl::errc::bad_name, phase::resolve, self->peer,
                          "no address was given for this name");
        addresses.push_back(address);
    }
    net::options how;
    how.timeout = self->how.timeouts.connect;
    if (how.timeout.count() <= 0)
        how.timeout = std::chrono::hours(24); // the kernel gives up earlier
    try {
        co_return co_await net::connect(self->how.host, std::move(addresses), self->how.port, how);
    } catch (error const& thrown) {
        auto const code = thrown.code() == trawl::errc::timed_out
                              ? thrown.code()
                              : make_error_code(errc::connect_failed);
        throw failure(code, phase::connect, self->peer, thrown.said());
    }
}

awaitable<> handshake(state_ptr self, std::shared_ptr<transport> link) {
    auto when = step_within(phase::banner, self->how.timeouts.handshake);
    auto const see_banner = [&] {
        char const* const banner = ssh_get_serverbanner(link->handle());
        if (!banner) return;
        self->banner = banner;
        if (self->banner.starts_with("SSH-2.") || self->banner.starts_with("SSH-1.99"))
            when.at = phase::key_exchange;
    };
    for (;;) {
        int const result = link->connect_once();
        see_banner();
        if (result == SSH_OK) break;
        if (result != SSH_AGAIN) {
            auto const words = link->words();
            // libssh says so of a peer that closes or resets.
            auto const code = words.starts_with("Socket error") ? errc::disconnected
                              : when.at == phase::key_exchange  ? errc::key_exchange
                                                                : errc::banner;
            throw failure(code, when.at, self->peer, words);
        }
        if (!link->settle()) co_await link->progress(when);
        see_banner();
    }
    link->settle();
}

/// Applies the policy; returns when the host may be trusted with the credentials.
awaitable<> check_host_key(state_ptr self) {
    auto& how = self->how;
    auto const& shown = self->shown;
    auto const refuse = [&](errc code, std::string said) {
        throw failure(code, phase::host_key, self->peer, std::move(said));
    };
    if (shown.type.empty()) refuse(errc::key_exchange, "the host has shown no key");
    auto answer = how.known->check(how.host, how.port, shown);
    using verdict = ssh::host_keys::verdict;
    bool const remembers =
        how.policy == host_key_policy::accept_new || how.policy == host_key_policy::auto_add;
    if (answer.verdict == verdict::unknown && remembers) {
        answer = co_await how.known->remember(how.host, how.port, shown);
        if (answer.verdict == verdict::match)
            self->log(severity::info,
                      "remembered new host key " + shown.type + " " + shown.fingerprint());
    }
    auto const seen = shown.type + " " + shown.fingerprint();
    switch (answer.verdict) {
    case verdict::match: break;
    case verdict::revoked: refuse(errc::host_key_revoked, seen + " at " + answer.place); break;
    case verdict::changed:
        refuse(errc::host_key_changed, "shown " + seen + ", on record " + answer.on_record->type +
                                           " " + answer.on_record->fingerprint() + " at " +
                                           answer.place);
        break;
    case verdict::unknown:
        if (how.policy != host_key_policy::warn) refuse(errc::host_key_unknown, seen);
        self->log(severity::warning, "unknown host key accepted: " + seen);
    }
}

awaitable<> establish(state_ptr self, tcp::socket socket) {
    asio::error_code unknown;
    if (auto const at = socket.remote_endpoint(unknown); !unknown)
        self->peer = to_text(at), self->address = at.address();
    socket.set_option(tcp::no_delay(true),
                      unknown); // SSH_OPTIONS_NODELAY is for libssh's own connect only
    co_await self->how.known->prepare(self->how.host, self->how.port);
    auto const link = std::make_shared<transport>(std::move(socket), self->peer);
    if (self->link) self->link->close();
    configure(*link, self->how, self->how.known->types(self->how.host, self->how.port));
    self->banner.clear();
    self->shown = {};
    self->link = link;
    try {
        co_await handshake(self, link);
        ssh_key key = nullptr;
        if (ssh_get_server_publickey(link->handle(), &key) == SSH_OK) {
            self->shown = detail::export_public(key);
            ssh_key_free(key);
        }
        co_await check_host_key(self);
        co_await detail::authenticate(link, self->how,
                                      step_within(phase::auth, self->how.timeouts.auth));
    } catch (...) {
        link->close();
        if (self->link == link) self->link.reset();
        throw;
    }
}

awaitable<> connect_and_establish(state_ptr self) {
    auto socket = co_await connect_tcp(self);
    co_await establish(self, std::move(socket));
}

/// Counts a command as open, and tells those who wait for a channel when it ends.
class open_count {
public:
    explicit open_count(detail::session_state& of) noexcept : of_(of) {
        ++of_.open, of_.opened = true;
    }
    open_count(open_count const&) = delete;
    open_count& operator=(open_count const&) = delete;
    ~open_count() { --of_.open, of_.ended.wake_all(); }

private:
    detail::session_state& of_;
};

using channel_ptr = std::unique_ptr<channel>;

/// Null when the server refuses a channel though it has granted one before.
awaitable<channel_ptr> try_channel(state_ptr self, std::shared_ptr<transport> link,
                                   std::size_t budget, detail::step when) {
    auto opening = std::make_unique<channel>(link, budget);
    try {
        co_await opening->open(when);
    } catch (failure const& thrown) {
        if (thrown.code() != errc::channel_refused || !self->opened) throw;
        opening.reset();
    }
    co_return opening;
}

/// A channel, for which it waits while the server has none to give. Servers with a MaxSessions
/// below max_channels refuse until one of our commands ends; and sshd counts a channel until it has
/// dealt with all input at hand, so right after an end it may still refuse. Nothing has run when a
/// channel is refused.
awaitable<channel_ptr> open_channel(state_ptr self, std::shared_ptr<transport> link,
                                    std::size_t budget, detail::step when) {
    auto opening = co_await try_channel(self, link, budget, when);
    if (opening) co_return opening;
    auto const turn = co_await self->refused.lock_until(when.deadline); // one asks at a time
    for (int refused = 1; turn; ++refused) {
        opening = co_await try_channel(self, link, budget, when);
        if (opening) co_return opening;
        if (self->open > 0) {
            trawl::detail::waiter place(self->ended);
            auto const how = co_await place.wait(when.deadline);
            if (how == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
            if (how == trawl::detail::wake::timed_out) break;
            refused = 0;
        } else if (refused >= 5) {
            throw failure(errc::channel_refused, when.at, self->peer, link->words());
        } else {
            co_await sleep_for(std::chrono::milliseconds(5 << refused));
        }
    }
    throw failure(trawl::errc::timed_out, when.at, self->peer,
                  "the server gives no further channel");
}

awaitable<completed> run_command(state_ptr self, std::string command, exec_options how) {
    auto const started = clock::now();
    auto const link = self->link;
    if (!link) throw failure(errc::not_connected, phase::channel, self->peer, "connect() first");
    auto when = step_within(phase::channel, how.timeout.value_or(self->how.timeouts.exec));
    auto place = co_await self->channels.acquire_until(when.deadline);
    if (!place)
        throw failure(trawl::errc::timed_out, phase::channel, self->peer,
                      "all " + std::to_string(self->channels.limit()) + " channels busy");
    auto const opened = co_await open_channel(self, link, how.max_output, when);
    open_count const counted(*self);
    when.at = phase::exec;
    when.idle = self->how.timeouts.idle;
    co_await opened->request_exec(std::move(command), when);
    co_await opened->feed(std::move(how.input), when);
    co_await opened->finish(when);

    completed done;
    done.exit_status = opened->exit_status;
    done.exit_signal = std::move(opened->exit_signal);
    done.out = std::move(opened->out.bytes);
    done.err = std::move(opened->err.bytes);
    done.out_truncated = opened->out.truncated;
    done.err_truncated = opened->err.truncated;
    done.elapsed = clock::now() - started;
    co_return done;
}

awaitable<> say_goodbye(state_ptr self) {
    auto const link = std::exchange(self->link, nullptr);
    if (!link) co_return;
    try {
        auto const when = step_within(phase::closing, std::chrono::seconds(1));
        while (link->alive() && link->write_pending())
            if (!link->settle()) co_await link->progress(when);
    } catch (failure const&) {
        // A peer that does not read what was sent before will not read a goodbye either.
    } catch (...) {
        link->close();
        throw;
    }
    link->close();
}

} // namespace

session::session(asio::any_io_executor executor, ssh::options configuration)
    : state_(
          std::make_shared<detail::session_state>(std::move(executor), std::move(configuration))) {}

session::session(session&&) noexcept = default;

session::~session() {
    if (state_ && state_->link) state_->link->close();
}

awaitable<> session::connect() { return connect_and_establish(state_); }

awaitable<> session::connect(tcp::socket connected) {
    return establish(state_, std::move(connected));
}

awaitable<completed> session::exec(std::string command) {
    return run_command(state_, std::move(command), exec_options());
}

awaitable<completed> session::exec(std::string command, exec_options how) {
    return run_command(state_, std::move(command), std::move(how));
}

awaitable<> session::disconnect() { return say_goodbye(state_); }

bool session::connected() const noexcept { return state_->link && state_->link->alive(); }
std::string const& session::host() const noexcept { return state_->how.host; }
std::string const& session::peer() const noexcept { return state_->peer; }
std::optional<asio::ip::address> session::address() const noexcept { return state_->address; }
std::string const& session::banner() const noexcept { return state_->banner; }
host_key const& session::key() const noexcept { return state_->shown; }

} // namespace trawl::ssh
