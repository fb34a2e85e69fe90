#include "cli/mail_direct.hpp"

#include "cli/mail_report.hpp"
#include "cli/mail_server.hpp"

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

smtp::direct_options finish(environment& here, direct_words const& said, smtp::direct_options how) {
    how.dane = !said.no_dane;
    how.mta_sts = said.mta_sts;
    how.port = said.port;
    how.sts_folder = said.sts_cache;
    if (!said.sts_cache.empty()) how.files = &here.blocking();
    how.watch = &here.log();
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
    auto* const policies =
        verb.add_flag("--mta-sts", into.mta_sts,
                      "With --direct and --flush: fetch and obey the domains' MTA-STS policies");
    verb.add_option("--sts-cache", into.sts_cache,
                    "With --mta-sts: keep the policies in this folder between runs")
        ->needs(policies)
        ->type_name("DIR");
    verb.add_flag("--no-dane", into.no_dane,
                  "With --direct and --flush: send also where TLSA records forbid it");
    for (auto const* other : {"--server", "--user", "--pin", "--certificate", "--lmtp"})
        for (auto* const mine : {direct, static_cast<CLI::Option*>(flush)})
            mine->excludes(verb.get_option(other));
    flush->excludes(verb.get_option("--batch"));
}

direct_sender::direct_sender(environment& here, asio::any_io_executor const& executor,
                             direct_words const& said, smtp::direct_options how)
    : here_(here), folder_(said.spool), names_(executor, resolver_options(said)),
      direct_(executor, names_, finish(here, said, std::move(how))) {
    if (!folder_.empty()) spool_.emplace(here.blocking(), spool_options(here, folder_));
}

awaitable<std::unique_ptr<direct_sender>> direct_sender::open(environment& here, direct_words said,
                                                              smtp::direct_options how) {
    auto const executor = co_await asio::this_coro::executor;
    if (said.mta_sts) co_await read_authorities(here, how.ca_file);
    co_return std::make_unique<direct_sender>(here, executor, said, std::move(how));
}

awaitable<smtp::receipt> direct_sender::send(smtp::outgoing one) {
    if (!spool_) {
        auto sending = direct_.send(std::move(one));
        co_return co_await std::move(sending);
    }
    // First on disk: then it is safe whatever happens here.
    auto kept = everybody(one, smtp::status::deferred, "");
    auto putting = spool_->put(std::move(one));
    auto const name = co_await std::move(putting);
    here_.log().log(severity::info, "spool " + folder_, "kept as " + name);
    std::string why = "another process is sending it";
    std::optional<smtp::receipt> sent;
    try {
        auto trying = spool_->attempt(name, direct_);
        sent = co_await std::move(trying);
    } catch (error const& e) { // no reason to send it once more: it is kept
        why = e.what();
    }
    if (sent) co_return std::move(*sent);
    for (auto& to : kept.recipients)
        to.text = fmt::format("kept in the spool as {}: {}", name, why);
    co_return kept;
}

bool is_settled(direct_words const& said, smtp::receipt const& sent) {
    auto const kept = said.spool.empty() ? 0 : sent.count(smtp::status::deferred);
    return sent.count(smtp::status::accepted) + kept == sent.recipients.size();
}

awaitable<smtp::receipt> send_direct(environment& here, direct_words said, smtp::direct_options how,
                                     smtp::outgoing one) {
    auto opening = direct_sender::open(here, std::move(said), std::move(how));
    auto const by = co_await std::move(opening);
    auto sending = by->send(std::move(one));
    auto sent = co_await std::move(sending);
    co_await by->quit();
    co_return sent;
}

awaitable<> flush_spool(environment& here, direct_words said, smtp::direct_options how,
                        std::function<void(smtp::receipt const&)> show) {
    auto opening = direct_sender::open(here, said, std::move(how));
    auto const by = co_await std::move(opening);
    smtp::spool spool(here.blocking(), spool_options(here, said.flush));
    std::function<void(std::string const&, smtp::receipt const&)> const done =
        [&show](std::string const&, smtp::receipt const& sent) { show(sent); };
    co_await spool.flush(by->direct(), at_a_time, done);
    co_await by->quit();
}

} // namespace trawl::cli
