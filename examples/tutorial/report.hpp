#pragma once

#include "inspect.hpp"

#include <trawl/mime.hpp>
#include <trawl/smtp.hpp>

#include <string>
#include <utility>

namespace smtp = trawl::smtp;

/// All answers as one text: a line for each that is well, more for the others.
inline awaitable<std::string> gather(answers& from) {
    std::string text;
    while (auto one = co_await from.pop())
        text += (one->well ? "ok   " : "FAIL ") + one->host + ": " + one->text;
    co_return text;
}

/// Mails the report to the administrators by the server on this machine.
inline awaitable<smtp::receipt> mail_report(plan const& p, std::string text) {
    trawl::mime::message letter;
    letter.from("Night watch <night@example.org>").to(p.to).subject("The night's report");
    letter.text(std::move(text));

    smtp::options server;
    server.addresses.push_back(asio::ip::address_v4::loopback());
    server.port = p.smtp_port;
    server.tls = smtp::tls::none; // it does not leave this machine; the default is `required`
    auto executor = co_await asio::this_coro::executor;
    smtp::client relay(executor, std::move(server));
    auto receipt = co_await relay.send(std::move(letter));
    co_await relay.quit();
    co_return receipt;
}
