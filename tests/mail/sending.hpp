#pragma once

#include <trawl/smtp.hpp>

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

} // namespace trawl::test
