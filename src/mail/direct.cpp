#include "mail/direct.hpp"

#include "mail/address.hpp"
#include "mail/characters.hpp"
#include "mail/dane.hpp"
#include "mail/idn.hpp"
#include "mail/smtp_connection.hpp"
#include "mail/sts_cache.hpp"
#include "net/authorities.hpp"

#include <trawl/limiter.hpp>
#include <trawl/task_group.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <random>

namespace trawl::smtp {
namespace detail {

using mime::detail::lower;

std::vector<domain_group> by_domain(std::vector<std::string> const& recipients) {
    std::vector<domain_group> groups;
    std::map<std::string, std::size_t> known;
    for (std::size_t i = 0; i < recipients.size(); ++i) {
        auto domain = lower(mime::detail::domain_of(recipients[i]));
        obstacle none;
        try {
            domain = lower(mime::detail::to_ascii(domain));
            if (domain.empty()) none = {status::refused, "5.1.3", "the address has no domain"};
        } catch (error const& e) {
            none = {status::refused, "5.1.2", e.what()};
        }
        auto const [at, fresh] = known.emplace(domain, groups.size());
        if (fresh) groups.push_back({std::move(domain), {}, std::move(none)});
        groups[at->second].recipients.push_back(i);
    }
    return groups;
}

tally::tally(std::vector<std::string> const& recipients) {
    for (auto const& address : recipients)
        answers_.push_back({address, status::deferred, 0, "", ""});
}

std::vector<std::size_t> tally::open(std::vector<std::size_t> const& group) const {
    std::vector<std::size_t> found;
    for (auto const i : group)
        if (answers_[i].status == status::deferred) found.push_back(i);
    return found;
}

void tally::settle(std::size_t recipient, smtp::recipient answer) {
    answers_[recipient] = std::move(answer);
}

void tally::settle(std::vector<std::size_t> const& recipients, obstacle const& why) {
    for (auto const i : recipients)
        answers_[i] = {answers_[i].address, why.status, 0, why.enhanced, why.text};
}

} // namespace detail

using detail::dane;
using detail::domain_group;
using detail::host;
using detail::obstacle;
using detail::route;
using detail::tally;

namespace {

/// Pools of exchangers that nobody sends to at the moment; more are closed.
constexpr std::size_t most_idle = 32;

/// Where a message goes next and how.
struct way {
    obstacle none;
    smtp::options options;
};

std::string key_of(smtp::options const& to) {
    auto key = fmt::format("{} {}", to.host, static_cast<int>(to.tls));
    for (auto const& address : to.addresses) key += ' ' + address.to_string();
    for (auto const& name : to.other_names) key += ' ' + name;
    for (auto const& one : to.tlsa) key += ' ' + dns::to_string(dns::value(one));
    return key;
}

/// A message and what is known of it.
struct delivery {
    outgoing const& what;
    journal* notes;
    tally answers;
};

} // namespace

struct direct::state {
    state(asio::any_io_executor on, dns::resolver& by, direct_options with)
        : executor(std::move(on)), names(by), how(std::move(with)),
          places(std::max<std::size_t>(1, how.domains)),
          policies(names, {how.ca_file, how.https_port, how.limits.tls},
                   {how.sts_folder, how.files, how.watch}) {
        own = how.own_names;
        own.push_back(how.helo.empty() ? detail::host_name() : how.helo);
        std::erase(own, "");
    }

    awaitable<receipt> send(outgoing one, journal* notes);
    awaitable<> serve(domain_group const& group, delivery& mail);
    awaitable<way> find_way(std::string exchanger, route const& by, std::string const& domain,
                            bool require_tls);
    awaitable<> apply_dane(way& to, std::string exchanger, host const& at,
                           std::string const& domain);
    awaitable<> apply_sts(way& to, std::string exchanger, route const& by, std::string domain,
                          bool require_tls);
    awaitable<bool> attempt(smtp::options to, std::vector<std::size_t> recipients, delivery& mail);
    awaitable<> trim(std::size_t most);

    struct target {
        std::unique_ptr<pool> connections;
        std::size_t users = 0;
        time_point used{};
    };
    std::shared_ptr<target> target_of(smtp::options to);

    asio::any_io_executor executor;
    dns::resolver& names;
    direct_options how;
    limiter places; ///< domains
    std::vector<std::string> own;
    std::mt19937 random{std::random_device()()};
    std::map<std::string, std::shared_ptr<target>> targets;
    detail::sts_cache policies;
};

direct::direct(asio::any_io_executor executor, dns::resolver& names, direct_options how) {
    if (how.tls == tls::implicit)
        throw error(errc::bad_value, "smtp direct",
                    "exchangers do not speak TLS from the first byte");
    if (!how.sts_folder.empty() && !how.files)
        throw error(errc::bad_value, "smtp direct", "a folder without a pool for its files");
    if (how.mta_sts && how.tls != tls::none) (void)net::authorities(how.ca_file);
    state_ = std::make_unique<state>(std::move(executor), names, std::move(how));
}
direct::~direct() = default;

std::shared_ptr<direct::state::target> direct::state::target_of(smtp::options to) {
    auto& found = targets[key_of(to)];
    if (!found) {
        found = std::make_shared<target>();
        found->connections = std::make_unique<pool>(executor, std::move(to), how.each_exchanger);
    }
    return found;
}

/// Closes what has not been used for longest.
awaitable<> direct::state::trim(std::size_t most) {
    while (targets.size() > most) {
        auto oldest = targets.end();
        for (auto at = targets.begin(); at != targets.end(); ++at)
            if (at->second->users == 0 &&
                (oldest == targets.end() || at->second->used < oldest->second->used))
                oldest = at;
        if (oldest == targets.end()) co_return;
        auto const ending = std::move(oldest->second);
        targets.erase(oldest);
        co_await ending->connections->quit();
    }
}

/// The addresses of an exchanger, and what its certificate has to be like.
awaitable<way> direct::state::find_way(std::string exchanger, route const& by,
                                       std::string const& domain, bool require_tls) {
    way made;
    auto& to = made.options;
    host const at = co_await detail::find_host(names, exchanger);
    made.none = at.none;
    if (at.none) co_return made;
    bool const literal = exchanger.starts_with('[');
    to.host = literal ? at.name : exchanger;
    to.addresses = at.addresses;
    to.port = how.port;
    to.tls = how.tls;
    to.ca_file = how.ca_file;
    to.helo = how.helo;
    to.limits = how.limits;
    to.trace = how.trace;
    if (require_tls) to.tls = tls::required;
    bool const proved = by.authenticated && at.authenticated;
    if (how.dane && how.tls != tls::none && proved && !literal)
        co_await apply_dane(made, exchanger, at, domain);
    if (to.tlsa.empty() && !made.none) co_await apply_sts(made, exchanger, by, domain, require_tls);
    co_return made;
}

/// RFC 7672: records win over policies.
awaitable<> direct::state::apply_dane(way& to, std::string exchanger, host const& at,
                                      std::string const& domain) {
    dane found = co_await detail::find_dane(names, exchanger, at.name, how.port);
    to.none = found.none;
    auto& options = to.options;
    if (!found.records.empty()) {
        // RFC 7672 §3.2.2: names of the way here that DNSSEC has proved.
        for (auto const& name : {exchanger, domain})
            if (name != found.base) options.other_names.push_back(name);
        options.host = found.base;
        options.tlsa = std::move(found.records);
        options.tls = tls::required;
    } else if (found.encrypted && options.tls == tls::opportunistic)
        options.tls = tls::encrypted;
}

/// RFC 8461, and RFC 8689 §4.2.1: verified TLS to somebody else's choice of exchanger is worth
/// nothing.
awaitable<> direct::state::apply_sts(way& to, std::string exchanger, route const& by,
                                     std::string domain, bool require_tls) {
    std::optional<detail::sts_policy> policy;
    if (how.mta_sts && how.tls != tls::none && !domain.starts_with('['))
        policy = co_await policies.policy_of(domain);
    bool const enforced = policy && policy->mode == detail::sts_mode::enforce;
    if (enforced && !policy->has(exchanger))
        to.none = {status::deferred, "4.7.5",
                   fmt::format("the MTA-STS policy of {} does not name {}", domain, exchanger)};
    else if (enforced)
        to.options.tls = tls::required;
    else if (require_tls && !by.authenticated)
        to.none = {status::refused, "5.7.30",
                   fmt::format("REQUIRETLS: nothing proves that {} serves {}", exchanger, domain)};
}

/// Sends to one exchanger; whoever gets no answer there is deferred. True when TLS that nobody
/// demands failed.
awaitable<bool> direct::state::attempt(smtp::options to, std::vector<std::size_t> recipients,
                                       delivery& mail) {
    outgoing part;
    part.tag = mail.what.tag;
    part.message_id = mail.what.message_id;
    part.parameters = mail.what.parameters;
    part.envelope.sender = mail.what.envelope.sender;
    for (auto const i : recipients)
        part.envelope.recipients.push_back(mail.what.envelope.recipients[i]);
    bool begun = false, without_tls = false;
    bool const at_will = to.tls == tls::opportunistic;
    part.content = [&mail](mime::transport way) { return mail.what.content(way); };
    if (mail.notes)
        part.before = [&mail, &recipients, &begun]() -> awaitable<> {
            auto noting = mail.notes->sending(recipients);
            co_await std::move(noting);
            begun = true;
        };
    auto const by = target_of(std::move(to));
    struct user {
        target& of;
        explicit user(target& t) : of(t) { ++of.users; }
        ~user() { --of.users, of.used = clock::now(); }
    } const counted(*by);
    obstacle failure;
    std::vector<recipient> answers;
    try {
        auto sending = by->connections->send(std::move(part));
        auto done = co_await std::move(sending);
        answers = std::move(done.recipients);
    } catch (error const& e) {
        failure = {status::deferred, "", e.what()};
        without_tls = at_will && e.where().ends_with(" TLS") && e.code() != errc::injected_reply;
    }
    if (failure)
        mail.answers.settle(recipients, failure);
    else
        for (std::size_t i = 0; i < recipients.size(); ++i)
            mail.answers.settle(recipients[i], std::move(answers[i]));
    if (!begun) co_return without_tls;
    answers.clear();
    for (auto const i : recipients) answers.push_back(mail.answers.answers()[i]);
    auto noting = mail.notes->answered(std::move(recipients), std::move(answers));
    co_await std::move(noting);
    co_return without_tls;
}

/// Tries the exchangers of a domain until everybody has a final answer.
awaitable<> direct::state::serve(domain_group const& group, delivery& mail) {
    if (group.none) {
        mail.answers.settle(group.recipients, group.none);
        co_return;
    }
    auto const place = co_await places.acquire();
    route const by = co_await detail::find_route(names, group.domain, own, random);
    if (by.none) mail.answers.settle(group.recipients, by.none);
    obstacle hopeless; // of the last exchanger that refuses to be one
    bool hope = false; // another time may be better
    for (auto const& exchanger : by.exchangers) {
        auto const left = mail.answers.open(group.recipients);
        if (left.empty()) break;
        bool const require_tls = mail.what.parameters.require_tls;
        auto to = co_await find_way(exchanger, by, group.domain, require_tls);
        hope = hope || to.none.status != status::refused;
        if (to.none.status == status::refused)
            hopeless = to.none;
        else if (to.none)
            mail.answers.settle(left, to.none);
        else if (co_await attempt(std::move(to.options), left, mail)) {
            // Better readable than never (RFC 7435 §3): some servers offer what they cannot do.
            to = co_await find_way(exchanger, by, group.domain, require_tls);
            if (to.options.tls == tls::opportunistic) to.options.tls = tls::none;
            if (!to.none) co_await attempt(std::move(to.options), left, mail);
        }
    }
    if (hopeless && !hope) mail.answers.settle(mail.answers.open(group.recipients), hopeless);
}

awaitable<receipt> direct::state::send(outgoing one, journal* notes) {
    detail::require_valid(one);
    delivery mail{one, notes, tally(one.envelope.recipients)};
    auto const groups = detail::by_domain(one.envelope.recipients);
    std::function<awaitable<>(task_group&)> const body = [&](task_group& all) -> awaitable<> {
        for (auto const& group : groups) all.spawn(serve(group, mail));
        co_return;
    };
    auto serving = with_group(body);
    co_await std::move(serving);
    co_await trim(most_idle);
    receipt done;
    done.message_id = one.message_id;
    done.recipients = mail.answers.take();
    co_return done;
}

awaitable<receipt> direct::send(outgoing one) { return state_->send(std::move(one), nullptr); }
awaitable<receipt> direct::send(outgoing one, journal& notes) {
    return state_->send(std::move(one), &notes);
}
awaitable<receipt> direct::send(mime::message letter) {
    return state_->send(outgoing::of(std::move(letter)), nullptr);
}

awaitable<> direct::quit() { return state_->trim(0); }

} // namespace trawl::smtp
