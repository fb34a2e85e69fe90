#include "cli/dns_writer.hpp"
#include "cli/targets.hpp"
#include "cli/verb.hpp"

#include <trawl/dns.hpp>
#include <trawl/error.hpp>
#include <trawl/limiter.hpp>
#include <trawl/task_group.hpp>

#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

namespace trawl::cli {
namespace {

/// Nobody waits longer for a line.
constexpr duration longest_gathering = std::chrono::milliseconds(50);

struct dns_options {
    std::vector<std::string> targets, excludes, servers;
    std::string type = "A";
    double timeout = 1, rate = 0;
    int tries = 3;
    std::size_t jobs = 1000;
    bool reverse = false, search = false;
};

dns::resolver::options resolver_options(dns_options const& o) {
    dns::resolver::options how;
    how.servers = o.servers;
    how.timeout =
        std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(o.timeout));
    how.tries = o.tries;
    how.deadline = how.timeout * ((1 << o.tries) - 1); // each try waits twice as long
    how.in_flight = o.jobs;
    how.search = o.search;
    how.cached = 0; // every name is asked for once
    return how;
}

targets::list list_of(dns_options const& o) {
    auto list = read_targets(o.targets, o.excludes);
    if (list.empty()) throw usage_error("dns: nothing is left to ask for");
    if (list.has_ports()) throw usage_error("dns: a target has a port, and a name has none");
    return list;
}

/// One `trawl dns`.
class dns_run {
public:
    dns_run(environment& env, dns_options const& o, asio::any_io_executor const& executor)
        : env_(env), wanted_(o.reverse ? dns::type::ptr : *dns::type_of(o.type)),
          reverse_(o.reverse), list_(list_of(o)), walk_(list_),
          resolver_(executor, resolver_options(o)),
          at_a_time_(std::min<std::uint64_t>(o.jobs, list_.size())), writer_(env, wanted_) {
        if (o.rate > 0) pace_.emplace(o.rate);
        refuse_the_other_kind();
    }

    awaitable<int> run() {
        try {
            auto body = [this](task_group& group) -> awaitable<> {
                group.spawn_background(flush_on_time());
                co_await ask_all();
            };
            co_await with_group(body);
        } catch (std::system_error const& failure) {
            if (!env_.was_interrupted() || !is_cancelled(failure)) throw;
        }
        env_.out().flush();
        co_return writer_.finish(list_.size(), clock::now() - began_);
    }

private:
    void refuse_the_other_kind() const {
        if (reverse_ && list_.has_names())
            throw usage_error("dns: --reverse is for addresses, and a target is a name");
        targets::cursor walk(list_);
        while (!reverse_ && walk.position() < walk.size()) {
            auto const next = walk.next();
            if (next->address)
                throw usage_error(fmt::format("dns: {} is an address; its names are asked for with "
                                              "--reverse",
                                              next->host()));
        }
    }

    awaitable<> ask_all() {
        auto body = [this](task_group& group) -> awaitable<> {
            for (std::uint64_t i = 0; i < at_a_time_; ++i) group.spawn(ask_some());
            co_return;
        };
        co_await with_group(body);
    }

    awaitable<> ask_some() {
        while (auto const next = walk_.next()) {
            if (pace_) co_await pace_->turn();
            auto const begin = clock::now();
            dns::answer found;
            if (next->address)
                found = co_await resolver_.look_up(*next->address);
            else
                found = co_await resolver_.look_up(next->name, wanted_);
            writer_.write(next->host(), found, clock::now() - begin);
            env_.log().progress("names", writer_.written(), list_.size());
        }
    }

    awaitable<> flush_on_time() {
        for (;;) {
            co_await sleep_for(longest_gathering);
            env_.out().flush();
        }
    }

    environment& env_;
    dns::type wanted_;
    bool reverse_;
    targets::list list_;
    targets::cursor walk_;
    dns::resolver resolver_;
    std::uint64_t at_a_time_;
    std::optional<pacer> pace_;
    dns_writer writer_;
    time_point began_ = clock::now();
};

awaitable<int> ask(environment& env, std::shared_ptr<dns_options const> o) {
    auto const executor = co_await asio::this_coro::executor;
    std::optional<dns_run> work;
    try {
        work.emplace(env, *o, executor);
    } catch (error const& failure) {
        if (failure.code() == dns::errc::bad_server) throw usage_error(failure.what());
        throw;
    }
    int const code = co_await work->run();
    co_return code;
}

std::string check_type(std::string const& text) {
    return dns::type_of(text) ? ""
                              : text + " is none of A AAAA PTR MX TXT SRV CNAME NS SOA CAA TLSA";
}

} // namespace

void add_dns(CLI::App& app, action& chosen) {
    auto o = std::make_shared<dns_options>();
    auto* verb =
        app.add_subcommand("dns", "Ask name servers for many names, or addresses for theirs");
    verb->add_option(
            "TARGET", o->targets,
            "Names, host lists, @FILE, - for stdin; with --reverse addresses, networks and "
            "ranges")
        ->required();
    auto* type = verb->add_option("--type", o->type,
                                  "A (the default), AAAA, PTR, MX, TXT, SRV, CNAME, NS, SOA, CAA, "
                                  "TLSA")
                     ->check(CLI::Validator(check_type, "TYPE"));
    verb->add_flag("-x,--reverse", o->reverse, "The targets are addresses: ask for their names")
        ->excludes(type);
    verb->add_option("--server", o->servers,
                     "Ask this server instead of those of resolv.conf; may be repeated")
        ->allow_extra_args(false)
        ->type_name("ADDR[:PORT]");
    verb->add_option("--exclude", o->excludes, "Not these")->allow_extra_args(false);
    verb->add_option("-j,--jobs", o->jobs, "Names at a time (1000)")
        ->check(CLI::Range(1u, 1'000'000u));
    verb->add_option("--rate", o->rate, "Names a second at most (5000, 10k)")
        ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"k", 1e3}, {"M", 1e6}}))
        ->check(CLI::PositiveNumber)
        ->type_name("N");
    verb->add_option(
            "-t,--timeout", o->timeout,
            "Seconds for the first try at a server, twice as long for each further one (1)")
        ->check(CLI::Range(0.001, 3600.0));
    verb->add_option("--tries", o->tries, "Tries at a server that does not answer (3)")
        ->check(CLI::Range(1, 10));
    verb->add_flag("--search", o->search, "Complete short names with resolv.conf's search list");
    verb->callback(
        [o, &chosen] { chosen = [o](environment& env) { return env.run(ask(env, o)); }; });
}

} // namespace trawl::cli
