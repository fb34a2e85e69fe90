#include "cli/ping_run.hpp"

#include <trawl/task_group.hpp>
#include <trawl/tcp_probe.hpp>

#include <asio/signal_set.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <csignal>

namespace trawl::cli {
namespace {

/// Nobody waits longer for a line.
constexpr duration longest_gathering = std::chrono::milliseconds(50);

/// As to_string(), whose inet_ntop costs a fifth of a line.
std::string text_of(asio::ip::address const& address) {
    if (!address.is_v4()) return address.to_string();
    auto const octets = address.to_v4().to_bytes();
    return fmt::format("{}.{}.{}.{}", octets[0], octets[1], octets[2], octets[3]);
}

awaitable<> flush_on_time(output& out) {
    for (;;) {
        co_await sleep_for(longest_gathering);
        out.flush();
    }
}

} // namespace

// ---- names ----

awaitable<std::vector<asio::ip::address>> ping_names::addresses(std::string name) {
    auto all = co_await resolver_.addresses(name);
    std::erase_if(all, [&](asio::ip::address const& a) {
        return plan_.only == (a.is_v4() ? ping_plan::family::v6 : ping_plan::family::v4);
    });
    if (all.empty())
        throw error(dns::errc::not_found, name,
                    fmt::format("no IPv{} address", plan_.only == ping_plan::family::v4 ? 4 : 6));
    if (plan_.all_addresses) co_return all;
    // IPv4 first: it is what the ranges beside the name mostly are, and always has a route.
    auto const v4 = std::ranges::find_if(all, [](auto const& a) { return a.is_v4(); });
    std::vector<asio::ip::address> one(1, v4 == all.end() ? all.front() : *v4);
    co_return one;
}

awaitable<std::string> ping_names::label(std::string given, asio::ip::address address) {
    if (!plan_.label) co_return given;
    std::optional<std::string> name;
    if (plan_.wants_name && plan_.wants_name(given)) try {
            auto const names = co_await resolver_.names(address);
            name = names.front();
        } catch (error const&) {
        } // it has none
    co_return plan_.label(given, address, name);
}

namespace {

std::uint64_t place_of(ping_plan const& plan, std::uint64_t position) {
    return plan.place ? plan.place(position) : 0;
}

/// All outlive it.
awaitable<> redraw_on_time(duration every, ping_writer& writer, icmp::pinger& pinger) {
    auto const began = clock::now();
    for (;;) {
        auto const now = clock::now();
        ping_moment const moment{.elapsed = now - began, .sent = pinger.stats().sent};
        writer.redraw(moment);
        // A slow terminal holds the loop while it is written to: a tenth of the time at most.
        auto const took = clock::now() - now;
        co_await sleep_until(now + std::max(every, 10 * took));
    }
}

} // namespace

// ---- a sweep ----

ping_sweep::ping_sweep(environment& env, ping_plan const& plan, ping_writer& writer,
                       icmp::pinger& pinger, targets::list const& list, ledger& files)
    : env_(env), plan_(plan), writer_(writer), pinger_(pinger), list_(list), ledger_(files),
      names_(env.io().get_executor(), plan) {}

awaitable<> ping_sweep::run() {
    writer_.begin({});
    auto body = [this](task_group& group) -> awaitable<> {
        if (plan_.redraw > duration{})
            group.spawn_background(redraw_on_time(plan_.redraw, writer_, pinger_));
        co_await ask_all();
    };
    co_await with_group(body);
}

awaitable<> ping_sweep::ask_all() {
    auto body = [this](task_group& group) -> awaitable<> {
        if (list_.has_names()) group.spawn(look_up_all());
        co_await sweep(list_, false);
    };
    co_await with_group(body);
    if (!found_.empty()) co_await sweep(found_, true);
}

awaitable<> ping_sweep::sweep(targets::list addresses, bool of_names) {
    auto asking = plan_.asking;
    if (of_names) asking.order = {};
    if (!of_names) asking.skip = [this](std::uint64_t p) { return skips(p); };
    icmp::sweep sweep(pinger_, std::move(addresses), asking);
    bool const asks_more = !plan_.tcp_ports.empty() || plan_.wants_name || plan_.label;
    auto body = [&](task_group& group) -> awaitable<> {
        group.spawn_background(flush_on_time(env_.out()));
        pinged_host shown;
        for (;;) {
            auto const batch = co_await sweep.next_batch();
            if (batch.empty()) break;
            if (asks_more) {
                for (auto const& host : batch) {
                    auto place = co_await in_flight_.acquire();
                    group.spawn(finish(host, of_names, std::move(place)));
                }
                continue;
            }
            env_.out().gather([&] {
                for (auto const& host : batch) {
                    shown.name = shown.label = text_of(host.address);
                    report(shown, host, of_names);
                }
            });
            if (ledger_.due()) {
                env_.out().flush(); // the state must not promise lines that are not written
                co_await ledger_.save();
            }
            if (writer_.satisfied()) break;
        }
        env_.out().flush();
    };
    co_await with_group(body);
}

/// Called when the target's turn has come: what is not skipped is asked next, and the writer told.
bool ping_sweep::skips(std::uint64_t position) {
    if (ledger_.is_done(position)) return true;
    if (plan_.place) writer_.asked(plan_.place(position));
    return false;
}

awaitable<> ping_sweep::finish(icmp::result host, bool of_names, limiter::ticket) {
    pinged_host shown;
    shown.name = text_of(host.address);
    if (host.status != icmp::status::up && !plan_.tcp_ports.empty())
        shown.via = co_await ask_tcp(host);
    shown.label = co_await names_.label(shown.name, host.address);
    report(shown, host, of_names);
}

/// What answered; empty when nothing did.
awaitable<std::string> ping_sweep::ask_tcp(icmp::result& host) {
    try {
        auto const answer =
            co_await net::tcp_probe(host.address, plan_.tcp_ports, plan_.asking.timeout);
        if (!answer) co_return std::string();
        host.why = answer->why;
        host.status = answer->up() ? icmp::status::up : icmp::status::unreachable;
        if (!answer->up()) co_return std::string();
        host.rtt = answer->rtt;
        co_return fmt::format("tcp/{}", answer->port);
    } catch (error const& failure) {
        host.status = icmp::status::unknown;
        host.why = failure.code();
    }
    co_return std::string();
}

void ping_sweep::report(pinged_host& shown, icmp::result const& host, bool of_names) {
    shown.address = host.address;
    if (!of_names) return tell(shown, host, host.position);
    for (auto const& [name, position] : names_of_[host.address]) {
        shown.name = name;
        if (!plan_.label) shown.label = name;
        tell(shown, host, position);
    }
}

void ping_sweep::tell(pinged_host& shown, icmp::result const& host, std::uint64_t position) {
    shown.place = place_of(plan_, position);
    count_.add(host.status);
    writer_.host(shown, host);
    ledger_.note(position, host.status);
    env_.log().progress("hosts", count_.reported, list_.size());
}

awaitable<> ping_sweep::look_up_all() {
    limiter few(100);
    auto body = [this, &few](task_group& group) -> awaitable<> {
        targets::cursor walk(list_, plan_.asking.order);
        for (std::size_t seen = 1; auto next = walk.next(); ++seen) {
            if (seen % 1024 == 0) co_await yield(); // a list may have millions of addresses
            auto const position = walk.position() - 1;
            if (next->address || skips(position)) continue;
            auto place = co_await few.acquire();
            group.spawn(look_up(next->name, position, std::move(place)));
        }
    };
    co_await with_group(body);
}

awaitable<> ping_sweep::look_up(std::string name, std::uint64_t position, limiter::ticket) {
    try {
        auto const all = co_await names_.addresses(name);
        for (auto const& address : all) {
            auto& known = names_of_[address];
            if (known.empty()) found_.add(address.to_string());
            known.push_back({name, position});
        }
    } catch (error const& failure) {
        ++count_.unresolved;
        count_.add(icmp::status::unknown);
        writer_.unresolved(name, failure.what(), place_of(plan_, position));
        ledger_.note(position, icmp::status::unknown);
    }
}

// ---- a watch ----

ping_watch::ping_watch(environment& env, ping_plan const& plan, ping_writer& writer,
                       icmp::pinger& pinger)
    : env_(env), plan_(plan), writer_(writer), pinger_(pinger),
      names_(env.io().get_executor(), plan) {}

awaitable<> ping_watch::run(std::vector<std::string> given) {
    co_await look_up_all(given);
    writer_.begin(hosts_);
    if (hosts_.empty()) co_return;
    auto body = [this](task_group& group) -> awaitable<> {
        group.spawn_background(flush_on_time(env_.out()));
        if (plan_.redraw > duration{})
            group.spawn_background(redraw_on_time(plan_.redraw, writer_, pinger_));
        if (plan_.report > duration{}) group.spawn_background(report_on_time());
        group.spawn_background(report_on_signal());
        co_await ask_all();
    };
    co_await with_group(body);
}

awaitable<> ping_watch::look_up_all(std::vector<std::string> const& given) {
    std::vector<std::vector<pinged_host>> found(given.size()); // in the order given
    limiter few(100);
    auto body = [&](task_group& group) -> awaitable<> {
        for (std::size_t i = 0; i < given.size(); ++i) {
            auto place = co_await few.acquire();
            group.spawn(look_up(given[i], i, found[i], std::move(place)));
        }
    };
    co_await with_group(body);
    for (auto& hosts : found)
        for (auto& host : hosts) {
            host.number = hosts_.size();
            by_address_[host.address].push_back(host.number);
            hosts_.push_back(std::move(host));
        }
}

awaitable<> ping_watch::look_up(std::string const& given, std::uint64_t position,
                                std::vector<pinged_host>& into, limiter::ticket) {
    try {
        auto const all = co_await names_.addresses(given);
        for (auto const& address : all) {
            pinged_host host;
            host.name = given;
            host.place = place_of(plan_, position);
            host.address = address;
            host.label = co_await names_.label(given, address);
            into.push_back(std::move(host));
        }
    } catch (error const& failure) {
        ++count_.unresolved;
        count_.add(icmp::status::unknown);
        writer_.unresolved(given, failure.what(), place_of(plan_, position));
    }
}

awaitable<> ping_watch::ask_all() {
    targets::list addresses;
    for (auto const& host : hosts_) addresses.add(host.address.to_string());
    auto asking = plan_.asking;
    asking.every_echo = true;
    asking.order = {}; // hosts_ are this run's part already, in its order
    if (plan_.place)   // called when the target's turn has come
        asking.skip = [this, addresses](std::uint64_t position) {
            for (auto const number : by_address_[*addresses.at(position).address])
                writer_.asked(hosts_[number].place);
            return false;
        };
    icmp::sweep sweep(pinger_, std::move(addresses), asking);
    for (;;) {
        auto const happened = co_await sweep.next_events();
        if (happened.echoes.empty() && happened.results.empty()) break;
        env_.out().gather([&] { tell(happened); });
        env_.log().progress("hosts", count_.reported, hosts_.size());
        if (writer_.satisfied()) break;
    }
    env_.out().flush();
}

void ping_watch::tell(icmp::sweep::events const& happened) {
    for (auto const& echo : happened.echoes)
        for (auto const number : by_address_[echo.target]) {
            auto& host = hosts_[number];
            host.tally.add(echo);
            host.recent.add(echo);
            writer_.echo(host, echo);
            if (!echo.duplicate) host.before = echo.status;
        }
    for (auto const& result : happened.results)
        for (auto const number : by_address_[result.address]) {
            count_.add(result.status);
            writer_.host(hosts_[number], result);
        }
}

void ping_watch::begin_anew() {
    for (auto& host : hosts_) host.recent = {};
}

awaitable<> ping_watch::report_on_time() {
    for (auto next = clock::now() + plan_.report;; next += plan_.report) {
        co_await sleep_until(next);
        writer_.interval(hosts_);
        begin_anew();
    }
}

/// SIGQUIT: how does it stand?
awaitable<> ping_watch::report_on_signal() {
    auto const executor = co_await asio::this_coro::executor;
    asio::signal_set asked(executor, SIGQUIT);
    for (;;) {
        co_await asked.async_wait(asio::use_awaitable);
        writer_.snapshot(hosts_);
        begin_anew();
    }
}

} // namespace trawl::cli
