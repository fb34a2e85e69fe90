#include <trawl/mutex.hpp>
#include <trawl/smtp.hpp>
#include <trawl/task_group.hpp>

#include "mail/address.hpp"
#include "mail/smtp_dialogue.hpp"
#include "net/tls.hpp"

#include <asio/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <optional>

#include <unistd.h>

namespace trawl::smtp {
namespace {

using detail::dialogue;
using detail::phase;

/// One write; also what a deadline of limits.block is for.
constexpr std::size_t block_size = 65536;
/// Smaller messages go out in one write that no socket buffer stops for long. A larger one needs a
/// reader meanwhile: a server may refuse it halfway and stop reading.
constexpr std::size_t watched_size = 16384;

struct category_type : std::error_category {
    char const* name() const noexcept override { return "trawl.smtp"; }
    std::string message(int code) const override {
        switch (static_cast<errc>(code)) {
        case errc::bad_reply: return "not an SMTP reply";
        case errc::out_of_step: return "a reply that does not belong here";
        case errc::service_refused: return "the server refuses service";
        case errc::closed: return "the server closed the connection";
        case errc::tls_unavailable: return "TLS is required and not available";
        case errc::injected_reply: return "plain text after the reply to STARTTLS";
        case errc::auth_unavailable: return "no way to log in";
        case errc::auth_needs_tls: return "a password is sent over verified TLS only";
        case errc::auth_denied: return "login denied";
        case errc::bad_value: return "not a value for SMTP";
        }
        return "unknown error";
    }
};

void require_token(std::string_view what, std::string_view value) {
    bool const good =
        std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c < 127; });
    if (!good || value.size() > 255)
        throw error(errc::bad_value, fmt::format("smtp {}", what),
                    fmt::format("\"{}\"", mime::detail::shown(value)));
}

void require_addresses(mime::envelope const& envelope) {
    auto const check = [](std::string const& address) {
        if (auto const fault = mime::detail::address_fault(address); !fault.empty())
            throw error(mime::errc::bad_address,
                        fmt::format("\"{}\"", mime::detail::shown(address)), fault);
    };
    if (!envelope.sender.empty()) check(envelope.sender); // the null path is fine
    if (envelope.recipients.empty()) throw error(mime::errc::no_recipient, "mail");
    for (auto const& address : envelope.recipients) check(address);
}

/// RFC 5321 §4.1.4: the full name of this host, or the address it speaks from when it has none.
std::string helo_name(asio::ip::address const& local) {
    std::array<char, 256> name{};
    bool const named = ::gethostname(name.data(), name.size() - 1) == 0;
    std::string const host(name.data());
    if (named && host.find('.') != std::string::npos &&
        mime::detail::address_fault("a@" + host).empty())
        return host;
    return fmt::format("[{}{}]", local.is_v6() ? "IPv6:" : "", local.to_string());
}

bool is_loopback(asio::ip::address const& address) {
    if (address.is_v6() && address.to_v6().is_v4_mapped())
        return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
    return address.is_loopback();
}

} // namespace

std::error_category const& category() noexcept {
    static category_type const instance;
    return instance;
}
std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

std::size_t receipt::count(status s) const noexcept {
    return static_cast<std::size_t>(std::count_if(recipients.begin(), recipients.end(),
                                                  [s](auto const& r) { return r.status == s; }));
}

timeouts timeouts::scaled(double factor) {
    timeouts t;
    for (auto* const limit :
         {&t.connect, &t.tls, &t.banner, &t.command, &t.data, &t.block, &t.dot, &t.quit})
        *limit = std::chrono::milliseconds(std::max<std::int64_t>(
            1, static_cast<std::int64_t>(static_cast<double>(limit->count()) * factor)));
    return t;
}

struct client::state {
    state(asio::any_io_executor on, smtp::options with)
        : executor(std::move(on)), options(std::move(with)) {
        require_token("host", options.host);
        require_token("HELO name", options.helo);
        if (options.user.find('\0') != std::string::npos) throw error(errc::bad_value, "smtp user");
    }

    /// The peer as messages name it.
    std::string peer() const {
        auto host = options.host;
        if (host.empty() && !options.addresses.empty())
            host = options.addresses.front().to_string();
        if (host.find(':') != std::string::npos) host = fmt::format("[{}]", host);
        return host.empty() ? "smtp" : fmt::format("smtp {}:{}", host, options.port);
    }

    awaitable<> open();
    awaitable<receipt> deliver(mime::envelope envelope, std::function<std::string(bool)> content,
                               std::string id);
    awaitable<> advance();
    awaitable<> step();
    awaitable<> exchange(std::string_view chunk);
    awaitable<> await_reply();
    awaitable<> upload(std::string_view first);
    awaitable<> handshake();
    awaitable<> say_quit();
    std::chrono::milliseconds limit() const;
    void drop() noexcept {
        talk.reset();
        wire.reset();
    }

    asio::any_io_executor executor;
    smtp::options options;
    mutex turn; // one dialogue at a time
    std::unique_ptr<net::stream> wire;
    std::unique_ptr<dialogue> talk;
    std::array<char, 4096> buffer;
};

std::chrono::milliseconds client::state::limit() const {
    auto const& limits = options.limits;
    switch (talk->at()) {
    case phase::banner: return limits.banner;
    case phase::handshake: return limits.tls;
    case phase::data: return limits.data;
    case phase::content: return limits.block;
    case phase::dot: return limits.dot;
    case phase::quit: return limits.quit;
    default: return limits.command;
    }
}

awaitable<> client::state::open() {
    if (!wire) {
        net::options how;
        how.timeout = options.limits.connect;
        auto host = options.host;
        if (host.empty() && !options.addresses.empty())
            host = options.addresses.front().to_string();
        auto addresses = options.addresses;
        auto socket =
            co_await net::connect(std::move(host), std::move(addresses), options.port, how);
        wire = std::make_unique<net::stream>(std::move(socket));
    }
    std::error_code gone;
    auto& socket = wire->socket();
    socket.set_option(asio::ip::tcp::no_delay(true), gone);
    auto const local = socket.local_endpoint(gone),
               remote = gone ? local : socket.remote_endpoint(gone);
    if (gone) throw error(gone, peer());
    if (options.host.empty() && options.addresses.empty())
        options.host = remote.address().to_string();
    dialogue::settings how;
    how.helo = options.helo.empty() ? helo_name(local.address()) : options.helo;
    how.tls = options.tls;
    how.user = options.user;
    how.password = options.password.view();
    how.loopback = is_loopback(remote.address());
    talk = std::make_unique<dialogue>(std::move(how));
    co_await advance();
}

/// Goes on until the dialogue is settled. Throws only for cancellation; what the server did is in
/// `talk`.
awaitable<> client::state::advance() {
    while (!talk->settled()) {
        if (talk->at() == phase::handshake)
            co_await handshake();
        else
            co_await step();
    }
}

awaitable<> client::state::handshake() {
    net::tls_options how;
    how.host = options.host.empty() && !options.addresses.empty()
                   ? options.addresses.front().to_string()
                   : options.host;
    how.ca_file = options.ca_file;
    how.verify = options.tls != tls::opportunistic;
    bool const verify = how.verify;
    std::error_code failure;
    std::string said;
    try {
        auto shake = wire->start_tls(std::move(how));
        if (!co_await within(limit(), std::move(shake))) failure = trawl::errc::timed_out;
    } catch (error const& e) {
        failure = e.code(), said = e.said();
    }
    if (failure)
        talk->lost(failure, said);
    else
        talk->secured(verify);
}

/// One step of the dialogue: what is to be written, and the next reply, within the phase's
/// deadline.
awaitable<> client::state::step() {
    bool const content = talk->at() == phase::content;
    auto const chunk = talk->take(content ? block_size : 0);
    std::error_code failure;
    try {
        if (content && (talk->at() == phase::content || chunk.size() > watched_size)) {
            co_await upload(chunk);
        } else {
            auto talking = exchange(chunk);
            if (!co_await within(limit(), std::move(talking))) failure = trawl::errc::timed_out;
        }
    } catch (std::system_error const& e) {
        if (is_cancelled(e)) throw;
        failure = e.code();
    }
    if (!failure || talk->settled()) co_return;
    // A server that gave up while we wrote has often said why; it is in the socket's buffer
    // already.
    if (failure != trawl::errc::timed_out && failure != asio::error::eof) {
        try {
            auto last_words = await_reply();
            co_await within(std::chrono::milliseconds(100), std::move(last_words));
        } catch (std::system_error const& e) {
            if (is_cancelled(e)) throw;
        }
        if (talk->settled()) co_return;
    }
    talk->lost(failure == asio::error::eof ? make_error_code(errc::closed) : failure);
}

awaitable<> client::state::exchange(std::string_view chunk) {
    if (!chunk.empty()) co_await wire->write(chunk);
    co_await await_reply();
}

/// Reads until a reply is complete or the dialogue is settled.
awaitable<> client::state::await_reply() {
    auto const before = talk->steps();
    while (talk->steps() == before && !talk->settled()) {
        auto const size = co_await wire->read_some(asio::buffer(buffer));
        talk->receive({buffer.data(), size});
    }
}

/// Sends the message and listens meanwhile, until the reply: one that comes early stops the
/// writing.
awaitable<> client::state::upload(std::string_view first) {
    auto send = [this, first]() -> awaitable<> {
        auto chunk = first;
        while (!chunk.empty()) {
            auto writing = wire->write(chunk);
            co_await with_timeout(options.limits.block, std::move(writing));
            chunk = talk->take(block_size);
        }
        co_await sleep_for(options.limits.dot);
        throw error(trawl::errc::timed_out, peer());
    };
    std::function<awaitable<>(task_group&)> const listen =
        [this, &send](task_group& group) -> awaitable<> {
        group.spawn_background(send());
        co_await await_reply();
    };
    auto both = with_group(listen);
    co_await std::move(both);
}

awaitable<receipt> client::state::deliver(mime::envelope envelope,
                                          std::function<std::string(bool)> content,
                                          std::string id) {
    require_addresses(envelope);
    auto const guard = co_await turn.lock();
    // Whatever throws below leaves a connection of which nobody knows what was said on it.
    struct dropper {
        state* self;
        ~dropper() {
            if (self) self->drop();
        }
    } on_error{this};
    for (bool again = false;; again = true) {
        bool const kept = talk != nullptr;
        if (!kept) co_await open();
        if (!kept && talk->failure().code) break;
        bool const way_8bit = talk->can().eight_bit;
        auto const bytes = content(way_8bit);
        bool const has_8bit = std::any_of(
            bytes.begin(), bytes.end(), [](char c) { return static_cast<unsigned char>(c) > 127; });
        talk->begin(envelope, bytes, has_8bit);
        co_await advance();
        if (!kept || again || !talk->stale()) break;
        drop(); // it had died while it was idle: nothing was said on it, so another one is no
                // repetition
    }
    auto answers = talk->take_answers();
    if (!answers) {
        auto const failure = talk->failure();
        if (failure.may_quit) co_await say_quit();
        throw error(failure.code, fmt::format("{} {}", peer(), to_string(failure.where)),
                    failure.said);
    }
    if (talk->at() == phase::ready) on_error.self = nullptr;
    receipt done{std::move(id), std::move(*answers)};
    co_return done;
}

awaitable<> client::state::say_quit() {
    talk->quit();
    auto ending = advance();
    auto bounded = within(options.limits.quit, std::move(ending));
    try {
        co_await shielded(std::move(bounded));
    } catch (std::system_error const&) { // the server went first
    }
}

client::client(asio::any_io_executor executor, smtp::options options)
    : state_(std::make_unique<state>(std::move(executor), std::move(options))) {}

client::client(asio::ip::tcp::socket connected, smtp::options options)
    : state_(std::make_unique<state>(connected.get_executor(), std::move(options))) {
    state_->options.addresses.clear();
    state_->wire = std::make_unique<net::stream>(std::move(connected));
}

client::~client() = default;

awaitable<receipt> client::send(mime::message letter) {
    auto envelope = letter.envelope();
    auto id = letter.message_id();
    std::function<std::string(bool)> content = [&letter](bool way_8bit) {
        return letter.serialize(way_8bit ? mime::transport::eight_bit : mime::transport::seven_bit);
    };
    auto sending = state_->deliver(std::move(envelope), std::move(content), std::move(id));
    co_return co_await std::move(sending);
}

awaitable<receipt> client::send(mime::envelope envelope, std::string content) {
    std::function<std::string(bool)> as_it_is = [&content](bool) { return content; };
    auto sending = state_->deliver(std::move(envelope), std::move(as_it_is), std::string());
    co_return co_await std::move(sending);
}

awaitable<> client::quit() {
    auto const guard = co_await state_->turn.lock();
    if (!state_->talk) co_return;
    if (state_->talk->at() == phase::ready) co_await state_->say_quit();
    state_->drop();
}

bool client::connected() const noexcept { return state_->talk != nullptr; }

} // namespace trawl::smtp
