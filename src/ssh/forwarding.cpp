#include "ssh/remote_ports.hpp"
#include "ssh/socks.hpp"
#include "ssh/tunnel.hpp"

#include <trawl/net.hpp>
#include <trawl/task_group.hpp>

#include <asio/ip/v6_only.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace trawl::ssh {

using tcp = asio::ip::tcp;

namespace detail {
namespace {

constexpr auto pause_without_descriptors = std::chrono::milliseconds(100);

/// Ends a bridge that was not left to itself.
struct bridge_owner {
    std::shared_ptr<bridge> const& held;
    ~bridge_owner() { held->stop(); }
};

/// Returns when the connection is lost.
class link_watch : private transport::listener {
public:
    explicit link_watch(std::shared_ptr<transport> link) : link_(std::move(link)) {
        link_->listen(*this);
    }
    link_watch(link_watch const&) = delete;
    link_watch& operator=(link_watch const&) = delete;
    ~link_watch() { link_->ignore(*this); }

    awaitable<> lost() {
        while (link_->alive()) {
            trawl::detail::waiter place(waiters_);
            auto const how = co_await place.wait();
            if (how == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
        }
    }

private:
    void progressed() noexcept override {
        if (!link_->alive()) waiters_.wake_all();
    }

    std::shared_ptr<transport> link_;
    trawl::detail::waiter_list waiters_;
};

} // namespace

/// One forwarding: a listener of this side or of the server's, and what becomes of its connections.
struct forwarding_state {
    explicit forwarding_state(state_ptr of)
        : session(std::move(of)), link(session->link), places(session->how.max_forwarded) {
        if (!link || !link->alive())
            throw failure(errc::not_connected, phase::channel, session->peer, "connect() first");
    }
    virtual ~forwarding_state() = default;

    virtual std::uint16_t port() const noexcept = 0;
    /// Takes in connections for ever.
    virtual awaitable<> take_in(task_group& group) = 0;

    awaitable<> run() {
        auto body = [this](task_group& group) -> awaitable<> {
            group.spawn_background(fail_with_the_session());
            co_await take_in(group);
        };
        co_await with_group(body);
    }

    /// Carries one connection to its end.
    awaitable<> carry(std::shared_ptr<bridge> through, tcp::socket local) {
        ++carried;
        struct guard {
            std::size_t& count;
            ~guard() { --count; }
        } const counted{carried};
        bridge_owner const owner{through};
        local.non_blocking(true);
        asio::error_code ignored;
        local.set_option(tcp::no_delay(true), ignored);
        through->start(stream_socket(std::move(local)));
        co_await through->ended();
    }

    void tell(std::string_view what) const { session->log(severity::warning, what); }

    state_ptr session;
    std::shared_ptr<transport> link;
    limiter places;
    std::size_t carried = 0;

private:
    awaitable<> fail_with_the_session() {
        link_watch watch(link);
        co_await watch.lost();
        link->throw_lost(phase::channel);
    }
};

namespace {

// --- listeners of this side ---

tcp::acceptor listen_at(asio::any_io_executor const& executor, tcp::endpoint const& at) try {
    tcp::acceptor made(executor, at.protocol());
    made.set_option(tcp::acceptor::reuse_address(true));
    if (at.protocol() == tcp::v6() && at.address().is_unspecified())
        made.set_option(asio::ip::v6_only(false)); // whatever the system's default
    made.bind(at);
    made.listen();
    return made;
} catch (std::system_error const& failed) {
    throw error(failed.code(), "listen at " + to_text(at));
}

/// A descriptor may be had again; a connection that went before it was taken in is no matter.
bool is_passing(asio::error_code const& failed) {
    return failed == asio::error::no_descriptors ||
           failed == std::errc::too_many_files_open_in_system ||
           failed == asio::error::no_buffer_space || failed == asio::error::no_memory ||
           failed == asio::error::connection_aborted;
}

struct local_forwarding : forwarding_state {
    local_forwarding(state_ptr of, tcp::endpoint const& at)
        : forwarding_state(std::move(of)), acceptor(listen_at(session->executor, at)) {}

    std::uint16_t port() const noexcept override {
        asio::error_code ignored;
        return acceptor.local_endpoint(ignored).port();
    }

    awaitable<> take_in(task_group& group) override {
        for (;;) {
            auto place = co_await places.acquire();
            tcp::socket came(session->executor);
            asio::error_code failed;
            co_await acceptor.async_accept(came, asio::redirect_error(asio::use_awaitable, failed));
            if (failed == asio::error::operation_aborted) throw std::system_error(failed);
            if (failed && !is_passing(failed))
                throw failure(failed, phase::channel, session->peer, "taking a connection in");
            if (failed) {
                tell("forwarding: " + failed.message());
                co_await sleep_for(pause_without_descriptors);
            } else {
                group.spawn(serve(std::move(came), std::move(place)));
            }
        }
    }

    /// The channel for a connection; null when the client was sent away.
    virtual awaitable<std::shared_ptr<bridge>> open(tcp::socket& client) = 0;

    awaitable<> serve(tcp::socket client, [[maybe_unused]] limiter::ticket place) {
        try {
            auto through = co_await open(client);
            if (through) co_await carry(std::move(through), std::move(client));
        } catch (failure const& why) {
            tell(std::string("forwarding: ") + why.what());
        }
    }

    awaitable<std::shared_ptr<bridge>> open_to(std::string host, std::uint16_t to) {
        return open_bridge(session, std::move(host), to, session->how.timeouts.connect);
    }

    tcp::acceptor acceptor;
};

struct fixed_forwarding final : local_forwarding {
    fixed_forwarding(state_ptr of, tcp::endpoint const& at, std::string host_, std::uint16_t to_)
        : local_forwarding(std::move(of), at), host(std::move(host_)), to(to_) {}

    awaitable<std::shared_ptr<bridge>> open(tcp::socket&) override { return open_to(host, to); }

    std::string host;
    std::uint16_t to;
};

socks_request::outcome outcome_of(failure const& why) {
    auto const has = [&](char const* words) { return why.said().find(words) != std::string::npos; };
    if (has("Connection refused")) return socks_request::outcome::refused;
    if (has("prohibited")) return socks_request::outcome::prohibited;
    return socks_request::outcome::failed;
}

awaitable<> send(tcp::socket& client, std::string bytes) {
    asio::error_code gone; // is seen when the connection is carried
    co_await asio::async_write(client, asio::buffer(bytes),
                               asio::redirect_error(asio::use_awaitable, gone));
    if (gone == asio::error::operation_aborted) throw std::system_error(gone);
}

struct dynamic_forwarding final : local_forwarding {
    using local_forwarding::local_forwarding;

    awaitable<std::shared_ptr<bridge>> open(tcp::socket& client) override {
        socks_request wish;
        auto limit = session->how.timeouts.handshake;
        if (limit.count() <= 0) limit = std::chrono::hours(24);
        bool const in_time = co_await within(limit, ask(client, wish));
        std::shared_ptr<bridge> through;
        if (!in_time || wish.at() != socks_request::stage::complete) co_return through;
        std::optional<failure> refused;
        try {
            through = co_await open_to(wish.host(), wish.port());
        } catch (failure const& why) {
            refused = why;
        }
        auto const how = refused ? outcome_of(*refused) : socks_request::outcome::granted;
        co_await send(client, wish.answer(how));
        if (refused) throw failure(*refused);
        co_return through;
    }

    /// Until the request is complete, refused, or the client has gone.
    awaitable<> ask(tcp::socket& client, socks_request& wish) {
        char bytes[300];
        while (wish.at() == socks_request::stage::reading) {
            auto const most = std::min(sizeof bytes, wish.wanted());
            asio::error_code end;
            auto token = asio::redirect_error(asio::use_awaitable, end);
            auto const got = co_await client.async_read_some(asio::buffer(bytes, most), token);
            if (end == asio::error::operation_aborted) throw std::system_error(end);
            if (end) co_return;
            auto reply = wish.take({bytes, got});
            if (!reply.empty()) co_await send(client, std::move(reply));
        }
    }
};

// --- ports of the server's ---

struct remote_forwarding final : forwarding_state {
    remote_forwarding(state_ptr of, std::vector<asio::ip::address> to_, std::uint16_t to_port_)
        : forwarding_state(std::move(of)), to(std::move(to_)), to_port(to_port_) {}
    ~remote_forwarding() override {
        if (listening && link->alive()) link->ports().cancel(listening);
    }

    awaitable<> listen(std::string bind, std::uint16_t bind_port) {
        auto const when = step_within(phase::channel, session->how.timeouts.exec);
        auto const where = bind + ":" + std::to_string(bind_port);
        try {
            listening = co_await link->ports().listen(std::move(bind), bind_port,
                                                      session->how.max_forwarded, when);
        } catch (failure const& why) {
            if (why.code() != errc::forward_refused) throw;
            throw failure(why.code(), why.at(), why.peer(), where + ": " + why.said());
        }
    }

    std::uint16_t port() const noexcept override { return listening->port; }

    awaitable<> take_in(task_group& group) override {
        for (;;) {
            while (listening->arrived.empty()) {
                trawl::detail::waiter place(listening->waiters);
                auto const how = co_await place.wait();
                if (how == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
                if (!link->alive()) link->throw_lost(phase::channel);
            }
            auto came = std::move(listening->arrived.front());
            listening->arrived.pop_front();
            group.spawn(serve(listening, std::move(came)));
        }
    }

    /// `from` has given the connection its place.
    awaitable<> serve([[maybe_unused]] std::shared_ptr<remote_port> from,
                      remote_port::arrival came) {
        auto const through = came.through;
        bridge_owner const owner{through};
        net::options how;
        how.timeout = session->how.timeouts.connect;
        std::string trouble;
        try {
            auto local = co_await net::connect(to, to_port, how);
            co_await carry(through, std::move(local));
        } catch (error const& why) {
            trouble = why.what();
        }
        if (!trouble.empty()) tell("forwarding: " + trouble);
    }

    std::vector<asio::ip::address> to;
    std::uint16_t to_port;
    std::shared_ptr<remote_port> listening;
};

} // namespace
} // namespace detail

forwarding::forwarding(std::unique_ptr<detail::forwarding_state> state)
    : state_(std::move(state)) {}
forwarding::forwarding(forwarding&&) noexcept = default;
forwarding& forwarding::operator=(forwarding&&) noexcept = default;
forwarding::~forwarding() = default;

std::uint16_t forwarding::port() const noexcept { return state_->port(); }
std::size_t forwarding::connections() const noexcept { return state_->carried; }
awaitable<> forwarding::run() { return state_->run(); }

forwarding session::forward_local(tcp::endpoint at, std::string host, std::uint16_t port) {
    return forwarding(
        std::make_unique<detail::fixed_forwarding>(state_, at, std::move(host), port));
}

forwarding session::forward_dynamic(tcp::endpoint at) {
    return forwarding(std::make_unique<detail::dynamic_forwarding>(state_, at));
}

awaitable<forwarding> session::forward_remote(std::string bind, std::uint16_t bind_port,
                                              std::vector<asio::ip::address> to,
                                              std::uint16_t port) {
    auto made = std::make_unique<detail::remote_forwarding>(state_, std::move(to), port);
    co_await made->listen(std::move(bind), bind_port);
    co_return forwarding(std::move(made));
}

} // namespace trawl::ssh
