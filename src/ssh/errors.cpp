#include <trawl/ssh.hpp>

namespace trawl::ssh {
namespace {

struct description {
    errc code;
    std::string_view word, text;
};

constexpr description descriptions[] = {
    {errc::connect_failed, "connect_failed", "connection failed"},
    {errc::banner, "banner", "not an SSH 2.0 server"},
    {errc::key_exchange, "key_exchange", "key exchange failed"},
    {errc::host_key_unknown, "host_key_unknown", "host key is unknown"},
    {errc::host_key_changed, "host_key_changed", "HOST KEY HAS CHANGED"},
    {errc::host_key_revoked, "host_key_revoked", "host key is revoked"},
    {errc::auth_denied, "auth_denied", "permission denied"},
    {errc::channel_refused, "channel_refused", "the server refused a channel"},
    {errc::exec_failed, "exec_failed", "the server refused the command"},
    {errc::disconnected, "disconnected", "connection lost"},
    {errc::not_connected, "not_connected", "not connected"},
    {errc::bad_key, "bad_key", "not a readable private key"},
    {errc::bad_passphrase, "bad_passphrase", "wrong or missing passphrase"},
    {errc::bad_agent, "bad_agent", "the agent does not help"},
    {errc::bad_certificate, "bad_certificate", "not a certificate for this key"},
    {errc::bad_known_hosts, "bad_known_hosts", "known_hosts file cannot be used"},
    {errc::forward_refused, "forward_refused", "the server does not listen for us"},
    {errc::no_status, "no_status", "no exit status"},
};

description const* find(int value) noexcept {
    for (auto const& d : descriptions)
        if (static_cast<int>(d.code) == value) return &d;
    return nullptr;
}

struct ssh_category final : std::error_category {
    char const* name() const noexcept override { return "trawl.ssh"; }
    std::string message(int value) const override {
        auto const* known = find(value);
        return known ? std::string(known->text) : "unknown error " + std::to_string(value);
    }
};

} // namespace

std::error_category const& category() noexcept {
    static ssh_category const instance;
    return instance;
}

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

std::string_view name(phase value) noexcept {
    switch (value) {
    case phase::resolve: return "resolve";
    case phase::connect: return "connect";
    case phase::banner: return "banner";
    case phase::key_exchange: return "key-exchange";
    case phase::host_key: return "host-key";
    case phase::auth: return "auth";
    case phase::channel: return "channel";
    case phase::exec: return "exec";
    case phase::closing: return "closing";
    }
    return "unknown";
}

failure::failure(std::error_code code, phase at, std::string const& peer, std::string said)
    : error(code, "ssh " + peer + " " + std::string(name(at)), std::move(said)), at_(at),
      peer_(peer) {}

std::string_view failure::word() const noexcept {
    if (code().category() == category())
        if (auto const* known = find(code().value())) return known->word;
    if (code() == trawl::errc::timed_out) return "timed_out";
    if (at_ == phase::resolve) return "resolve_failed";
    return "system";
}

} // namespace trawl::ssh
