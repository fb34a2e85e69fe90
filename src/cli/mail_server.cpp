#include "cli/mail_server.hpp"

#include <trawl/dns.hpp>

#include <CLI/Validators.hpp>

#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace trawl::cli {
namespace {

struct endpoint {
    std::string host;
    std::optional<std::uint16_t> port;
};

bool is_path(std::string const& server) { return server.starts_with('/'); }

/// HOST, HOST:PORT, [V6]:PORT or V6.
endpoint parse_server(std::string const& text) {
    auto const fail = [&] {
        throw usage_error(
            fmt::format("--server {}: HOST, HOST:PORT or /SOCKET is wanted", escaped(text)));
    };
    std::string host = text, port;
    if (text.starts_with('[')) {
        auto const end = text.find(']');
        if (end == std::string::npos) fail();
        host = text.substr(1, end - 1);
        port = text.substr(end + 1);
        if (!port.empty() && port.front() != ':') fail();
    } else if (auto const colon = text.find(':');
               colon != std::string::npos && text.rfind(':') == colon) {
        host = text.substr(0, colon);
        port = text.substr(colon);
    }
    if (host.empty()) fail();
    if (port.empty()) return {host, std::nullopt};
    std::uint16_t number = 0;
    auto const* const end = port.data() + port.size();
    auto const [rest, failure] = std::from_chars(port.data() + 1, end, number);
    if (failure != std::errc() || rest != end || number == 0) fail();
    return {host, number};
}

smtp::tls tls_of(std::string const& word) {
    if (word == "none") return smtp::tls::none;
    if (word == "opportunistic") return smtp::tls::opportunistic;
    if (word == "implicit") return smtp::tls::implicit;
    if (word == "required") return smtp::tls::required;
    throw usage_error(fmt::format("--tls {}: none, opportunistic, required or implicit is wanted",
                                  escaped(word)));
}

void set_limits(smtp::timeouts& limits, double seconds) {
    auto const limit = std::chrono::milliseconds(
        std::max<std::int64_t>(1, static_cast<std::int64_t>(seconds * 1000)));
    limits.connect = limits.tls = limits.banner = limits.command = limits.data = limits.block =
        limits.dot = limit;
}

void check_together(server_words const& given) {
    bool const secret = !given.password_file.empty() || !given.token_file.empty();
    if (given.user.empty() == secret)
        throw usage_error(secret ? "a password or token is for a --user"
                                 : "--user needs --password-file or --token-file");
    if (!given.password_file.empty() && !given.token_file.empty())
        throw usage_error("--password-file and --token-file exclude each other");
    if (given.certificate.empty() != given.key.empty())
        throw usage_error("--certificate and --key go together");
    if (!given.mechanism.empty() && given.user.empty()) throw usage_error("--auth is for a --user");
}

} // namespace

void add_server(CLI::App& verb, server_words& into) {
    verb.add_option("--server", into.server,
                    "HOST, HOST:PORT or the path of a Unix socket; the default is 127.0.0.1:25")
        ->type_name("SERVER");
    verb.add_option(
            "--tls", into.tls,
            "none, opportunistic, required (the default, on this machine none) or implicit (port "
            "465)")
        ->check(CLI::IsMember({"none", "opportunistic", "required", "implicit"}));
    verb.add_option("--ca-file", into.ca_file, "Believe the authorities of this PEM file only")
        ->type_name("FILE");
    verb.add_option("--pin", into.pins,
                    "Believe this public key only (base64 of the SHA-256 of its "
                    "SubjectPublicKeyInfo); may be repeated")
        ->allow_extra_args(false)
        ->type_name("HASH");
    verb.add_option("--certificate", into.certificate, "Our own certificate (PEM)")
        ->type_name("FILE");
    verb.add_option("--key", into.key, "The certificate's key (PEM)")->type_name("FILE");
    verb.add_option("--user", into.user, "Log in as USER")->type_name("USER");
    verb.add_option("--password-file", into.password_file, "The first line is USER's password")
        ->type_name("FILE");
    verb.add_option("--token-file", into.token_file,
                    "The first line is USER's OAuth token (OAUTHBEARER, XOAUTH2)")
        ->type_name("FILE");
    verb.add_option("--auth", into.mechanism, "Log in by this mechanism only")
        ->transform(CLI::IsMember({"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN",
                                   "CRAM-MD5", "OAUTHBEARER", "XOAUTH2"},
                                  CLI::ignore_case))
        ->type_name("MECHANISM");
    verb.add_option("--helo", into.helo, "Our name in EHLO; the default is this host's")
        ->type_name("NAME");
    verb.add_flag("--lmtp", into.lmtp, "Speak LMTP (port 24)");
    verb.add_option("-t,--timeout", into.timeout,
                    "Seconds for the connection and for each reply; the default is RFC 5321's")
        ->check(CLI::PositiveNumber)
        ->type_name("SEC");
    verb.add_flag("--trace", into.trace,
                  "Show the dialogue on stderr, without passwords and the message's text");
}

smtp::options server_options(server_words const& given, environment& here) {
    check_together(given);
    smtp::options how;
    if (is_path(given.server))
        how.unix_path = given.server;
    else
        how.host = parse_server(given.server).host;
    if (!given.tls.empty()) how.tls = tls_of(given.tls);
    how.protocol = given.lmtp ? smtp::protocol::lmtp : smtp::protocol::smtp;
    how.ca_file = given.ca_file;
    how.pinned_keys = given.pins;
    how.certificate = given.certificate;
    how.key = given.key;
    how.user = given.user;
    how.password_is_token = !given.token_file.empty();
    how.mechanism = given.mechanism;
    how.helo = given.helo;
    if (given.timeout > 0) set_limits(how.limits, given.timeout);
    if (given.trace)
        how.trace = [&here](char direction, std::string_view line) {
            here.say(fmt::format("{} {}\n", direction, escaped(line)));
        };
    if (!given.user.empty())
        how.password =
            net::read_secret_file(how.password_is_token ? given.token_file : given.password_file);
    return how;
}

awaitable<smtp::options> locate(environment& here, server_words given, smtp::options how) {
    bool local = is_path(given.server);
    std::optional<std::uint16_t> port;
    if (!local) {
        auto const executor = co_await asio::this_coro::executor;
        port = parse_server(given.server).port;
        dns::resolver names(executor);
        how.addresses = co_await names.addresses(how.host);
        local = std::all_of(how.addresses.begin(), how.addresses.end(),
                            [](auto const& a) { return a.is_loopback(); });
    }
    if (given.tls.empty()) how.tls = local ? smtp::tls::none : smtp::tls::required;
    how.port = port.value_or(how.tls == smtp::tls::implicit ? 465 : given.lmtp ? 24 : 25);
    bool const verified = how.tls == smtp::tls::required || how.tls == smtp::tls::implicit;
    if (verified && how.pinned_keys.empty()) co_await read_authorities(here, how.ca_file);
    co_return how;
}

awaitable<> read_authorities(environment& here, std::string ca_file) {
    auto work = [file = std::move(ca_file)] { net::load_authorities(file); };
    try {
        co_await here.blocking().run(std::move(work));
    } catch (error const&) { // every connection would say it
    }
}

bool is_unreached(error const& e) {
    return e.code().category() == dns::category() || e.where().starts_with("connect ") ||
           e.where().ends_with(" greeting");
}

} // namespace trawl::cli
