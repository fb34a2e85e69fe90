#include "mail/smtp_connection.hpp"

#include <trawl/task_group.hpp>

#include "mail/address.hpp"

#include <asio/error.hpp>
#include <asio/use_awaitable.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace trawl::smtp::detail {
namespace {

using asio::ip::tcp;

/// One write; also what a deadline of limits.block is for.
constexpr std::size_t block_size = 65536;
/// Smaller texts go out in one write that no socket buffer stops for long. A larger one needs a
/// reader meanwhile: a server may refuse it halfway and stop reading.
constexpr std::size_t watched_size = transactions::most_ahead + 16384;

bool is_loopback(asio::ip::address const& address) {
    if (address.is_v6() && address.to_v6().is_v4_mapped())
        return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
    return address.is_loopback();
}

} // namespace

std::string host_name() {
    std::array<char, 256> name{};
    bool const named = ::gethostname(name.data(), name.size() - 1) == 0;
    std::string const host(name.data());
    bool const full = named && host.find('.') != std::string::npos;
    return full && mime::detail::address_fault("a@" + host).empty() ? host : "";
}

std::chrono::milliseconds connection::limit() const {
    auto const& limits = to_->options.limits;
    switch (talk_->at()) {
    case phase::banner:
        return std::chrono::ceil<std::chrono::milliseconds>(
            std::max(duration::zero(), banner_until_ - clock::now()));
    case phase::handshake: return limits.tls;
    case phase::data: return limits.data;
    case phase::content: return limits.block;
    case phase::dot: return limits.dot;
    case phase::quit: return limits.quit;
    default: return limits.command;
    }
}

error connection::failure() const {
    auto const& why = talk_->failure();
    return {why.code, fmt::format("{} {}", to_->peer(), to_string(why.where)), why.said};
}

// ---- a connection ----

awaitable<tcp::socket> connection::reach() {
    auto const& options = to_->options;
    net::options how;
    how.timeout = options.limits.connect;
    auto addresses = options.addresses;
    auto host = to_->name();
    auto connecting = net::connect(std::move(host), std::move(addresses), options.port, how);
    co_return co_await std::move(connecting);
}

/// A Unix socket whose backlog is full does not connect later by itself, as TCP does: it is tried
/// again.
awaitable<asio::local::stream_protocol::socket> connection::reach_unix() {
    auto const& path = to_->options.unix_path;
    auto const until = clock::now() + to_->options.limits.connect;
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    if (path.size() >= sizeof at.sun_path)
        throw error(std::make_error_code(std::errc::filename_too_long), "connect " + path);
    path.copy(at.sun_path, path.size());
    asio::local::stream_protocol::socket socket(executor_, asio::local::stream_protocol());
    socket.native_non_blocking(true);
    while (::connect(socket.native_handle(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) {
        std::error_code failure(errno, std::system_category());
        if (failure == std::errc::resource_unavailable_try_again && clock::now() >= until)
            failure = trawl::errc::timed_out;
        if (failure != std::errc::resource_unavailable_try_again)
            throw error(failure, "connect " + path);
        co_await sleep_for(std::chrono::milliseconds(10));
    }
    co_return socket;
}

/// A connection on which the server has said something. One that a full backlog swallowed looks
/// established here and is unknown there: nobody will ever greet on it, so that a second one is
/// tried beside it.
awaitable<tcp::socket> connection::reach_greeted() {
    auto first = co_await reach();
    banner_until_ = clock::now() + to_->options.limits.banner;
    if (to_->options.tls == tls::implicit) co_return first;
    auto const patience = banner_until_ - to_->options.limits.banner / 2;
    if (co_await net::readable_until(first, patience)) co_return first;

    std::optional<tcp::socket> second, winner;
    auto wait_first = [&](task_group& group) -> awaitable<> {
        co_await net::readable_until(first, time_point::max());
        if (!winner) winner.emplace(std::move(first));
        group.cancel();
    };
    auto try_second = [&](task_group& group) -> awaitable<> {
        try {
            auto made = co_await reach();
            second.emplace(std::move(made));
        } catch (error const&) { // the first may still be greeted
            co_return;
        }
        co_await net::readable_until(*second, time_point::max());
        if (!winner) winner.emplace(std::move(*second));
        group.cancel();
    };
    std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
        group.spawn(wait_first(group));
        group.spawn(try_second(group));
        co_return;
    };
    auto racing = with_group(body);
    co_await within(banner_until_ - clock::now(), std::move(racing));
    if (!winner) throw error(trawl::errc::timed_out, to_->peer() + " greeting");
    co_return std::move(*winner);
}

awaitable<> connection::connect() {
    auto const& options = to_->options;
    if (!options.unix_path.empty()) {
        auto socket = co_await reach_unix();
        loopback_ = true;
        local_ = "[127.0.0.1]";
        wire_ = std::make_unique<net::stream>(std::move(socket));
        banner_until_ = clock::now() + options.limits.banner;
        co_return;
    }
    std::optional<tcp::socket> socket;
    if (given_) {
        socket.emplace(std::move(*given_));
        given_.reset();
        banner_until_ = clock::now() + options.limits.banner;
    } else {
        auto made = co_await reach_greeted();
        socket.emplace(std::move(made));
    }
    std::error_code gone;
    socket->set_option(tcp::no_delay(true), gone);
    auto const here = socket->local_endpoint(gone);
    auto const there = gone ? here : socket->remote_endpoint(gone);
    if (gone) throw error(gone, to_->peer());
    loopback_ = is_loopback(there.address());
    local_ =
        fmt::format("[{}{}]", here.address().is_v6() ? "IPv6:" : "", here.address().to_string());
    if (options.host.empty() && options.addresses.empty())
        to_->options.host = there.address().to_string();
    wire_ = std::make_unique<net::stream>(std::move(*socket));
}

/// Connects and speaks until the first MAIL; what the server refused is in `talk_`.
awaitable<> connection::start() {
    co_await connect();
    auto const& options = to_->options;
    settings how;
    how.helo = options.helo;
    if (how.helo.empty()) how.helo = host_name();
    if (how.helo.empty()) how.helo = local_;
    how.tls = options.tls;
    how.protocol = options.protocol;
    how.login.user = options.user;
    how.login.secret = options.password.view();
    how.login.is_token = options.password_is_token;
    how.login.mechanism = options.mechanism;
    how.login.host = to_->name();
    how.login.port = options.port;
    how.loopback = loopback_;
    how.trace = options.trace;
    talk_ = std::make_unique<dialogue>(std::move(how));
    begun_ = 0;
    co_await advance();
}

/// Goes on until the dialogue is settled. Throws only for cancellation; what the server did is in
/// `talk_`.
awaitable<> connection::advance() {
    while (!talk_->settled()) co_await step();
}

awaitable<> connection::handshake() {
    std::error_code failure;
    std::string said;
    try {
        auto shake = wire_->start_tls(to_->tls());
        if (!co_await within(limit(), std::move(shake))) failure = trawl::errc::timed_out;
    } catch (error const& e) {
        failure = e.code(), said = e.said();
    }
    if (failure) {
        talk_->lost(failure, said);
        co_return;
    }
    banner_until_ = clock::now() + to_->options.limits.banner;
    auto binding = wire_->channel_binding();
    talk_->secured(to_->verifies(), std::move(binding.name), std::move(binding.bytes));
}

/// One step of the dialogue: what is to be written, and the next reply, within the phase's
/// deadline.
awaitable<> connection::step() {
    if (talk_->at() == phase::handshake) {
        co_await handshake();
        co_return;
    }
    if (talk_->working()) {
        talk_->work();
        co_await yield();
        co_return;
    }
    auto chunk = talk_->take(block_size);
    if (chunk.empty() && talk_->settled()) co_return;
    std::error_code failure;
    bool in_time = true;
    try {
        if (talk_->at() == phase::content || chunk.size() > watched_size) {
            co_await upload(chunk);
        } else {
            auto const deadline = clock::now() + limit();
            chunk.remove_prefix(wire_->try_write(chunk));
            if (!chunk.empty()) {
                auto writing = wire_->write(chunk);
                in_time = co_await within(deadline - clock::now(), std::move(writing));
            }
            talk_->written();
            if (in_time) in_time = co_await await_reply(deadline);
        }
    } catch (std::system_error const& e) {
        if (is_cancelled(e)) throw;
        failure = e.code();
    }
    if (!in_time) failure = trawl::errc::timed_out;
    if (!failure || talk_->settled()) co_return;
    // A server that gave up while we wrote has often said why; it is in the socket's buffer
    // already.
    if (failure != trawl::errc::timed_out && failure != asio::error::eof) {
        try {
            co_await await_reply(clock::now() + std::chrono::milliseconds(100));
        } catch (std::system_error const& e) {
            if (is_cancelled(e)) throw;
        }
        if (talk_->settled()) co_return;
    }
    talk_->lost(failure == asio::error::eof ? make_error_code(errc::closed) : failure);
}

/// Reads until a reply is complete or the dialogue is settled; false when `deadline` passed.
awaitable<bool> connection::await_reply(time_point deadline) {
    auto const before = talk_->steps();
    while (talk_->steps() == before && !talk_->settled()) {
        auto const size = co_await wire_->read_some_until(asio::buffer(buffer_), deadline);
        if (!size) co_return false;
        talk_->receive({buffer_.data(), *size});
    }
    co_return true;
}

/// Sends a text and listens meanwhile, until the next reply: one that comes early stops the
/// writing.
awaitable<> connection::upload(std::string_view first) {
    auto const& limits = to_->options.limits;
    auto send = [this, first, &limits]() -> awaitable<> {
        auto chunk = first;
        while (!chunk.empty()) {
            auto writing = wire_->write(chunk);
            co_await with_timeout(limits.block, std::move(writing));
            chunk = talk_->take(block_size);
        }
        talk_->written();
        if (talk_->at() == phase::closed) throw error(make_error_code(errc::closed), to_->peer());
        co_await sleep_for(limits.dot);
        throw error(trawl::errc::timed_out, to_->peer());
    };
    std::function<awaitable<>(task_group&)> const listen =
        [this, &send](task_group& group) -> awaitable<> {
        group.spawn_background(send());
        co_await await_reply(time_point::max());
    };
    auto both = with_group(listen);
    co_await std::move(both);
}

awaitable<> connection::say_quit() {
    talk_->quit();
    auto ending = step();
    try {
        co_await shielded(std::move(ending));
    } catch (std::system_error const&) { // the server went first
    }
}

awaitable<> connection::quit() {
    if (!talk_) co_return;
    if (talk_->at() == phase::ready) co_await say_quit();
    drop();
}

/// begin() for a message with outgoing::before.
awaitable<> connection::announce_and_begin(job_ptr one) {
    std::optional<error> refused;
    try {
        auto announcing = one->what.before();
        co_await std::move(announcing);
    } catch (error const& e) {
        refused = e;
    }
    if (refused)
        talk_->refuse(std::move(one), *refused);
    else
        begin(std::move(one));
}

void connection::begin(job_ptr one, bool alive) {
    ++begun_;
    try {
        one->open(talk_->can());
    } catch (error const& e) {
        return talk_->refuse(std::move(one), e);
    }
    talk_->begin(std::move(one), alive);
}

// ---- one message ----

awaitable<receipt> connection::send(job_ptr one) {
    // Whatever throws below leaves a connection of which nobody knows what was said on it.
    struct dropper {
        connection* self;
        ~dropper() {
            if (self) self->drop();
        }
    } on_error{this};
    for (bool again = false;; again = true) {
        bool const kept = talk_ != nullptr;
        if (!kept) co_await start();
        if (talk_->at() == phase::ready) {
            if (one->what.before)
                co_await announce_and_begin(one);
            else
                begin(one);
            co_await advance();
        }
        if (auto ended = talk_->take_finished()) {
            if (talk_->at() == phase::ready && !talk_->spent())
                on_error.self = nullptr;
            else if (talk_->at() == phase::ready)
                co_await say_quit();
            receipt result{ended->what.message_id, std::move(ended->answers)};
            co_return result;
        }
        if (!kept || again) break;
        drop(); // it had died while it was idle: nothing was delivered on it, so another one is no
                // repetition
    }
    auto why = failure();
    if (talk_->failure().may_quit) co_await say_quit();
    throw why;
}

} // namespace trawl::smtp::detail
