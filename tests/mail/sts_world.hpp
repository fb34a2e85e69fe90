#pragma once

#include "mail/mail_hosts.hpp"
#include "test.hpp"

#include <trawl/smtp_direct.hpp>

#include <string>

// A domain with an MTA-STS policy (RFC 8461), its exchanger, and its web server.
namespace trawl::test {

inline std::string const enforce = "version: STSv1\r\nmode: enforce\r\nmx: mx1.d.example\r\n"
                                   "mx: *.mail.d.example\r\nmax_age: 86400\r\n";

inline std::string http(std::string const& body, std::string const& status = "200 OK",
                        std::string const& type = "text/plain") {
    return "HTTP/1.1 " + status + "\r\nContent-Type: " + type +
           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// A web server for mta-sts.d.example that gives `reply` to whoever asks.
class web_host {
public:
    web_host(asio::any_io_executor executor, certificates const& of)
        : acceptor_(executor, {asio::ip::make_address("127.0.0.4"), 0}) {
        tls_.use_certificate_chain_file(of.file("server.pem"));
        tls_.use_private_key_file(of.file("server.key"), asio::ssl::context::pem);
    }
    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    void start(task_group& group) { group.spawn_background(serve()); }

    std::string reply, request;
    std::size_t asked = 0;
    bool hangs = false;

private:
    awaitable<> serve() {
        for (;;) {
            auto socket = co_await acceptor_.async_accept(asio::use_awaitable);
            ++asked;
            try {
                asio::ssl::stream<asio::ip::tcp::socket&> wire(socket, tls_);
                co_await wire.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
                request.clear();
                co_await asio::async_read_until(wire, asio::dynamic_buffer(request), "\r\n\r\n",
                                                asio::use_awaitable);
                if (hangs) co_await sleep_for(std::chrono::hours(1));
                co_await asio::async_write(wire, asio::buffer(reply), asio::use_awaitable);
                co_await wire.async_shutdown(asio::use_awaitable);
            } catch (std::system_error const& e) {
                if (is_cancelled(e)) throw;
            }
        }
    }
    asio::ip::tcp::acceptor acceptor_;
    asio::ssl::context tls_{asio::ssl::context::tls_server};
};

inline certificates const& of_web() {
    static certificates const made("mta-sts.d.example");
    return made;
}

/// d.example with a policy, two exchangers whose certificates come from the same authority's hand,
/// and an authority's file.
struct sts_world {
    explicit sts_world(asio::any_io_executor executor)
        : names(executor), host(executor, "127.0.0.2", 0), web(executor, of_web()) {
        names.mx("d.example", 10, "mx1.d.example");
        names.address("mx1.d.example", "127.0.0.2");
        names.address("mta-sts.d.example", "127.0.0.4");
        names.text("_mta-sts.d.example", "v=STSv1; id=1;");
        web.reply = http(enforce);
        how.port = host.port();
        how.https_port = web.port();
        how.mta_sts = true;
        how.helo = "client.example";
        how.limits = smtp::timeouts::scaled(0.1);
        how.ca_file = of_web().file("ca.pem");
    }
    void start(task_group& group) {
        names.server.start(group);
        host.start(group);
        web.start(group);
    }
    dns::resolver::options resolver() const {
        dns::resolver::options made;
        made.servers = {names.server.where()};
        made.timeout = std::chrono::seconds(2);
        made.tries = 1;
        made.cached = 0;
        return made;
    }
    zones names;
    mail_host host;
    web_host web;
    smtp::direct_options how;
};

/// For x@d.example.
inline smtp::outgoing letter_to_d() {
    smtp::outgoing one;
    one.envelope.sender = "a@b.example";
    one.envelope.recipients = {"x@d.example"};
    one.content = smtp::outgoing::of({}, "Subject: s\r\n\r\nok\r\n").content;
    return one;
}

} // namespace trawl::test
