#include "ssh/remote_ports.hpp"

#include <algorithm>
#include <random>
#include <utility>

namespace trawl::ssh::detail {
namespace {

// A port may be in use.
constexpr int most_tries = 8;

/// A dynamic port (RFC 6335 §6). The server is not asked to choose: libssh 0.10 takes its answer from
/// whatever has come last, and beside other traffic that is another packet, or half of one.
std::uint16_t some_port() {
    std::random_device chance;
    return std::uniform_int_distribution<std::uint16_t>(49152, 65535)(chance);
}

} // namespace

// --- requests ---

int remote_ports::ask(request& next) {
    next.sent = true;
    auto* const on = link_.handle();
    auto const* const address = next.address.c_str();
    if (next.listen) return ssh_channel_listen_forward(on, address, next.port, nullptr);
    return ssh_channel_cancel_forward(on, address, next.port);
}

void remote_ports::progress() {
    while (!queue_.empty() && link_.alive()) {
        auto const next = queue_.front();
        if (next->given_up && !next->sent) {
            queue_.pop_front();
            continue;
        }
        int const result = ask(*next);
        if (result == SSH_AGAIN) return;
        if (link_.take_sign_of_life()) continue; // that was the answer to a keepalive
        queue_.pop_front();
        finish(*next, result);
    }
}

void remote_ports::finish(request& done, int result) {
    done.result = result;
    if (result != SSH_OK) done.said = link_.words();
    if (!done.listen || result != SSH_OK || !done.given_up) return;
    request cancel{.listen = false, .address = done.address, .port = done.port};
    // Before whoever asks for the same port again.
    queue_.push_front(std::make_shared<request>(std::move(cancel)));
}

awaitable<int> remote_ports::answer(std::shared_ptr<request> asked, step when) {
    struct guard {
        request& of;
        ~guard() { of.given_up = true; }
    } const at_exit{*asked};
    queue_.push_back(asked);
    auto call = [&] {
        progress();
        return asked->result;
    };
    co_return co_await link_.drive(call, SSH_AGAIN, when);
}

awaitable<std::shared_ptr<remote_port>>
remote_ports::listen(std::string address, std::uint16_t port, std::size_t most, step when) {
    auto const made = std::make_shared<remote_port>(address, port, most);
    // Before the answer, which the first connection may follow at once.
    ports_.push_back(made);
    struct guard {
        remote_ports& all;
        std::shared_ptr<remote_port> const& port;
        bool granted = false;
        ~guard() {
            if (!granted) std::erase(all.ports_, port);
        }
    } outcome{*this, made};
    std::string said;
    for (int tries = port == 0 ? most_tries : 1; tries > 0; --tries) {
        if (port == 0) made->port = some_port();
        request wish{.listen = true, .address = address, .port = made->port};
        auto asked = std::make_shared<request>(std::move(wish));
        int const result = co_await answer(asked, when);
        if (!link_.alive()) link_.throw_lost(when.at);
        outcome.granted = result == SSH_OK;
        if (outcome.granted) co_return made;
        said = asked->said;
    }
    throw failure(errc::forward_refused, when.at, link_.peer(), said);
}

void remote_ports::cancel(std::shared_ptr<remote_port> const& which) {
    if (std::erase(ports_, which) == 0 || !link_.alive()) return;
    request wish{.listen = false, .address = which->address, .port = which->port};
    queue_.push_back(std::make_shared<request>(std::move(wish)));
    progress();
    link_.settle();
}

void remote_ports::close() noexcept {
    queue_.clear();
    for (auto const& port : std::exchange(ports_, {})) {
        std::exchange(port->arrived, {}).clear();
        port->waiters.wake_all();
    }
}

// --- connections ---

/// By the port, and by the address where two of the same port are asked for: it is told as the
/// server likes.
std::shared_ptr<remote_port> remote_ports::find(std::string const& address,
                                                std::uint16_t port) const {
    std::shared_ptr<remote_port> found;
    for (auto const& one : ports_)
        if (one->port == port && port != 0 && (!found || one->address == address)) found = one;
    return found;
}

bool remote_ports::accept(ssh_message wish) noexcept try {
    int const port = ssh_message_channel_request_open_destination_port(wish);
    char const* const address = ssh_message_channel_request_open_destination(wish);
    if (port <= 0 || port > 65535) return false;
    auto const to = find(address ? address : "", static_cast<std::uint16_t>(port));
    auto place = to ? to->places.try_acquire() : limiter::ticket();
    if (!place) return false;
    auto carrier = std::make_shared<bridge>(link_.shared_from_this());
    auto* const channel = ssh_channel_new(link_.handle());
    if (!channel) return false;
    carrier->adopt(channel);
    to->arrived.push_back({std::move(carrier), std::move(place)});
    // The answer is out, or the connection is lost: nobody could refuse it any more.
    ssh_message_channel_request_open_reply_accept_channel(wish, channel);
    to->waiters.wake_all();
    return true;
} catch (...) {
    return false; // no memory
}

} // namespace trawl::ssh::detail
