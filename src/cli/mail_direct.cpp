#include "cli/mail_direct.hpp"

#include "cli/mail_report.hpp"

#include <trawl/dns.hpp>
#include <trawl/smtp_spool.hpp>

#include <CLI/Validators.hpp>

#include <asio/this_coro.hpp>

#include <fmt/format.h>

namespace trawl::cli {
namespace {

/// Messages of a spool that are on their way at a time; each is in memory.
constexpr std::size_t at_a_time = 50;

dns::resolver::options resolver_options(direct_words const& said) {
    dns::resolver::options how;
    how.servers = said.dns_servers;
    how.search = false; // the domain of an address is whole
    return how;
}

smtp::direct_options finish(direct_words const& said, smtp::direct_options how) {
    how.dane = !said.no_dane;
    how.mta_sts = said.mta_sts;
    how.port = said.port;
    return how;
}

smtp::spool_options spool_options(environment& here, std::string const& folder) {
    smtp::spool_options how;
    how.folder = folder;
    how.watch = &here.log();
    return how;
}

} // namespace

void add_direct(CLI::App& verb, direct_words& into) {
    auto* const direct =
        verb.add_flag("--direct", into.direct,
                      "Send to the mail servers of the recipients' domains, without a relay");
    verb.add_option("--spool", into.spool,
                    "With --direct: keep in this folder what is deferred, for --flush")
        ->needs(direct)
        ->type_name("DIR");
    auto* const flush = verb.add_option("--flush", into.flush,
                                        "Send what is due in this spool, and no other message");
    flush->type_name("DIR")->excludes(direct);
    verb.add_option("--port", into.port, "With --direct and --flush: instead of 25")
        ->check(CLI::Range(1, 65535))
        ->type_name("PORT");
    verb.add_option("--dns-server", into.dns_servers,
                    "With --direct and --flush: instead of those of resolv.conf; may be repeated")
        ->allow_extra_args(false)
        ->type_name("ADDR[:PORT]");
    verb.add_flag("--mta-sts", into.mta_sts,
                  "With --direct and --flush: fetch and obey the domains' MTA-STS policies");
    verb.add_flag("--no-dane", into.no_dane,
                  "With --direct and --flush: send also where TLSA records forbid it");
    for (auto const* other : {"--server", "--user", "--pin", "--certificate", "--lmtp", "--batch"})
        for (auto* const mine : {direct, static_cast<CLI::Option*>(flush)})
            mine->excludes(verb.get_option(other));
}

awaitable<smtp::receipt> send_direct(environment& here, direct_words said, smtp::direct_options how,
                                     smtp::outgoing one) {
    auto const executor = co_await asio::this_coro::executor;
    dns::resolver names(executor, resolver_options(said));
    smtp::direct direct(executor, names, finish(said, std::move(how)));
    std::optional<smtp::receipt> sent;
    if (said.spool.empty()) {
        auto sending = direct.send(std::move(one));
        sent = co_await std::move(sending);
    } else {
        // First on disk: then it is safe whatever happens here.
        smtp::spool spool(here.blocking(), spool_options(here, said.spool));
        auto kept = everybody(one, smtp::status::deferred, "");
        auto putting = spool.put(std::move(one));
        auto const name = co_await std::move(putting);
        here.log().log(severity::info, "spool " + said.spool, "kept as " + name);
        std::string why = "another process is sending it";
        try {
            auto trying = spool.attempt(name, direct);
            sent = co_await std::move(trying);
        } catch (error const& e) { // no reason to send it once more: it is kept
            why = e.what();
        }
        if (!sent) {
            for (auto& to : kept.recipients)
                to.text = fmt::format("kept in the spool as {}: {}", name, why);
            sent = std::move(kept);
        }
    }
    co_await direct.quit();
    co_return std::move(*sent);
}

awaitable<> flush_spool(environment& here, direct_words said, smtp::direct_options how,
                        std::function<void(smtp::receipt const&)> show) {
    auto const executor = co_await asio::this_coro::executor;
    dns::resolver names(executor, resolver_options(said));
    smtp::direct direct(executor, names, finish(said, std::move(how)));
    smtp::spool spool(here.blocking(), spool_options(here, said.flush));
    std::function<void(std::string const&, smtp::receipt const&)> const done =
        [&show](std::string const&, smtp::receipt const& sent) { show(sent); };
    co_await spool.flush(direct, at_a_time, done);
    co_await direct.quit();
}

} // namespace trawl::cli
