#include "lab/smtp_sink.hpp"

#include "lab/listener.hpp"
#include "lab/maildir.hpp"

#include <trawl/error.hpp>
#include <trawl/limiter.hpp>
#include <trawl/task_group.hpp>

#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <fmt/format.h>

#include <array>
#include <optional>
#include <string>
#include <utility>

namespace trawl::lab {

using asio::ip::tcp;

struct smtp_sink::state {
    options configuration;
    tcp::acceptor listener;
    limiter connections;
    std::uint64_t stored = 0;

    state(asio::any_io_executor const& executor, options o)
        : configuration(std::move(o)),
          listener(listen(executor, tcp::endpoint(configuration.address, configuration.port))),
          connections(configuration.max_connections) {
        make_maildir(configuration.maildir);
    }

    awaitable<> accept_all(task_group& group);
    awaitable<> serve_one(tcp::socket client, limiter::ticket place);
    awaitable<> converse(tcp::socket& client);
    awaitable<> send(tcp::socket& client, std::string text);
    awaitable<std::size_t> read_some(tcp::socket& client, asio::mutable_buffer into);
};

smtp_sink::smtp_sink(asio::any_io_executor executor, options configuration)
    : state_(std::make_unique<state>(executor, std::move(configuration))) {}
smtp_sink::~smtp_sink() = default;

std::uint16_t smtp_sink::port() const noexcept {
    asio::error_code ignored;
    return state_->listener.local_endpoint(ignored).port();
}
std::uint64_t smtp_sink::stored() const noexcept { return state_->stored; }

awaitable<> smtp_sink::serve() {
    auto const body = [this](task_group& group) { return state_->accept_all(group); };
    co_await with_group(body);
}

awaitable<> smtp_sink::state::accept_all(task_group& group) {
    for (;;) {
        auto place = co_await connections.acquire();
        auto client = co_await accept(listener);
        group.spawn(serve_one(std::move(client), std::move(place)));
    }
}

// One client's failure is its own: it is reported, not passed on to the others.
awaitable<> smtp_sink::state::serve_one(tcp::socket client, limiter::ticket) {
    try {
        co_await converse(client);
    } catch (std::system_error const& failure) {
        if (configuration.watch && !is_cancelled(failure))
            configuration.watch->log(severity::debug, "lab smtp", failure.what());
    }
}

awaitable<> smtp_sink::state::converse(tcp::socket& client) {
    client.set_option(tcp::no_delay(true));
    maildir_writer store(configuration.maildir);
    smtp_receiver dialogue(configuration.dialogue, store);
    std::array<char, 32 * 1024> bytes;
    std::uint64_t counted = 0;
    for (;;) {
        stored += dialogue.stored() - std::exchange(counted, dialogue.stored());
        co_await send(client, dialogue.take_replies());
        if (dialogue.finished()) break;

        auto read = read_some(client, asio::buffer(bytes));
        auto const size = co_await within(configuration.idle, std::move(read));
        if (!size) {
            auto const farewell =
                fmt::format("421 4.4.2 {} idle too long\r\n", configuration.dialogue.name);
            co_await send(client, farewell);
            break;
        }
        if (*size == 0) co_return; // gone without QUIT; a message without its dot is abandoned
        dialogue.receive(std::string_view(bytes.data(), *size));
    }
    // What the client pipelined after QUIT must not turn our last reply into a reset.
    asio::error_code ignored;
    client.shutdown(tcp::socket::shutdown_send, ignored);
    auto drain = read_some(client, asio::buffer(bytes));
    co_await within(std::chrono::seconds(1), std::move(drain));
}

// 0 when the client has gone, whichever way.
awaitable<std::size_t> smtp_sink::state::read_some(tcp::socket& client, asio::mutable_buffer into) {
    asio::error_code failure;
    auto const size =
        co_await client.async_read_some(into, asio::redirect_error(asio::use_awaitable, failure));
    if (failure == asio::error::operation_aborted) throw std::system_error(failure);
    co_return size;
}

awaitable<> smtp_sink::state::send(tcp::socket& client, std::string text) {
    if (text.empty()) co_return;
    auto write = asio::async_write(client, asio::buffer(text), asio::use_awaitable);
    co_await with_timeout(configuration.idle, std::move(write), "lab smtp write");
}

} // namespace trawl::lab
