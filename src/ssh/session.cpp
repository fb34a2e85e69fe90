#include "ssh/algorithms.hpp"
#include "ssh/auth.hpp"
#include "ssh/private_key.hpp"
#include "ssh/session_state.hpp"
#include "ssh/tunnel.hpp"

#include <trawl/net.hpp>
#include <trawl/ssh.hpp>

#include <algorithm>
#include <cstring>
#include <sys/socket.h>
#include <utility>

namespace trawl::ssh {

using detail::bridge;
using detail::step_within;
using detail::stream_socket;
using detail::transport;
using tcp = asio::ip::tcp;

namespace {

using detail::state_ptr;

/// Whom a TCP connection reaches; nullopt for another stream.
std::optional<tcp::endpoint> remote_end(stream_socket const& socket) {
    asio::error_code failed;
    auto const at = socket.remote_endpoint(failed);
    int const family = failed ? AF_UNSPEC : at.data()->sa_family;
    if (family != AF_INET && family != AF_INET6) return {};
    tcp::endpoint end;
    if (at.size() > end.capacity()) return {};
    std::memcpy(end.data(), at.data(), at.size());
    return end;
}

void configure(transport& link, options const& how, std::vector<std::string> const& on_record) {
    auto* const s = link.handle();
    auto const set = [&](ssh_options_e option, void const* value) {
        if (ssh_options_set(s, option, value) != SSH_OK)
            throw failure(errc::connect_failed, phase::connect, link.peer(), link.words());
    };
    bool const no = false; // configuration files are read with blocking calls, once a session
    int const descriptor = link.duplicate();
    set(SSH_OPTIONS_PROCESS_CONFIG, &no);
    set(SSH_OPTIONS_HOST, how.host.c_str());
    set(SSH_OPTIONS_FD, &descriptor);
    if (!how.user.empty()) set(SSH_OPTIONS_USER, how.user.c_str());
    set(SSH_OPTIONS_SSH_DIR, "/nonexistent");
    set(SSH_OPTIONS_KNOWNHOSTS, "/dev/null");
    set(SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null");
    if (how.rekey.bytes > 0) set(SSH_OPTIONS_REKEY_DATA, &how.rekey.bytes);
    auto const rekey_time = static_cast<std::uint32_t>(how.rekey.time.count());
    if (rekey_time > 0) set(SSH_OPTIONS_REKEY_TIME, &rekey_time);
    detail::propose(link, how.algorithms, on_record);
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
            bool const gone = link->cut_off() || words.starts_with("Socket error");
            auto const code = gone                             ? errc::disconnected
                              : when.at == phase::key_exchange ? errc::key_exchange
                                                               : errc::banner;
            throw failure(code, when.at, self->peer, detail::plain_mismatch(words));
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
    auto seen = shown.type + " " + shown.fingerprint();
    // libssh 0.10 takes certificates out of what it proposes (kex.c, ssh_client_select_hostkeys).
    if (!answer.authority.empty())
        seen += "; the @cert-authority at " + answer.authority +
                " cannot vouch for it, libssh asks no host for its certificate: put the host's own "
                "key on record";
    bool const remembers =
        how.policy == host_key_policy::accept_new || how.policy == host_key_policy::auto_add;
    if (answer.verdict == verdict::unknown && remembers) {
        answer = co_await how.known->remember(how.host, how.port, shown);
        if (answer.verdict == verdict::match)
            self->log(severity::info, "remembered new host key " + seen);
    }
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

/// `carrier`: what the bytes go through, if that is another session.
awaitable<> establish(state_ptr self, stream_socket socket,
                      std::shared_ptr<bridge const> carrier = {}) {
    if (auto const at = remote_end(socket))
        self->peer = detail::to_text(*at), self->address = at->address();
    asio::error_code not_tcp; // SSH_OPTIONS_NODELAY is for libssh's own connect only
    socket.set_option(tcp::no_delay(true), not_tcp);
    co_await self->how.known->prepare(self->how.host, self->how.port);
    auto const link = std::make_shared<transport>(std::move(socket), self->peer);
    link->carried_by(std::move(carrier));
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
        link->keep_alive(self->how.keepalive);
    } catch (...) {
        link->close();
        if (self->link == link) self->link.reset();
        throw;
    }
}

awaitable<> connect_through(state_ptr self, session& jump) {
    auto const& through = detail::session_access::of(jump);
    auto way = co_await detail::open_tunnel(through, self->how.host, self->how.port,
                                            self->how.timeouts.connect);
    co_await establish(self, std::move(way.socket), std::move(way.carrier));
}

awaitable<> connect_and_establish(state_ptr self) {
    if (self->how.jump) {
        co_await connect_through(self, *self->how.jump);
        co_return;
    }
    auto socket = co_await connect_tcp(self);
    co_await establish(self, std::move(socket));
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

awaitable<> session::connect(stream_socket connected) {
    return establish(state_, std::move(connected));
}

awaitable<> session::disconnect() { return say_goodbye(state_); }

bool session::connected() const noexcept { return state_->link && state_->link->alive(); }
std::string const& session::host() const noexcept { return state_->how.host; }
std::string const& session::peer() const noexcept { return state_->peer; }
std::optional<asio::ip::address> session::address() const noexcept { return state_->address; }
std::string const& session::banner() const noexcept { return state_->banner; }
host_key const& session::key() const noexcept { return state_->shown; }

} // namespace trawl::ssh
