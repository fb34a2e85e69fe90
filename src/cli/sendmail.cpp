#include "cli/sendmail.hpp"

#include "cli/mail_letter.hpp"
#include "cli/mail_server.hpp"
#include "cli/raw_mail.hpp"
#include "cli/sendmail_options.hpp"
#include "cli/smart_host.hpp"

#include "mail/address.hpp"

#include <trawl/dns.hpp>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include <pwd.h>
#include <sysexits.h>
#include <unistd.h>

namespace trawl::cli {
namespace {

constexpr char help[] =
    R"(Usage: sendmail [OPTIONS] [RECIPIENT...] < MESSAGE

Hands a message to a smart host, as sendmail(8) would. The server is
$TRAWL_SMTP_SERVER, or what ~/.config/trawl/sendmail.toml or
/etc/trawl/sendmail.toml says, or 127.0.0.1:25.

  -t         also to those in To, Cc and Bcc
  -i, -oi    a line with a single dot does not end the message
  -f ADDRESS the envelope's sender ("<>": none); also -r
  -F NAME    the author's name, for a message without From
  -N WHEN    never, or some of success,failure,delay (DSN)
  -R WHAT    how much of the message a bounce has: full or hdrs (DSN)
  -V ID      the envelope's id (DSN)
  -C FILE    the configuration file
  -v         show the dialogue
  -bm        deliver a message (that is all there is)
Others that sendmail knows (-oem, -B TYPE, -G, -m, ...) change nothing.

Exit codes (sysexits.h): 0 taken by the server; 64 usage; 65 bad message;
67 recipient refused; 68 no such server; 69 refused; 75 try again later;
76 broken dialogue; 77 login refused; 78 configuration.
)";

/// A failure with its code of <sysexits.h>.
struct failure : std::runtime_error {
    failure(int with, std::string const& what) : std::runtime_error(what), code(with) {}
    int code;
};

// ---- who we are ----

/// What stands behind a bare name: the first line of /etc/mailname (Debian policy 11.6), else this
/// host's full name; empty: bare names stay so.
std::string mail_domain(smart_host const& to) {
    if (!to.domain.empty()) return to.domain;
    std::string name;
    std::ifstream file("/etc/mailname");
    if (std::getline(file, name))
        while (!name.empty() && static_cast<unsigned char>(name.back()) <= ' ') name.pop_back();
    if (name.empty()) {
        char host[256] = {};
        if (::gethostname(host, sizeof host - 1) == 0) name = host;
        if (name.find('.') == name.npos) name.clear();
    }
    return mime::detail::address_fault("a@" + name).empty() ? name : "";
}

std::string user_name() {
    auto const* const entry = ::getpwuid(::getuid());
    return entry ? entry->pw_name : fmt::format("uid-{}", ::getuid());
}

std::string qualified(std::string const& address, std::string const& domain) {
    bool const bare = address.find('@') == address.npos;
    return bare && !domain.empty() ? fmt::format("{}@{}", address, domain) : address;
}

// ---- the message ----

/// Standard input, to a line with a single dot unless that is part of the message.
std::string read_message(bool dot_ends) {
    auto text = read_all(STDIN_FILENO, "standard input");
    if (!dot_ends) return text;
    for (std::size_t at = 0; at < text.size();) {
        auto const end = std::min(text.find('\n', at), text.size());
        auto line = std::string_view(text).substr(at, end - at);
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line == ".") {
            text.resize(at);
            break;
        }
        at = end + 1;
    }
    return text;
}

std::vector<mime::mailbox> mailboxes_of(std::string const& text) {
    try {
        return mime::parse_mailboxes(text);
    } catch (error const& e) {
        throw failure(EX_DATAERR, e.what());
    }
}

/// RFC 5322 §3.6.6: the Resent fields are those of the message that is sent now.
std::vector<mime::mailbox> header_recipients(raw_mail const& mail) {
    bool const resent = mail.has("Resent-To") || mail.has("Resent-Cc") || mail.has("Resent-Bcc");
    std::vector<mime::mailbox> found;
    for (auto const* name : {"To", "Cc", "Bcc"})
        for (auto& box : mail.mailboxes(resent ? fmt::format("Resent-{}", name) : name))
            found.push_back(std::move(box));
    return found;
}

mime::envelope envelope_of(sendmail_options const& said, raw_mail const& mail,
                           std::string const& domain) {
    mime::envelope made;
    if (!said.sender)
        made.sender = qualified(user_name(), domain);
    else if (!said.sender->empty()) {
        auto const boxes = mailboxes_of(*said.sender);
        if (boxes.size() != 1) throw failure(EX_USAGE, "-f: one address is wanted");
        made.sender = qualified(boxes.front().address, domain);
    }
    auto& to = made.recipients;
    auto const add = [&](mime::mailbox const& box) {
        auto address = qualified(box.address, domain);
        if (std::find(to.begin(), to.end(), address) == to.end()) to.push_back(std::move(address));
    };
    for (auto const& words : said.recipients)
        for (auto const& box : mailboxes_of(words)) add(box);
    if (said.from_header)
        for (auto const& box : header_recipients(mail)) add(box);
    if (to.empty() && said.from_header) throw failure(EX_DATAERR, "no recipient in To, Cc and Bcc");
    if (to.empty()) throw failure(EX_USAGE, "no recipient is given");
    return made;
}

/// What RFC 5322 §3.6 wants and programs leave out; Bcc and Return-Path go.
void complete(raw_mail& mail, sendmail_options const& said, mime::envelope const& envelope,
              std::string const& domain) {
    bool const shown = mail.has("To") || mail.has("Cc");
    for (auto const* name : {"Bcc", "Resent-Bcc", "Return-Path"}) mail.erase(name);
    mime::message letter; // for its Date, Message-ID and the encoding of a name
    auto const author = envelope.sender.empty() ? qualified(user_name(), domain) : envelope.sender;
    letter.from(mime::to_string(mime::mailbox{said.full_name, author})).to(author);
    auto const made = raw_mail::read(letter.serialize());
    auto fields = made.header;
    std::erase_if(fields, [&](raw_mail::field const& f) {
        return (f.name != "Date" && f.name != "From" && f.name != "Message-ID") || mail.has(f.name);
    });
    mail.header.insert(mail.header.begin(), fields.begin(), fields.end());
    if (!shown) mail.prepend("To", "undisclosed-recipients:;");
}

smtp::outgoing outgoing_of(sendmail_options const& said, smart_host const& to) {
    auto const domain = mail_domain(to);
    auto mail = raw_mail::read(read_message(said.dot_ends));
    auto envelope = envelope_of(said, mail, domain);
    complete(mail, said, envelope, domain);
    auto one = smtp::outgoing::of(std::move(envelope), mail.bytes());
    one.parameters = said.parameters;
    return one;
}

// ---- its way ----

int code_of(error const& e) {
    auto const code = e.code();
    if (code == smtp::errc::auth_denied || code == smtp::errc::auth_unproved) return EX_NOPERM;
    if (code == smtp::errc::auth_needs_tls || code == smtp::errc::bad_value) return EX_CONFIG;
    if (code == smtp::errc::tls_unavailable || code == smtp::errc::auth_unavailable)
        return EX_UNAVAILABLE;
    if (code == smtp::errc::bad_reply || code == smtp::errc::out_of_step ||
        code == smtp::errc::injected_reply)
        return EX_PROTOCOL;
    if (code == smtp::errc::service_refused && e.said().starts_with('5')) return EX_UNAVAILABLE;
    if (code == trawl::errc::bad_name) return EX_NOHOST;
    if (code.category() == mime::category()) return EX_DATAERR;
    return EX_TEMPFAIL;
}

int code_of(smtp::recipient const& to) {
    switch (to.status) {
    case smtp::status::accepted: return EX_OK;
    case smtp::status::refused: return to.enhanced.starts_with("5.1.") ? EX_NOUSER : EX_UNAVAILABLE;
    case smtp::status::deferred:
    case smtp::status::unknown: break;
    }
    return EX_TEMPFAIL;
}

/// What may succeed later comes first: whoever keeps the message must not throw it away.
int report(environment& here, smtp::receipt const& sent) {
    int code = EX_OK;
    for (auto const& to : sent.recipients) {
        int const its = code_of(to);
        if (its == EX_OK) continue;
        here.log().log(severity::error, "",
                       fmt::format("sendmail: {}: {} ({}{}{})", to.address, to_string(to.status),
                                   to.code ? std::to_string(to.code) : "", to.code ? " " : "",
                                   to.text));
        if (code != EX_TEMPFAIL) code = its;
    }
    return code;
}

awaitable<int> hand_over(environment& here, server_words server, smtp::options how,
                         smtp::outgoing one) {
    try {
        auto const executor = co_await asio::this_coro::executor;
        auto located = locate(here, std::move(server), std::move(how));
        auto to = co_await std::move(located);
        smtp::client relay(executor, std::move(to));
        auto const sent = co_await relay.send(std::move(one));
        int const code = report(here, sent);
        co_await relay.quit();
        co_return code;
    } catch (error const& e) {
        here.log().log(severity::error, "", fmt::format("sendmail: {}", e.what()));
        co_return code_of(e);
    } catch (std::system_error const& e) {
        here.log().log(severity::error, "",
                       is_cancelled(e) ? "sendmail: stopped before the server had answered"
                                       : e.what());
        co_return EX_TEMPFAIL;
    }
}

int run(std::vector<std::string> arguments) {
    auto const said = parse_sendmail(std::move(arguments));
    if (said.help) {
        std::fputs(help, stdout);
        return EX_OK;
    }
    environment here({});
    smart_host to;
    smtp::options how;
    try {
        to = find_smart_host(said.configuration);
        to.server.trace = said.verbose;
        how = server_options(to.server, here);
    } catch (std::exception const& e) {
        throw failure(EX_CONFIG, e.what());
    }
    smtp::outgoing one;
    try {
        one = outgoing_of(said, to);
    } catch (error const& e) {
        bool const mail = e.code().category() == mime::category();
        throw failure(mail ? EX_DATAERR : EX_IOERR, e.what());
    }
    return here.run(hand_over(here, to.server, std::move(how), std::move(one)));
}

} // namespace

bool is_sendmail(std::vector<std::string> const& arguments) {
    if (arguments.empty()) return false;
    auto const& program = arguments[0];
    return program.substr(program.rfind('/') + 1) == "sendmail" ||
           (arguments.size() > 1 && arguments[1] == "sendmail");
}

int run_sendmail(std::vector<std::string> arguments) {
    if (arguments.size() > 1 && arguments[1] == "sendmail") arguments.erase(arguments.begin());
    try {
        return run(std::move(arguments));
    } catch (usage_error const& e) {
        std::fprintf(stderr, "sendmail: %s\n", e.what());
        return EX_USAGE;
    } catch (failure const& e) {
        std::fprintf(stderr, "sendmail: %s\n", e.what());
        return e.code;
    } catch (std::exception const& e) {
        std::fprintf(stderr, "sendmail: %s\n", e.what());
        return EX_SOFTWARE;
    }
}

} // namespace trawl::cli
