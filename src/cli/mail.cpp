#include "cli/mail_batch.hpp"
#include "cli/mail_direct.hpp"
#include "cli/mail_letter.hpp"
#include "cli/mail_report.hpp"
#include "cli/mail_server.hpp"
#include "cli/verb.hpp"

#include <trawl/dkim.hpp>
#include <trawl/dns.hpp>
#include <trawl/smtp.hpp>

#include <CLI/Validators.hpp>

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

namespace trawl::cli {

namespace {

/// What the command line said.
struct words {
    server_words server;
    direct_words direct;
    batch_words batch;
    letter_parts letter;
    std::string subject, html, eml, dkim_key, dkim_selector, dkim_domain;
    std::vector<std::string> attachments, inlines, headers;
    bool dry_run = false;
};

/// The domain that signs is From's unless another one is named.
dkim_key signer_of(words const& said) {
    if (said.dkim_key.empty() != said.dkim_selector.empty())
        throw usage_error("--dkim-key and --dkim-selector go together");
    if (said.dkim_key.empty()) return nullptr;
    dkim::options how;
    how.selector = said.dkim_selector;
    how.domain = said.dkim_domain;
    if (how.domain.empty() && !said.letter.from.empty()) {
        auto const address = mime::parse_mailbox(said.letter.from).address;
        how.domain = address.substr(address.rfind('@') + 1);
    }
    return std::make_shared<dkim::signer>(std::filesystem::path(said.dkim_key), std::move(how));
}

/// The message of the command line and standard input. What is wrong with it is a mistake of usage.
smtp::outgoing message_of(words const& said) {
    try {
        auto const key = signer_of(said);
        if (!said.eml.empty()) {
            auto const bytes =
                said.eml == "-" ? read_all(STDIN_FILENO, "standard input") : read_file(said.eml);
            return forward(bytes, said.letter.from, said.letter.to, key);
        }
        auto parts = said.letter;
        parts.subject = said.subject;
        for (auto const& file : said.attachments) parts.attachments.push_back({file, "", ""});
        for (auto const& one : said.inlines) parts.inlines.push_back(parse_inline(one));
        for (auto const& one : said.headers) parts.headers.push_back(parse_header(one));
        if (!said.html.empty()) parts.html = read_file(said.html);
        (void)compose(parts, key).envelope; // what is wrong is said before anything is read
        auto text = read_all(STDIN_FILENO, "standard input");
        if (!text.empty() || !parts.html) parts.text = std::move(text);
        return compose(parts, key);
    } catch (error const& e) {
        throw usage_error(e.what());
    }
}

awaitable<smtp::receipt> relay(environment& here, server_words server, smtp::options how,
                               smtp::outgoing one) {
    auto executor = co_await asio::this_coro::executor;
    auto located = locate(here, std::move(server), std::move(how));
    auto to = co_await std::move(located);
    smtp::client relay(executor, std::move(to));
    auto sent = co_await relay.send(std::move(one));
    co_await relay.quit();
    co_return sent;
}

smtp::direct_options direct_options_for(server_words const& given, smtp::options const& server) {
    smtp::direct_options how;
    if (!given.tls.empty()) how.tls = server.tls;
    how.ca_file = server.ca_file;
    how.helo = server.helo;
    how.limits = server.limits;
    how.trace = server.trace;
    return how;
}

awaitable<int> deliver(environment& here, words said, smtp::options how, smtp::outgoing one) {
    mail_report report(here);
    int code = all_well;
    try {
        auto sending = said.direct.direct ? send_direct(here, said.direct,
                                                        direct_options_for(said.server, how), one)
                                          : relay(here, said.server, std::move(how), one);
        auto const sent = co_await std::move(sending);
        report.show(sent);
        if (!is_settled(said.direct, sent)) code = some_failed;
    } catch (error const& e) {
        here.log().log(severity::error, "", e.what());
        bool const denied = e.code() == smtp::errc::auth_denied;
        code = denied ? bad_secret : is_unreached(e) ? nothing_reached : some_failed;
        // Nothing was delivered, so each recipient may be tried again.
        report.show(everybody(one, smtp::status::deferred, e.what()));
    } catch (std::system_error const& e) {
        if (!is_cancelled(e)) throw;
        report.show(
            everybody(one, smtp::status::unknown, "stopped before the server had answered"));
    }
    code = here.outcome(code);
    report.summarise(code);
    co_return code;
}

awaitable<int> flush(environment& here, direct_words said, smtp::direct_options how) {
    mail_report report(here);
    int code = all_well;
    auto const show = [&](smtp::receipt const& sent) {
        report.show(sent);
        if (sent.count(smtp::status::refused) + sent.count(smtp::status::unknown) > 0)
            code = some_failed;
    };
    try {
        auto flushing = flush_spool(here, std::move(said), std::move(how), show);
        co_await std::move(flushing);
    } catch (error const& e) {
        here.log().log(severity::error, "", e.what());
        code = some_failed;
    } catch (std::system_error const& e) {
        if (!is_cancelled(e)) throw;
    }
    code = here.outcome(code);
    report.summarise(code);
    co_return code;
}

/// What one message needs and a batch has not, or the other way round.
void check_words(words const& said) {
    auto const& letter = said.letter;
    bool const composed = !said.html.empty() || !said.attachments.empty() ||
                          !said.inlines.empty() || !said.headers.empty() || !letter.cc.empty() ||
                          !letter.bcc.empty() || !letter.reply_to.empty();
    if (said.direct.any() && said.server.tls == "implicit")
        throw usage_error("--tls implicit: exchangers do not speak TLS from the first byte");
    if (!said.direct.flush.empty()) {
        if (composed || !letter.to.empty() || !letter.from.empty() || !said.subject.empty() ||
            !said.eml.empty())
            throw usage_error("--flush sends what is in the spool, and no other message");
    } else if (!said.batch.file.empty()) {
        if (composed || !letter.to.empty() || !said.eml.empty())
            throw usage_error("with --batch each line says its own recipients and contents");
    } else if (!said.eml.empty()) {
        if (composed || !said.subject.empty())
            throw usage_error("--eml sends a message as it is: only -f and recipients go with it");
    } else if (letter.from.empty())
        throw usage_error("-f FROM is missing");
}

int run_mail(environment& here, words const& said) {
    check_words(said);
    smtp::options how;
    try {
        how = server_options(said.server, here);
    } catch (error const& e) {
        here.log().log(severity::error, "", e.what());
        return bad_secret;
    }
    if (!said.direct.flush.empty())
        return here.run(flush(here, said.direct, direct_options_for(said.server, how)));
    if (!said.batch.file.empty()) {
        dkim_key key;
        try {
            key = signer_of(said);
        } catch (error const& e) {
            throw usage_error(e.what());
        }
        auto defaults = said.letter;
        if (!said.subject.empty()) defaults.subject = said.subject;
        if (said.dry_run) return print_batch(here, said.batch, defaults, key);
        if (said.direct.direct)
            return run_direct_batch(here, said.batch, said.direct,
                                    direct_options_for(said.server, how), defaults, key);
        return run_batch(here, said.batch, said.server, std::move(how), defaults, key);
    }
    auto one = message_of(said);
    if (said.dry_run) {
        show_text(one, [&](std::string_view text) { here.out().raw(text); });
        return all_well;
    }
    return here.run(deliver(here, said, std::move(how), std::move(one)));
}

void add_contents(CLI::App& verb, words& said) {
    auto const list = [&](char const* name, std::vector<std::string>& into, char const* about,
                          char const* type) {
        verb.add_option(name, into, about)->allow_extra_args(false)->type_name(type);
    };
    auto& letter = said.letter;
    verb.add_option("-f,--from", letter.from, "The author, and where bounces go")
        ->type_name("ADDRESS");
    verb.add_option("-s,--subject", said.subject, "The subject, in any script")->type_name("TEXT");
    list("--cc", letter.cc, "Also to, shown in the message", "ADDRESS");
    list("--bcc", letter.bcc, "Also to, not shown to anybody", "ADDRESS");
    list("--reply-to", letter.reply_to, "Where answers go", "ADDRESS");
    list("--header", said.headers, "Another header field; may be repeated", "NAME:VALUE");
    verb.add_option("--html", said.html, "An HTML form of the text")->type_name("FILE");
    list("-a,--attach", said.attachments, "Attach a file; may be repeated", "FILE");
    list("--inline", said.inlines,
         "A picture that the HTML shows as cid:ID (logo@mail=logo.png); may be repeated",
         "ID=FILE");
    verb.add_option(
            "--eml", said.eml,
            "Send the message in FILE (- is stdin) as it is, without its Bcc; to those that "
            "it names unless there is a TO")
        ->type_name("FILE");
    verb.add_option("--dkim-key", said.dkim_key, "Sign with this private key (PEM; RSA, Ed25519)")
        ->type_name("FILE");
    verb.add_option("--dkim-selector", said.dkim_selector, "The key's name in the DNS")
        ->type_name("NAME");
    verb.add_option("--dkim-domain", said.dkim_domain, "Who signs; the default is FROM's domain")
        ->type_name("DOMAIN");
}

void add_batch(CLI::App& verb, batch_words& batch) {
    verb.add_option("--batch", batch.file,
                    "Send a message for each line of JSON in FILE (- is stdin): from, to, cc, bcc, "
                    "reply_to, subject, text, html, attachments, inline, headers")
        ->type_name("FILE");
    verb.add_option("-j,--jobs", batch.jobs,
                    "Connections of a batch, with --direct messages at a time; the default is 20")
        ->check(CLI::Range(1, 100'000))
        ->type_name("N");
    verb.add_option("--rate", batch.rate, "Messages of a batch in a second; the default is any")
        ->check(CLI::PositiveNumber)
        ->type_name("N");
    verb.add_option("--per-connection", batch.per_connection,
                    "Messages on a connection before it is closed; the default is any number")
        ->type_name("N");
}

} // namespace

void add_mail(CLI::App& app, action& chosen) {
    auto* const verb =
        app.add_subcommand("mail", "Send a message; its text comes from standard input");
    auto const said = std::make_shared<words>();
    add_server(*verb, said->server);
    add_contents(*verb, *said);
    add_batch(*verb, said->batch);
    add_direct(*verb, said->direct);
    verb->add_flag("-n,--dry-run", said->dry_run, "Print the message instead of sending it");
    verb->add_option("to", said->letter.to,
                     "ADDRESS, \"Name <ADDRESS>\", or a name of the server's host")
        ->type_name("TO");
    verb->callback(
        [&chosen, said] { chosen = [said](environment& here) { return run_mail(here, *said); }; });
}

} // namespace trawl::cli
