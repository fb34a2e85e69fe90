#include "cli/targets.hpp"
#include "cli/verb.hpp"

#include <trawl/dns.hpp>
#include <trawl/icmp.hpp>
#include <trawl/limiter.hpp>
#include <trawl/task_group.hpp>

#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <unistd.h>

namespace trawl::cli {
namespace {

struct ping_options {
    std::vector<std::string> targets, excludes;
    unsigned count = 0, retries = 1; // count 0: not given
    double timeout = 1, rate = 0;
};

using milliseconds = std::chrono::duration<double, std::milli>;

icmp::sweep::options sweep_options(ping_options const& o) {
    return {.timeout = std::chrono::ceil<std::chrono::milliseconds>(
                std::chrono::duration<double>(o.timeout)),
            .retries = o.count > 0 ? 0 : o.retries,
            .count = std::max(1u, o.count),
            .rate = o.rate,
            .skip_names = true};
}

/// One `trawl ping`: the addresses are swept while the names are looked up, then what those gave.
class ping_run {
public:
    ping_run(environment& env, ping_options const& o, asio::any_io_executor const& executor)
        : env_(env), options_(o), list_(read_targets(o.targets, o.excludes)),
          pinger_(executor, {.watch = &env.log()}) {
        if (list_.has_names()) resolver_.emplace(executor);
        if (list_.empty()) throw usage_error("ping: nothing is left to ask");
    }

    awaitable<int> run() {
        try {
            co_await ask_all();
        } catch (error const& failure) {
            env_.log().log(severity::error, "ping", failure.what());
        } catch (std::system_error const& failure) {
            if (!env_.was_interrupted() || !is_cancelled(failure)) throw;
        }
        co_return summarise();
    }

private:
    awaitable<> ask_all() {
        auto body = [this](task_group& group) -> awaitable<> {
            if (list_.has_names()) group.spawn(look_up_all());
            co_await sweep(list_, false);
        };
        co_await with_group(body);
        if (!names_of_.empty()) co_await sweep(found_, true);
    }

    awaitable<> sweep(targets::list addresses, bool of_names) {
        icmp::sweep sweep(pinger_, std::move(addresses), sweep_options(options_));
        while (auto host = co_await sweep.next()) {
            auto const address = host->address.to_string();
            if (!of_names)
                report(address, address, *host);
            else
                for (auto const& name : names_of_[address]) report(name, address, *host);
        }
    }

    // ---- names ----

    awaitable<> look_up_all() {
        limiter in_flight(100);
        auto body = [this, &in_flight](task_group& group) -> awaitable<> {
            targets::cursor walk(list_);
            for (std::size_t seen = 1; auto next = walk.next(); ++seen) {
                if (seen % 1024 == 0) co_await yield(); // a list may have millions of addresses
                if (next->address) continue;
                auto place = co_await in_flight.acquire();
                group.spawn(look_up(next->name, std::move(place)));
            }
        };
        co_await with_group(body);
    }

    awaitable<> look_up(std::string name, limiter::ticket) {
        try {
            auto const addresses = co_await resolver_->addresses(name);
            // IPv4 first: it is what the ranges beside the name mostly are, and always has a route.
            auto const v4 =
                std::ranges::find_if(addresses, [](auto const& a) { return a.is_v4(); });
            auto const address = (v4 == addresses.end() ? addresses.front() : *v4).to_string();
            auto& names = names_of_[address];
            if (names.empty()) found_.add(address);
            names.push_back(std::move(name));
        } catch (error const& failure) {
            env_.log().log(severity::error, "ping", failure.what());
            report(name, {}, {});
        }
    }

    // ---- results ----

    /// `address`: empty when the name has none.
    void report(std::string const& target, std::string const& address, icmp::result const& host) {
        ++count_[static_cast<std::size_t>(host.status)];
        ++reported_;
        if (env_.words().json)
            env_.out().record(record(target, address, host));
        else
            env_.out().line(line(target, host));
        env_.log().progress("hosts", reported_, list_.size());
    }

    static json::record record(std::string const& target, std::string const& address,
                               icmp::result const& host) {
        json::record made("host", "ping");
        made.field("target", target);
        if (address.empty())
            made.field("address", boost::json::value(nullptr));
        else
            made.field("address", address);
        made.field("status", icmp::to_string(host.status)).field("rtt", host.rtt);
        made.field("sent", host.sent).field("received", host.received);
        return made;
    }

    std::string line(std::string const& target, icmp::result const& host) const {
        auto text = fmt::format("{}: {}", target, icmp::to_string(host.status));
        if (host.rtt) {
            double const ms = milliseconds(*host.rtt).count();
            text += fmt::format(" {:.{}f} ms", ms, ms < 0.1 ? 3 : 2);
        }
        if (options_.count > 1) text += fmt::format(" ({}/{})", host.received, host.sent);
        if (host.why) text += fmt::format(" ({})", host.why.message());
        return text;
    }

    std::uint64_t& counted(icmp::status s) { return count_[static_cast<std::size_t>(s)]; }

    int summarise() {
        using icmp::status;
        auto const total = list_.size();
        counted(status::unknown) += total - reported_; // stopped before their turn
        auto const elapsed = clock::now() - began_;
        int const code = env_.outcome(counted(status::up) == total ? all_well
                                      : counted(status::up) == 0   ? nothing_reached
                                                                   : some_failed);
        if (env_.words().json) {
            json::record made("summary", "ping");
            made.field("targets", total);
            for (auto s : {status::up, status::down, status::unreachable, status::unknown})
                made.field(icmp::to_string(s), counted(s));
            env_.out().record(made.field("elapsed", elapsed).field("exit", code));
        } else if (!env_.words().quiet) {
            fmt::print(stderr,
                       "{}{} targets: {} up, {} down, {} unreachable, {} unknown in {:.2f} s\n",
                       ::isatty(STDERR_FILENO) ? "\r\x1b[K" : "", total, counted(status::up),
                       counted(status::down), counted(status::unreachable),
                       counted(status::unknown), std::chrono::duration<double>(elapsed).count());
        }
        return code;
    }

    environment& env_;
    ping_options options_;
    targets::list list_, found_;                               // found_: what the names stand for
    std::map<std::string, std::vector<std::string>> names_of_; // by address
    icmp::pinger pinger_;
    std::optional<dns::resolver> resolver_;      // only when there are names
    std::uint64_t count_[4] = {}, reported_ = 0; // count_ by status
    time_point began_ = clock::now();
};

awaitable<int> ping(environment& env, std::shared_ptr<ping_options const> o) {
    auto const executor = co_await asio::this_coro::executor;
    ping_run work(env, *o, executor);
    int const code = co_await work.run();
    co_return code;
}

} // namespace

void add_ping(CLI::App& app, action& chosen) {
    auto o = std::make_shared<ping_options>();
    auto* verb = app.add_subcommand("ping", "Ask which hosts answer an ICMP echo");
    verb->add_option(
            "TARGET", o->targets,
            "Addresses, networks (10.0.0.0/24), ranges (10.0.0.1-254), names, node[01-20], "
            "@FILE, - for stdin")
        ->required();
    verb->add_option("-c,--count", o->count,
                     "Echoes to each target; without it one, and one more to the silent")
        ->check(CLI::Range(1u, 1000000u));
    verb->add_option("-t,--timeout", o->timeout, "Seconds to wait for each reply (1)")
        ->check(CLI::Range(0.001, 3600.0));
    verb->add_option("--rate", o->rate,
                     "Echoes a second in all; 0 is as fast as replies can be read")
        ->check(CLI::Range(0.0, 1e9));
    verb->add_option("-r,--retries", o->retries,
                     "Further echoes to a silent target (1); not with -c")
        ->check(CLI::Range(0u, 1000u));
    verb->add_option("--exclude", o->excludes, "Targets to leave out (may be repeated)")
        ->take_all();
    verb->callback(
        [o, &chosen] { chosen = [o](environment& env) { return env.run(ping(env, o)); }; });
}

} // namespace trawl::cli
