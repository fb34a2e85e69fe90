#pragma once

#include "mail/smtp_outbox.hpp"
#include "mail/smtp_phase.hpp"
#include "mail/smtp_reply.hpp"
#include "mail/smtp_sasl.hpp"

#include <trawl/smtp.hpp>

#include <memory>
#include <string>

namespace trawl::smtp::detail {

struct settings {
    std::string helo;
    smtp::tls tls = smtp::tls::required;
    smtp::protocol protocol = smtp::protocol::smtp;
    credentials login;     ///< no user: no AUTH
    bool loopback = false; ///< the peer is this machine: AUTH needs no TLS
    tracer trace;
};

/// How a connection is opened, without sockets:
///
///     banner -> hello -> [starttls -> handshake -> hello] -> [auth] -> ready
class opening {
public:
    opening(settings s, outbox& out);

    phase at() const noexcept { return at_; }
    void receive(reply const& r);
    /// TLS stands; `verified` if the certificate is the host's. `binding_name` and `binding` as in
    /// credentials.
    void secured(bool verified, std::string binding_name, std::string binding);
    /// AUTH has something to compute: call work() until it has not.
    bool working() const noexcept { return mechanism_ && mechanism_->working(); }
    void work();
    void fail(std::error_code code, std::string said, bool may_quit = false);

    capabilities const& can() const noexcept { return can_; }
    bool verified() const noexcept { return verified_; }
    bool lmtp() const noexcept { return settings_.protocol == smtp::protocol::lmtp; }
    failed const& failure() const noexcept { return failure_; }

private:
    void say_hello();
    void on_hello(reply const& r);
    void after_hello();
    void on_starttls(reply const& r);
    void log_in();
    void on_auth(reply const& r);
    void answer(std::string response);
    void fail(smtp::errc code, reply const& r, bool may_quit = false);

    settings settings_;
    outbox& out_;
    capabilities can_;
    phase at_;
    bool esmtp_ = true, secure_ = false, verified_ = false, greeted_ = false, given_up_ = false;
    std::unique_ptr<mechanism> mechanism_;
    failed failure_;
};

} // namespace trawl::smtp::detail
