#pragma once

#include "mail/peers.hpp"

#include <trawl/smtp.hpp>

#include <functional>
#include <optional>
#include <string>

// What the tests of smtp::client send, and what became of it.
namespace trawl::test {

inline mime::message letter(std::string const& recipients = "x@c.example",
                            std::string text = "ok\n") {
    mime::message made;
    made.from("a@b.example").to(recipients).subject("night run").text(std::move(text));
    return made;
}

inline smtp::options plain_to(std::uint16_t port) {
    smtp::options how;
    how.addresses = {asio::ip::address_v4::loopback()};
    how.port = port;
    how.tls = smtp::tls::none;
    how.helo = "client.example";
    how.limits = smtp::timeouts::scaled(0.2);
    return how;
}

inline std::string summary(smtp::receipt const& receipt) {
    std::string out;
    for (auto const& r : receipt.recipients) {
        if (!out.empty()) out += "; ";
        out += r.address + ' ' + std::string(to_string(r.status)) + ' ' + std::to_string(r.code);
    }
    return out;
}

/// What a send came to, error or not.
struct outcome {
    std::optional<smtp::receipt> receipt;
    std::optional<error> failure;
};
inline awaitable<outcome> attempt(smtp::client& client, mime::message message) {
    outcome seen;
    try {
        seen.receipt = co_await client.send(std::move(message));
    } catch (error const& e) {
        seen.failure = e;
    }
    co_return seen;
}

/// About `size` bytes of text.
inline std::string lines(std::size_t size) {
    std::string text;
    while (text.size() < size) text += std::string(900, 'x') + '\n';
    return text;
}

/// Sends a letter to a scripted server and returns what it came to.
inline outcome against(std::vector<scripted_server::script> scripts,
                       std::function<void(smtp::options&)> change = {},
                       std::string const& recipients = "x@c.example", std::string* heard = nullptr,
                       std::string text = "ok\n") {
    outcome seen;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        scripted_server server(executor, scripts);
        auto how = plain_to(server.port());
        if (change) change(how);
        smtp::client client(executor, std::move(how));
        std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(server.serve());
            auto message = letter(recipients, text);
            seen = co_await attempt(client, std::move(message));
        };
        co_await with_group(body);
        if (seen.failure) CHECK_FALSE(client.connected());
        if (heard) *heard = server.heard();
    };
    run(main);
    return seen;
}

inline scripted_server::script until_data() {
    return {{scripted_server::step::say, "220 mx\r\n"},
            {scripted_server::step::hear, "\r\n"},
            {scripted_server::step::say, "250-mx\r\n250 PIPELINING\r\n"},
            {scripted_server::step::hear, "DATA\r\n"}};
}
inline scripted_server::script then(scripted_server::script first, scripted_server::script second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

} // namespace trawl::test
