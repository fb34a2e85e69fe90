#include "cli/ping_run.hpp"

#include "cli/fping.hpp"
#include "cli/ledger.hpp"
#include "cli/live_terminal.hpp"
#include "cli/ping_csv.hpp"
#include "cli/ping_json.hpp"
#include "cli/ping_live.hpp"
#include "cli/ping_prometheus.hpp"
#include "cli/ping_text.hpp"
#include "cli/privileges.hpp"
#include "cli/rate.hpp"
#include "cli/shard.hpp"
#include "cli/targets.hpp"
#include "cli/verb.hpp"

#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <unistd.h>

namespace trawl::cli {
namespace {

struct ping_options {
    std::vector<std::string> targets, excludes;
    unsigned count = 0, retries = 1; // count 0: not given
    double timeout = 1, backoff = 1, period = 1, report = 0;
    std::string rate = "0", source, shard, output, resume;
    std::optional<std::uint64_t> seed;
    bool live = false, loop = false, each_echo = false, shuffle = false;
    bool only_up = false, only_not = false, times = false, csv = false, prometheus = false;
    bool only_v4 = false, only_v6 = false, all_addresses = false;
    bool show_address = false, show_name = false, rings = false;
    std::vector<std::uint16_t> tcp_ports;
    icmp::pinger::options sending = {.transmit_stamps = false};
};

std::chrono::milliseconds whole_milliseconds(double seconds) {
    return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(seconds));
}

ping_plan plan_of(environment& env, ping_options const& o) {
    ping_plan plan;
    plan.sending = o.sending;
    plan.sending.watch = &env.log();
    plan.sending.transmit_stamps = o.count > 0 || o.loop;
    if (!o.source.empty()) plan.sending.source = asio::ip::make_address(o.source);
    plan.asking.timeout = whole_milliseconds(o.timeout);
    plan.asking.retries = o.count > 0 ? 0 : o.retries;
    plan.asking.backoff = o.backoff;
    plan.asking.count = o.loop ? 0 : std::max(1u, o.count);
    plan.asking.interval = whole_milliseconds(o.period);
    plan.asking.rate = echoes_a_second(o.rate, o.sending.payload);
    plan.asking.skip_names = true;
    if (o.only_v4) plan.only = ping_plan::family::v4;
    if (o.only_v6) plan.only = ping_plan::family::v6;
    plan.all_addresses = o.all_addresses;
    using name = std::optional<std::string>;
    if (o.show_address)
        plan.label = [](auto& /*given*/, auto& address, name const&) {
            return address.to_string();
        };
    if (o.show_name) {
        plan.wants_name = [](auto&) { return true; };
        plan.label = [](auto& given, auto& /*address*/, name const& found) {
            return found.value_or(given);
        };
    }
    plan.report = whole_milliseconds(o.report);
    plan.tcp_ports = o.tcp_ports;
    return plan;
}

std::unique_ptr<ping_writer> writer_of(environment& env, ping_options const& o, text_sink& sink) {
    if (env.words().json) return std::make_unique<ping_json>(o.each_echo, sink);
    if (o.csv) return std::make_unique<ping_csv>(sink);
    if (o.prometheus) return std::make_unique<ping_prometheus>(o.source, sink);
    ping_text::options how;
    how.each_echo = o.each_echo || o.loop;
    how.only_up = o.only_up;
    how.only_not = o.only_not;
    how.times = o.times;
    how.summary = !env.words().quiet;
    return std::make_unique<ping_text>(how, sink);
}

/// stderr only.
class silent_sink final : public text_sink {
public:
    explicit silent_sink(text_sink& to) : to_(to) {}
    void out(std::string_view) override {}
    void err(std::string_view text) override { to_.err(text); }

private:
    text_sink& to_;
};

/// The terminal that --live draws on; none without it, or where there is no terminal. To be called
/// when it is settled where results go.
std::unique_ptr<live_terminal> screen_of(environment& env, ping_options const& o) {
    if (o.live && o.report > 0)
        throw usage_error("ping: --live draws how it stands all the time: leave out -Q (--report)");
    auto const terminal = o.live ? live_terminal::find() : std::nullopt;
    if (!terminal) return nullptr;
    auto const* other = env.words().json ? "--json" : o.csv ? "--csv" : "--prometheus";
    if (env.out().terminal() && (env.words().json || o.csv || o.prometheus))
        throw usage_error(fmt::format("ping: --live and {} cannot share the terminal: send stdout "
                                      "elsewhere, or use --output",
                                      other));
    return std::make_unique<live_terminal>(env, *terminal);
}

std::uint64_t new_seed() {
    std::random_device source;
    return std::uint64_t{source()} << 21 ^ source(); // below 2^53: every reader of JSON keeps it
}

std::vector<std::string> each_of(targets::list const& list, targets::order const& how) {
    std::vector<std::string> all;
    targets::cursor walk(list, how);
    all.reserve(walk.size());
    while (auto next = walk.next()) all.push_back(next->host());
    return all;
}

/// Which targets, in which order. With --shard and no --seed machines agree on a seed by the list;
/// so does a run that another one may go on from.
targets::order order_of(ping_options const& o, targets::list const& list) {
    targets::order how;
    how.seed = o.seed;
    if (!o.shard.empty()) how.part = read_shard(o.shard);
    if (how.seed) return how;
    if (!o.shard.empty() || (o.shuffle && !o.resume.empty()))
        how.seed = seed_of(list);
    else if (o.shuffle)
        how.seed = new_seed();
    return how;
}

targets::list list_of(ping_options const& o) {
    auto list = read_targets(o.targets, o.excludes);
    if (list.empty()) throw usage_error("ping: nothing is left to ask");
    if (list.has_ports())
        throw usage_error("ping: a target has a port, and an echo has none; see --tcp");
    return list;
}

/// One `trawl ping`.
class ping_verb {
public:
    ping_verb(environment& env, ping_options const& o)
        : env_(env), plan_(plan_of(env, o)), list_(list_of(o)),
          files_(env, list_, order_of(o, list_), o.output, o.resume), sink_(env),
          screen_(screen_of(env, o)), writer_(writer_for(o)),
          pinger_(env.io().get_executor(), sending(o)) {
        plan_.asking.order = files_.order();
        if (screen_) draw();
        watched_ = plan_.asking.count != 1 || writer_->wants_echoes();
        if (watched_ && !o.resume.empty())
            throw usage_error("ping: --resume is for sweeps that ask each host once and tell once");
        drop_capabilities(!o.output.empty() || !o.resume.empty());
    }

    awaitable<int> run() {
        ping_sweep sweep(env_, plan_, *writer_, pinger_, list_, files_);
        ping_watch watch(env_, plan_, *writer_, pinger_);
        try {
            if (watched_)
                co_await watch.run(each_of(list_, plan_.asking.order));
            else
                co_await sweep.run();
        } catch (error const& failure) {
            env_.log().log(severity::error, "ping", failure.what());
        } catch (std::system_error const& failure) {
            if (!env_.was_interrupted() || !is_cancelled(failure)) throw;
        }
        if (watched_) co_return finish(watch.hosts(), watch.count());
        co_return finish({}, sweep.count());
    }

private:
    // A few addresses need no way around the kernel's neighbour table, and start faster without.
    icmp::pinger::options sending(ping_options const& o) const {
        auto how = plan_.sending;
        how.ask_neighbours = list_.size() > 256;
        how.packet_rings = o.rings;
        return how;
    }

    /// With --live and nothing else on the terminal the lines of the hosts are left out.
    std::unique_ptr<ping_writer> writer_for(ping_options const& o) {
        if (!screen_) return writer_of(env_, o, sink_);
        text_sink& sink = env_.out().terminal() ? static_cast<text_sink&>(silent_) : sink_;
        live_model::options shown;
        shown.places = list_.size();
        shown.targets = files_.size();
        shown.earlier = files_.resumed_by_status();
        live_model model(shown);
        targets::cursor const walk(list_, files_.order());
        for (std::uint64_t p = 0; files_.resumed() > 0 && p < files_.size(); ++p)
            if (files_.is_done(p)) model.known_earlier(walk.index(p));
        return std::make_unique<ping_live>(writer_of(env_, o, sink), std::move(model), *screen_);
    }

    void draw() {
        using namespace std::chrono_literals;
        plan_.redraw = 100ms;
        plan_.place = [walk = targets::cursor(list_, files_.order())](std::uint64_t position) {
            return walk.index(position);
        };
    }

    int finish(pinged_hosts hosts, ping_count const& count) {
        auto up = files_.resumed_by_status()[0] + count.of(icmp::status::up);
        if (watched_) // of a run that was stopped, too
            up = static_cast<std::uint64_t>(
                std::ranges::count_if(hosts, [](auto& h) { return h.tally.received() > 0; }));
        auto const reported = files_.resumed() + count.reported;
        ping_end end;
        end.elapsed = clock::now() - began_;
        end.sent = pinger_.stats().sent;
        end.late = pinger_.stats().late;
        end.targets = std::max(files_.size(), reported);
        end.earlier = files_.resumed_by_status();
        end.exit_code = env_.outcome(up == end.targets ? all_well
                                     : up == 0         ? nothing_reached
                                                       : some_failed);
        if (env_.words().json)
            end.describe = [this](json::record& summary) { files_.describe(summary); };
        env_.out().flush();
        files_.close();
        env_.clear_progress();
        writer_->finish(hosts, end);
        files_.finish(reported >= files_.size() && !env_.was_interrupted());
        return end.exit_code;
    }

    environment& env_;
    ping_plan plan_;
    targets::list list_;
    ledger files_;
    console_sink sink_;
    silent_sink silent_{sink_};
    std::unique_ptr<live_terminal> screen_; // before its writer
    std::unique_ptr<ping_writer> writer_;
    icmp::pinger pinger_;
    bool watched_ = false;
    time_point began_ = clock::now();
};

awaitable<int> ping(environment& env, std::shared_ptr<ping_options const> o) {
    ping_verb work(env, *o);
    int const code = co_await work.run();
    co_return code;
}

void add_what(CLI::App& verb, ping_options& o) {
    verb.add_option("TARGET", o.targets,
                    "Addresses, networks (10.0.0.0/24), ranges (10.0.0.1-254), names, "
                    "node[01-20], @FILE, - for stdin")
        ->required();
    verb.add_option("--exclude", o.excludes, "Targets to leave out (may be repeated)")->take_all();
    auto* v4 = verb.add_flag("-4,--ipv4", o.only_v4, "IPv4 addresses of names only");
    verb.add_flag("-6,--ipv6", o.only_v6, "IPv6 addresses of names only")->excludes(v4);
    verb.add_flag("-m,--all", o.all_addresses, "Every address of a name");
    verb.add_option("--seed", o.seed, "Ask in a random order, the same for the same seed");
    verb.add_flag("--shuffle", o.shuffle, "Ask in a random order");
    verb.add_option("--shard", o.shard,
                    "Part I/N of the targets, I from 0; auto/N takes I from the job engine");
    verb.add_option("--tcp", o.tcp_ports,
                    "Where no echo is answered, connect to these ports (22,443): a connection "
                    "accepted or refused is an answer too")
        ->delimiter(',')
        ->check(CLI::Range(1, 65535));
}

void add_how(CLI::App& verb, ping_options& o) {
    auto* count = verb.add_option("-c,--count", o.count,
                                  "Echoes to each target; without it one, and more to the silent");
    count->check(CLI::Range(1u, 1000000u));
    verb.add_flag("-l,--loop", o.loop, "Send echoes until Ctrl-C")->excludes(count);
    verb.add_option("-p,--period", o.period, "Seconds between two echoes to one target (1)")
        ->check(CLI::Range(0.001, 86400.0));
    verb.add_option("-t,--timeout", o.timeout, "Seconds to wait for each reply (1)")
        ->check(CLI::Range(0.001, 3600.0));
    verb.add_option("-r,--retries", o.retries,
                    "Further echoes to a silent target (1); not with -c or -l")
        ->check(CLI::Range(0u, 250u));
    verb.add_option("-B,--backoff", o.backoff, "Each further echo waits so much longer (1)")
        ->check(CLI::Range(1.0, 5.0));
    verb.add_option("--rate", o.rate,
                    "In all, echoes a second (5000, 10kpps) or bits (2Mbit); 0 is as fast as "
                    "replies can be read");
    verb.add_option("-b,--size", o.sending.payload,
                    "Bytes of payload (24); under 24 replies are not proved by a cookie")
        ->check(CLI::Range(0, 65000));
    verb.add_flag("-R,--random", o.sending.random_payload, "Fill the payload with random bytes");
    verb.add_option("-H,--ttl", o.sending.hop_limit, "Hop limit (TTL) of the echoes")
        ->check(CLI::Range(1, 255));
    verb.add_option("-O,--tos", o.sending.traffic_class, "TOS, or the IPv6 traffic class")
        ->check(CLI::Range(0, 255));
    verb.add_flag("-M,--dont-fragment", o.sending.dont_fragment, "Set the don't-fragment bit");
    verb.add_option("-I,--interface", o.sending.interface, "Send through this interface only");
    verb.add_option("-S,--source", o.source, "Source address")->check([](std::string const& text) {
        std::error_code failure;
        asio::ip::make_address(text, failure);
        return failure ? "not an address: " + text : std::string();
    });
    verb.add_flag("--ring", o.rings,
                  "Packet rings: less CPU a packet, past this machine's packet filter");
    verb.add_option("--mark", o.sending.mark, "Firewall mark (SO_MARK)");
}

void add_output(CLI::App& verb, ping_options& o) {
    verb.add_flag("-e,--each", o.each_echo, "A line (with --json, a record) for each echo");
    verb.add_flag("-D,--timestamp", o.times, "The time before the line of each echo");
    verb.add_option("-Q,--report", o.report, "Statistics every so many seconds, with -c or -l")
        ->check(CLI::Range(0.1, 86400.0));
    verb.add_flag("--live", o.live,
                  "Draw the hosts, their round trips and the worst of them on the terminal, and no "
                  "line for each; without a terminal as if it were not given");
    auto* up = verb.add_flag("-a,--alive", o.only_up, "The hosts that are up, and nothing else");
    verb.add_flag("-u,--unreachable", o.only_not, "The hosts that are not up, and nothing else")
        ->excludes(up);
    auto* address = verb.add_flag("-A,--address", o.show_address, "Show addresses, not names");
    verb.add_flag("-n,--names", o.show_name, "Show the names of addresses")->excludes(address);
    auto* csv = verb.add_flag("--csv", o.csv, "A table, a row for each host");
    verb.add_flag("--prometheus", o.prometheus, "Prometheus' text format at the end")
        ->excludes(csv);
    verb.add_option("--output", o.output,
                    "Results go to this file, which appears when it is whole");
    verb.add_option("--resume", o.resume,
                    "Keep the progress in this file, and go on from it after Ctrl-C or worse");
    verb.footer("`trawl ping --fping ARGS...`, or trawl under the name fping, understands fping's "
                "command line and writes what fping writes.");
}

} // namespace

void add_ping(CLI::App& app, action& chosen) {
    auto o = std::make_shared<ping_options>();
    auto* verb = app.add_subcommand("ping", "Ask which hosts answer an ICMP echo");
    add_what(*verb, *o);
    add_how(*verb, *o);
    add_output(*verb, *o);
    verb->callback(
        [o, &chosen] { chosen = [o](environment& env) { return env.run(ping(env, o)); }; });
}

} // namespace trawl::cli
