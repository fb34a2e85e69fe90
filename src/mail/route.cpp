#include "mail/route.hpp"

#include "mail/characters.hpp"

#include <trawl/task_group.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace trawl::smtp::detail {
namespace {

/// Happy Eyeballs over more addresses than these takes longer than another exchanger.
constexpr std::size_t most_addresses = 16;

std::string canonical(std::string_view name) {
    if (name.size() > 1 && name.ends_with('.')) name.remove_suffix(1);
    return mime::detail::lower(name);
}

obstacle refused(std::string enhanced, std::string text) {
    return {smtp::status::refused, std::move(enhanced), std::move(text)};
}

/// RFC 3463 §3.5: X.4.3 is a directory server failure.
obstacle deferred(dns::answer const& found, std::string_view question) {
    auto const why = found.why ? found.why.message() : std::string(to_string(found.status));
    return {smtp::status::deferred, "4.4.3", fmt::format("dns {}: {}", question, why)};
}

bool is_negative(dns::answer const& found) {
    return found.status == dns::status::no_data || found.status == dns::status::no_such_name;
}

awaitable<> ask(dns::resolver& names, std::string name, dns::type type, dns::answer& into) {
    try {
        into = co_await names.look_up(std::move(name), type);
    } catch (error const& e) {
        if (e.code() != dns::errc::bad_name) throw;
        into.status = dns::status::no_such_name; // nobody can have it
    }
}

} // namespace

std::optional<asio::ip::address> address_literal(std::string_view domain) {
    if (!domain.starts_with('[') || !domain.ends_with(']')) return std::nullopt;
    domain = domain.substr(1, domain.size() - 2);
    std::error_code failure;
    constexpr std::string_view tag = "ipv6:";
    if (canonical(domain.substr(0, tag.size())) == tag) {
        auto const text = std::string(domain.substr(tag.size()));
        if (text.find('%') != std::string::npos) return std::nullopt; // a zone means this host's
        auto const six = asio::ip::make_address_v6(text, failure);
        return failure ? std::nullopt : std::optional<asio::ip::address>(six);
    }
    auto const four = asio::ip::make_address_v4(std::string(domain), failure);
    return failure ? std::nullopt : std::optional<asio::ip::address>(four);
}

route route_of(dns::answer const& mx, std::string const& domain,
               std::vector<std::string> const& own, std::mt19937& random) {
    route made;
    made.authenticated = mx.authenticated;
    if (mx.status == dns::status::no_such_name) {
        made.none = refused("5.1.2", fmt::format("there is no domain {}", domain));
        return made;
    }
    if (mx.status == dns::status::no_data) { // its own exchanger, at preference 0
        made.exchangers.push_back(domain);
        return made;
    }
    if (mx.status != dns::status::answered) {
        made.none = deferred(mx, domain + " MX");
        return made;
    }

    std::vector<dns::mx> records;
    for (auto const& value : mx.values)
        if (auto const* one = std::get_if<dns::mx>(&value); one && one->exchange != ".")
            records.push_back(*one);
    if (records.empty()) { // RFC 7505 §3
        made.none = refused("5.1.10", fmt::format("{} takes no mail (null MX)", domain));
        return made;
    }
    std::shuffle(records.begin(), records.end(), random);
    std::stable_sort(records.begin(), records.end(),
                     [](auto const& a, auto const& b) { return a.preference < b.preference; });
    auto const is_own = [&](dns::mx const& one) {
        return std::any_of(own.begin(), own.end(), [&](auto const& name) {
            return canonical(name) == canonical(one.exchange);
        });
    };
    auto const self = std::find_if(records.begin(), records.end(), is_own);
    if (self != records.end()) {
        auto const limit = self->preference;
        std::erase_if(records, [&](auto const& one) { return one.preference >= limit; });
    }
    made.by_mx = true;
    for (auto const& one : records) {
        auto name = canonical(one.exchange);
        auto const& so_far = made.exchangers;
        if (std::find(so_far.begin(), so_far.end(), name) == so_far.end())
            made.exchangers.push_back(std::move(name));
    }
    if (made.exchangers.size() > most_exchangers) made.exchangers.resize(most_exchangers);
    if (made.exchangers.empty())
        made.none = refused("5.4.6", fmt::format("the mail of {} loops back to this host", domain));
    return made;
}

awaitable<route> find_route(dns::resolver& names, std::string domain, std::vector<std::string> own,
                            std::mt19937& random) {
    if (domain.starts_with('[')) {
        route made;
        if (address_literal(domain))
            made.exchangers.push_back(std::move(domain));
        else
            made.none = refused("5.1.2", fmt::format("{} is no address", domain));
        co_return made;
    }
    // A trailing dot: no search list completes a mail domain.
    dns::answer found;
    auto question = domain + '.';
    co_await ask(names, std::move(question), dns::type::mx, found);
    co_return route_of(found, domain, own, random);
}

host host_of(dns::answer const& v6, dns::answer const& v4, std::string const& exchanger) {
    host made;
    made.authenticated = true;
    for (auto const* found : {&v6, &v4}) {
        if (found->status != dns::status::answered) continue;
        made.authenticated = made.authenticated && found->authenticated;
        made.name = found->name;
        for (auto const& value : found->values)
            if (auto const* address = std::get_if<asio::ip::address>(&value))
                made.addresses.push_back(*address);
    }
    if (made.addresses.size() > most_addresses) made.addresses.resize(most_addresses);
    if (!made.addresses.empty()) return made;
    made.authenticated = false;
    if (is_negative(v6) && is_negative(v4))
        made.none = refused("5.4.4", fmt::format("{} has no address", exchanger));
    else
        made.none =
            is_negative(v4) ? deferred(v6, exchanger + " AAAA") : deferred(v4, exchanger + " A");
    return made;
}

awaitable<host> find_host(dns::resolver& names, std::string exchanger) {
    if (auto const literal = address_literal(exchanger)) {
        host made;
        made.name = literal->to_string();
        made.addresses.push_back(*literal);
        co_return made;
    }
    dns::answer v6, v4;
    std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
        group.spawn(ask(names, exchanger + '.', dns::type::aaaa, v6));
        group.spawn(ask(names, exchanger + '.', dns::type::a, v4));
        co_return;
    };
    co_await with_group(body);
    co_return host_of(v6, v4, exchanger);
}

} // namespace trawl::smtp::detail
