#include "cli/mail_direct.hpp"
#include "cli/verb.hpp"

#include <trawl/dns.hpp>
#include <trawl/smtp.hpp>

#include <CLI/Validators.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <cerrno>
#include <cstdio>
#include <unistd.h>

namespace trawl::cli {

namespace {

/// What the command line said.
struct words {
    std::string server = "127.0.0.1", tls, ca_file, user, password_file, from, subject, html;
    std::vector<std::string> to, cc, bcc, attachments;
    double timeout = 0;
    bool dry_run = false, trace = false;
    direct_words direct;
};

struct endpoint {
    std::string host;
    std::optional<std::uint16_t> port;
};

/// HOST, HOST:PORT, [V6]:PORT or V6.
endpoint parse_server(std::string const& text) {
    auto const fail = [&] {
        throw usage_error(fmt::format("--server {}: HOST or HOST:PORT is wanted", escaped(text)));
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

std::string read_all(int descriptor, std::string const& name) {
    std::string bytes;
    std::array<char, 65536> block;
    for (;;) {
        auto const size = ::read(descriptor, block.data(), block.size());
        if (size > 0)
            bytes.append(block.data(), static_cast<std::size_t>(size));
        else if (size == 0)
            return bytes;
        else if (errno != EINTR)
            throw error(std::error_code(errno, std::system_category()), name);
    }
}

std::string read_file(std::string const& path) {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"),
                                                         std::fclose);
    if (!file) throw error(std::error_code(errno, std::system_category()), path);
    return read_all(::fileno(file.get()), path);
}

/// The message of the command line and standard input. What is wrong with it is a mistake of usage.
mime::message compose(words const& said) {
    mime::message letter;
    try {
        letter.from(said.from).subject(said.subject);
        for (auto const& address : said.to) letter.to(address);
        for (auto const& address : said.cc) letter.cc(address);
        for (auto const& address : said.bcc) letter.bcc(address);
        (void)letter.envelope();
        for (auto const& file : said.attachments) letter.attach(std::filesystem::path(file));
        if (!said.html.empty()) letter.html(read_file(said.html));
    } catch (error const& e) {
        throw usage_error(e.what());
    }
    auto text = read_all(STDIN_FILENO, "standard input");
    if (!text.empty() || said.html.empty()) letter.text(std::move(text));
    return letter;
}

std::optional<smtp::tls> tls_of(std::string const& word) {
    if (word == "none") return smtp::tls::none;
    if (word == "opportunistic") return smtp::tls::opportunistic;
    if (word == "required") return smtp::tls::required;
    if (word == "implicit") return smtp::tls::implicit;
    return std::nullopt;
}

smtp::timeouts limits_for(words const& said) {
    smtp::timeouts limits;
    if (said.timeout <= 0) return limits;
    auto const limit = std::chrono::milliseconds(
        std::max<std::int64_t>(1, static_cast<std::int64_t>(said.timeout * 1000)));
    limits.connect = limits.tls = limits.banner = limits.command = limits.data = limits.block =
        limits.dot = limit;
    return limits;
}

std::function<void(char, std::string_view)> trace_for(environment& here, words const& said) {
    if (!said.trace) return {};
    return [&here](char direction, std::string_view line) {
        here.say(fmt::format("{} {}\n", direction, escaped(line)));
    };
}

/// Options for sending without a relay.
smtp::direct_options direct_options_for(environment& here, words const& said) {
    smtp::direct_options how;
    how.tls = tls_of(said.tls).value_or(how.tls);
    how.ca_file = said.ca_file;
    how.limits = limits_for(said);
    how.trace = trace_for(here, said);
    return how;
}

/// Options for the server whose addresses are known.
smtp::options options_for(words const& said, net::secret password,
                          std::vector<asio::ip::address> addresses) {
    auto const server = parse_server(said.server);
    bool const local = std::all_of(addresses.begin(), addresses.end(),
                                   [](auto const& a) { return a.is_loopback(); });
    smtp::options how;
    how.host = server.host;
    how.addresses = std::move(addresses);
    how.tls = tls_of(said.tls).value_or(local ? smtp::tls::none : smtp::tls::required);
    how.port = server.port.value_or(how.tls == smtp::tls::implicit ? 465 : 25);
    how.ca_file = said.ca_file;
    how.user = said.user;
    how.password = std::move(password);
    how.limits = limits_for(said);
    return how;
}

void show(environment& here, smtp::receipt const& sent) {
    for (auto const& [address, status, code, enhanced, text] : sent.recipients) {
        if (here.words().json) {
            here.out().record(json::record("recipient", "mail")
                                  .field("message", sent.message_id)
                                  .field("recipient", address)
                                  .field("status", to_string(status))
                                  .field("code", code)
                                  .field("enhanced", enhanced)
                                  .field("text", text));
            continue;
        }
        std::string reply = code ? std::to_string(code) : "";
        for (auto const* part : {&enhanced, &text})
            if (!part->empty()) reply += (reply.empty() ? "" : " ") + *part;
        here.out().line(escaped(fmt::format("{}: {} ({})", address, to_string(status), reply)));
    }
}

void summarise(environment& here, smtp::receipt const& sent, time_point began, int code) {
    if (!here.words().json) return;
    json::record record("summary", "mail");
    record.field("targets", sent.recipients.size());
    for (auto status : {smtp::status::accepted, smtp::status::refused, smtp::status::deferred,
                        smtp::status::unknown})
        record.field(to_string(status), sent.count(status));
    here.out().record(record.field("elapsed", clock::now() - began).field("exit", code));
}

/// True for a failure before the server has said a word.
bool is_unreached(error const& e) {
    return e.code().category() == dns::category() || e.where().starts_with("connect ") ||
           e.where().ends_with(" greeting");
}

smtp::receipt everybody(mime::message const& letter, smtp::status status, std::string const& why) {
    smtp::receipt sent{letter.message_id(), {}};
    for (auto const& address : letter.envelope().recipients)
        sent.recipients.push_back({address, status, 0, "", why});
    return sent;
}

/// Everybody has the message, or will have it from the spool.
bool is_settled(words const& said, smtp::receipt const& sent) {
    auto const kept = said.direct.spool.empty() ? 0 : sent.count(smtp::status::deferred);
    return sent.count(smtp::status::accepted) + kept == sent.recipients.size();
}

awaitable<smtp::receipt> relay(environment& here, words said, net::secret password,
                               mime::message letter) {
    auto executor = co_await asio::this_coro::executor;
    dns::resolver names(executor);
    auto host = parse_server(said.server).host;
    auto addresses = co_await names.addresses(std::move(host));
    auto how = options_for(said, std::move(password), std::move(addresses));
    how.trace = trace_for(here, said);
    smtp::client server(executor, std::move(how));
    auto sent = co_await server.send(std::move(letter));
    co_await server.quit();
    co_return sent;
}

awaitable<int> deliver(environment& here, words said, net::secret password, mime::message letter) {
    auto const began = clock::now();
    smtp::receipt sent;
    int code = all_well;
    try {
        auto sending = said.direct.direct
                           ? send_direct(here, said.direct, direct_options_for(here, said),
                                         smtp::outgoing::of(letter))
                           : relay(here, said, std::move(password), letter);
        sent = co_await std::move(sending);
        show(here, sent);
        if (!is_settled(said, sent)) code = some_failed;
    } catch (error const& e) {
        here.log().log(severity::error, "", e.what());
        bool const denied = e.code() == smtp::errc::auth_denied;
        code = denied ? bad_secret : is_unreached(e) ? nothing_reached : some_failed;
        // Nothing was delivered, so each recipient may be tried again.
        sent = everybody(letter, smtp::status::deferred, e.what());
        show(here, sent);
    } catch (std::system_error const& e) {
        if (!is_cancelled(e)) throw;
        sent = everybody(letter, smtp::status::unknown, "stopped before the server had answered");
        show(here, sent);
    }
    code = here.outcome(code);
    summarise(here, sent, began, code);
    co_return code;
}

awaitable<int> flush(environment& here, words said) {
    auto const began = clock::now();
    smtp::receipt all;
    int code = all_well;
    auto const note = [&](smtp::receipt const& sent) {
        show(here, sent);
        for (auto const& one : sent.recipients) all.recipients.push_back(one);
    };
    try {
        auto flushing = flush_spool(here, said.direct, direct_options_for(here, said), note);
        co_await std::move(flushing);
        if (all.count(smtp::status::refused) + all.count(smtp::status::unknown) > 0)
            code = some_failed;
    } catch (error const& e) {
        here.log().log(severity::error, "", e.what());
        code = some_failed;
    } catch (std::system_error const& e) {
        if (!is_cancelled(e)) throw;
    }
    code = here.outcome(code);
    summarise(here, all, began, code);
    co_return code;
}

int run_mail(environment& here, words const& said) {
    if (said.direct.any() && said.tls == "implicit")
        throw usage_error("--tls implicit: exchangers do not speak TLS from the first byte");
    if (!said.direct.flush.empty()) return here.run(flush(here, said));
    if (said.from.empty()) throw usage_error("--from is required");
    (void)parse_server(said.server);
    auto letter = compose(said);
    if (said.dry_run) {
        auto shown = letter.serialize();
        std::erase(shown, '\r'); // every one of them ends a line
        here.out().raw(shown);
        return all_well;
    }
    net::secret password;
    if (!said.user.empty()) {
        if (said.password_file.empty()) throw usage_error("--user needs --password-file");
        try {
            password = net::read_secret_file(said.password_file);
        } catch (error const& e) {
            here.log().log(severity::error, "", e.what());
            return bad_secret;
        }
    }
    return here.run(deliver(here, said, std::move(password), std::move(letter)));
}

} // namespace

void add_mail(CLI::App& app, action& chosen) {
    auto* const verb =
        app.add_subcommand("mail", "Send a message; its text comes from standard input");
    auto const said = std::make_shared<words>();
    verb->add_option("--server", said->server, "HOST or HOST:PORT; the default is 127.0.0.1:25")
        ->type_name("HOST[:PORT]");
    verb->add_option(
            "--tls", said->tls,
            "none, opportunistic, required (the default, on loopback none) or implicit (port 465)")
        ->check(CLI::IsMember({"none", "opportunistic", "required", "implicit"}));
    verb->add_option("--ca-file", said->ca_file, "Believe the authorities of this PEM file only")
        ->type_name("FILE");
    verb->add_option("--user", said->user, "Log in as USER")->type_name("USER");
    verb->add_option("--password-file", said->password_file, "The first line is USER's password")
        ->type_name("FILE");
    verb->add_option("-f,--from", said->from, "The author, and where bounces go")
        ->type_name("ADDRESS");
    verb->add_option("-s,--subject", said->subject, "The subject, in any script")
        ->type_name("TEXT");
    verb->add_option("--cc", said->cc, "Also to, shown in the message")
        ->allow_extra_args(false)
        ->type_name("ADDRESS");
    verb->add_option("--bcc", said->bcc, "Also to, not shown to anybody")
        ->allow_extra_args(false)
        ->type_name("ADDRESS");
    verb->add_option("--html", said->html, "An HTML form of the text")->type_name("FILE");
    verb->add_option("-a,--attach", said->attachments, "Attach a file; may be repeated")
        ->allow_extra_args(false)
        ->type_name("FILE");
    verb->add_option("-t,--timeout", said->timeout,
                     "Seconds for the connection and for each reply; the default is RFC 5321's")
        ->check(CLI::PositiveNumber)
        ->type_name("SEC");
    verb->add_flag("-n,--dry-run", said->dry_run, "Print the message instead of sending it");
    verb->add_flag("--trace", said->trace,
                   "Show the dialogue on stderr, without passwords and the message's text");
    verb->add_option("to", said->to, "ADDRESS, \"Name <ADDRESS>\", or a name of the server's host")
        ->type_name("TO");
    add_direct(*verb, said->direct);
    verb->callback(
        [&chosen, said] { chosen = [said](environment& here) { return run_mail(here, *said); }; });
}

} // namespace trawl::cli
