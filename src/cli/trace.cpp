#include "cli/verb.hpp"

#include <trawl/dns.hpp>
#include <trawl/icmp.hpp>
#include <trawl/icmp_tally.hpp>
#include <trawl/task_group.hpp>

#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace trawl::cli {
namespace {

struct trace_options {
    std::string target;
    unsigned rounds = 3, most_hops = 30;
    double timeout = 1, interval = 0.02;
    bool only_v4 = false, only_v6 = false, numeric = false;
};

std::chrono::milliseconds in_milliseconds(double seconds) {
    return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(seconds));
}

/// What answers at one distance.
struct hop {
    struct router {
        asio::ip::address address;
        std::string name;
        icmp::tally times;
    };
    std::vector<router> routers; ///< more than one where the way is shared out
    unsigned sent = 0, answered = 0;
    bool is_target = false;
    std::string remark; ///< why the way ends here, when an error says so

    router& at(asio::ip::address const& from) {
        auto const known = std::ranges::find(routers, from, &router::address);
        if (known != routers.end()) return *known;
        return routers.emplace_back(router{from, {}, {}});
    }
};

/// Traceroute (RFC 792, "Time Exceeded"; RFC 4443 §3.3): echoes whose hop limit runs out at each
/// distance, all distances at once.
class trace_run {
public:
    trace_run(environment& env, trace_options const& o, asio::any_io_executor const& executor)
        : env_(env), options_(o), resolver_(executor),
          pinger_(executor, {.transmit_stamps = true, .watch = &env.log()}),
          hops_(o.most_hops + 1) {}

    awaitable<int> run() {
        target_ = co_await look_up();
        if (!env_.words().json && !env_.words().quiet)
            env_.out().line(fmt::format("{} ({}), {} hops at most, {} echoes to each",
                                        options_.target, target_.to_string(), options_.most_hops,
                                        options_.rounds));
        try {
            for (unsigned round = 0; round < options_.rounds; ++round) co_await probe_all();
            if (!options_.numeric) co_await name_all();
        } catch (std::system_error const& failure) {
            if (!env_.was_interrupted() || !is_cancelled(failure)) throw;
        }
        report();
        co_return summarise();
    }

private:
    awaitable<asio::ip::address> look_up() {
        auto const all = co_await resolver_.addresses(options_.target);
        auto const fits = [&](asio::ip::address const& a) {
            return a.is_v4() ? !options_.only_v6 : !options_.only_v4;
        };
        auto best = std::ranges::find_if(
            all, [&](auto const& a) { return a.is_v4() && fits(a); }); // it always has a route
        if (best == all.end()) best = std::ranges::find_if(all, fits);
        if (best == all.end())
            throw usage_error(fmt::format("trace: {} has no IPv{} address", options_.target,
                                          options_.only_v6 ? 6 : 4));
        co_return *best;
    }

    // Routers limit how many errors they send: the echoes of a round are spaced out.
    awaitable<> probe_all() {
        auto const space =
            std::chrono::duration_cast<duration>(std::chrono::duration<double>(options_.interval));
        auto body = [this, space](task_group& group) -> awaitable<> {
            for (unsigned distance = 1; distance <= last_; ++distance) {
                group.spawn(probe(distance));
                co_await sleep_for(space);
            }
        };
        co_await with_group(body);
    }

    awaitable<> probe(unsigned distance) {
        icmp::echo_options how;
        how.timeout = in_milliseconds(options_.timeout);
        how.hop_limit = static_cast<std::uint8_t>(distance);
        auto answer = co_await pinger_.ask(target_, how);
        auto& here = hops_[distance];
        ++here.sent;
        if (!answer.from) co_return;
        ++here.answered;
        bool const on_the_way = answer.why == icmp::errc::hops_exceeded;
        if (!on_the_way) {
            last_ = std::min(last_, distance);
            here.is_target |= answer.status == icmp::status::up;
            if (answer.why) here.remark = answer.why.message();
        }
        answer.status = icmp::status::up; // this router is
        here.at(*answer.from).times.add(answer);
    }

    awaitable<> name_all() {
        auto body = [this](task_group& group) -> awaitable<> {
            for (unsigned distance = 1; distance <= last_; ++distance)
                for (auto& r : hops_[distance].routers) group.spawn(name(r));
            co_return;
        };
        co_await with_group(body);
    }

    awaitable<> name(hop::router& r) {
        try {
            auto const names = co_await within(std::chrono::seconds(2), resolver_.names(r.address));
            if (names) r.name = names->front();
        } catch (error const&) { // many routers have no name: the address says it all
        }
    }

    // ---- results ----

    void report() {
        unsigned end = last_;
        if (!reached()) // silence at the end is shown once
            while (end > 1 && hops_[end].answered == 0 && hops_[end - 1].answered == 0) --end;
        for (unsigned distance = 1; distance <= end; ++distance)
            env_.words().json ? report_json(distance) : report_text(distance);
    }

    void report_text(unsigned distance) {
        auto const& here = hops_[distance];
        if (here.routers.empty())
            env_.out().line(fmt::format("{:3}  * {} sent", distance, here.sent));
        for (std::size_t i = 0; i < here.routers.size(); ++i) {
            auto const& r = here.routers[i];
            auto const address = r.address.to_string();
            auto ms = [](std::optional<duration> d) {
                return std::chrono::duration<double, std::milli>(d.value_or(duration{})).count();
            };
            env_.out().line(fmt::format(
                "{:>3}  {:<40}  {}/{}  {:.2f}/{:.2f}/{:.2f} ms{}",
                i == 0 ? std::to_string(distance) : "",
                r.name.empty() ? address : fmt::format("{} ({})", r.name, address),
                r.times.received(), here.sent, ms(r.times.least()), ms(r.times.average()),
                ms(r.times.most()), here.remark.empty() ? "" : "  " + here.remark));
        }
    }

    void report_json(unsigned distance) {
        auto const& here = hops_[distance];
        boost::json::array routers;
        for (auto const& r : here.routers)
            routers.push_back(boost::json::object{
                {"address", r.address.to_string()},
                {"name", r.name.empty() ? boost::json::value(nullptr) : json::text(r.name)},
                {"received", r.times.received()},
                {"rtt", json::seconds(r.times.average())},
                {"rtt_min", json::seconds(r.times.least())},
                {"rtt_max", json::seconds(r.times.most())}});
        json::record made("hop", "trace");
        made.field("target", options_.target).field("address", target_.to_string());
        made.field("hop", distance).field("sent", here.sent).field("received", here.answered);
        env_.out().record(made.field("routers", boost::json::value(std::move(routers))));
    }

    bool reached() const { return hops_[last_].is_target; }

    int summarise() {
        int const code = env_.outcome(reached() ? all_well : nothing_reached);
        if (env_.words().json) {
            json::record made("summary", "trace");
            made.field("targets", 1).field("up", reached() ? 1 : 0).field("hops", last_);
            made.field("elapsed", clock::now() - began_);
            env_.out().record(made.field("exit", code));
        } else if (!reached() && !env_.words().quiet) {
            env_.log().log(severity::warning, "trace",
                           fmt::format("{} was not reached", options_.target));
        }
        return code;
    }

    environment& env_;
    trace_options options_;
    dns::resolver resolver_;
    icmp::pinger pinger_;
    asio::ip::address target_;
    std::vector<hop> hops_;              // by distance; the first is not used
    unsigned last_ = options_.most_hops; // where the way ends, as far as is known
    time_point began_ = clock::now();
};

awaitable<int> trace(environment& env, std::shared_ptr<trace_options const> o) {
    auto const executor = co_await asio::this_coro::executor;
    trace_run work(env, *o, executor);
    int const code = co_await work.run();
    co_return code;
}

} // namespace

void add_trace(CLI::App& app, action& chosen) {
    auto o = std::make_shared<trace_options>();
    auto* verb = app.add_subcommand("trace", "Show the routers on the way to a host");
    verb->add_option("TARGET", o->target, "An address or a name")->required();
    verb->add_option("-c,--count", o->rounds, "Echoes to each distance (3)")
        ->check(CLI::Range(1u, 10000u));
    verb->add_option("-m,--max-hops", o->most_hops, "Hops at most (30)")
        ->check(CLI::Range(1u, 255u));
    verb->add_option("-t,--timeout", o->timeout, "Seconds to wait for each answer (1)")
        ->check(CLI::Range(0.001, 3600.0));
    verb->add_option("-i,--interval", o->interval,
                     "Seconds between two echoes (0.02): routers limit what they answer")
        ->check(CLI::Range(0.0, 60.0));
    auto* v4 = verb->add_flag("-4", o->only_v4, "IPv4 only");
    verb->add_flag("-6", o->only_v6, "IPv6 only")->excludes(v4);
    verb->add_flag("-n,--numeric", o->numeric, "No names for the routers");
    verb->callback(
        [o, &chosen] { chosen = [o](environment& env) { return env.run(trace(env, o)); }; });
}

} // namespace trawl::cli
