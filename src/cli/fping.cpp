#include "cli/fping.hpp"

#include "cli/fping_format.hpp"
#include "cli/fping_sweep.hpp"
#include "cli/ping_run.hpp"
#include "cli/privileges.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <unistd.h>

namespace trawl::cli {
namespace {

constexpr int system_failure = 4; // fping's

ping_plan plan_of(environment& env, fping_options const& o) {
    ping_plan plan;
    plan.sending = pinger_options(o);
    plan.sending.watch = &env.log();
    plan.sending.transmit_stamps = o.how != fping_options::mode::reach;
    plan.asking = sweep_options(o);
    if (o.only == fping_options::family::v4) plan.only = ping_plan::family::v4;
    if (o.only == fping_options::family::v6) plan.only = ping_plan::family::v6;
    plan.all_addresses = o.all_addresses;
    plan.wants_name = [&o](std::string const& given) { return wants_reverse_name(o, given); };
    plan.label = [&o](auto& given, auto& address, auto& name) {
        return fping_label(o, given, address, name);
    };
    if (o.reports()) plan.report = o.report;
    return plan;
}

awaitable<int> ping(environment& env, fping_options const& o, std::vector<std::string> names) {
    auto const plan = plan_of(env, o);
    console_sink sink(env);
    fping_format writer(o, sink);
    icmp::pinger pinger(env.io().get_executor(), plan.sending);
    drop_capabilities(false);
    ping_watch watch(env, plan, writer, pinger);
    auto const began = clock::now();
    try {
        co_await watch.run(std::move(names));
    } catch (error const& failure) {
        sink.err(fmt::format("{}: {}\n", o.program, failure.what()));
        co_return system_failure;
    } catch (std::system_error const& failure) {
        if (!env.was_interrupted() || !is_cancelled(failure)) throw;
    }
    if (watch.hosts().empty()) co_return fping_exit_code(o, 0, 0, watch.count().unresolved);
    ping_end end;
    end.elapsed = clock::now() - began;
    end.late = pinger.stats().late;
    end.targets = watch.hosts().size();
    writer.finish(watch.hosts(), end);
    co_return writer.exit_code();
}

int show(fping_exit const& end) {
    std::fputs(end.out.c_str(), stdout);
    std::fputs(end.err.c_str(), stderr);
    return end.code;
}

} // namespace

void console_sink::out(std::string_view text) {
    if (text.ends_with('\n'))
        env_.out().line(text.substr(0, text.size() - 1));
    else
        env_.out().raw(text);
}

void console_sink::err(std::string_view text) {
    env_.out().flush();
    env_.say(text);
}

int run_fping(std::vector<std::string> const& words) {
    auto const read = parse_fping(words);
    if (auto const* end = std::get_if<fping_exit>(&read)) return show(*end);
    auto const& o = std::get<fping_options>(read);
    auto const names = fping_targets(o, std::cin);
    if (auto const* end = std::get_if<fping_exit>(&names)) return show(*end);
    environment here({.quiet = true});
    return here.run(ping(here, o, std::get<std::vector<std::string>>(names)));
}

} // namespace trawl::cli
