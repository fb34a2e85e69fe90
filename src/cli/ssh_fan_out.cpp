#include "cli/ssh_fan_out.hpp"

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trawl::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto first_pause = 500ms, longest_pause = 30'000ms;

/// A host that is not there, or does not want to talk now (sshd's MaxStartups drops connections
/// before its banner, a full backlog later): nothing has run there, and a later try may do better.
bool worth_retrying(ssh::failure const& failed) {
    switch (failed.at()) {
    case ssh::phase::connect:
    case ssh::phase::banner: return true;
    case ssh::phase::key_exchange:
        return failed.code() == ssh::errc::disconnected || failed.code() == errc::timed_out;
    default: return false;
    }
}

} // namespace

void add_pace(CLI::App& verb, fan_out_options& into) {
    verb.add_option("-j,--jobs", into.jobs, "Hosts at once (64)")->check(CLI::Range(1, 100'000));
    verb.add_option("--ramp", into.ramp, "New connections per second; default: no bound")
        ->check(CLI::PositiveNumber);
    verb.add_option("--retries", into.retries,
                    "Further tries, with growing pauses, on a host that cannot be reached (0)")
        ->check(CLI::Range(0, 1000));
    verb.add_option("--max-failures", into.max_failures,
                    "Start no further host once so many have failed or exited with not 0")
        ->check(CLI::PositiveNumber);
}

fan_out::fan_out(environment& here, ssh_login& login, fan_out_options how)
    : here_(here), login_(login), options_(how), places_(how.jobs),
      resolver_(here.io().get_executor()) {
    if (how.ramp > 0) ramp_.emplace(how.ramp);
}

awaitable<ssh_totals> fan_out::run(std::vector<host_errand> errands, earlier_results const* only) {
    for (auto const& next : errands)
        totals_.targets += only ? only->count(next.hosts) : next.hosts.size();
    int hindered = all_well;
    ssh_login::in_use const during(login_);
    try {
        co_await login_.prepare();
        auto all = [&](task_group& group) -> awaitable<> {
            for (auto const& next : errands) co_await start(group, next, only);
        };
        co_await with_group(all);
    } catch (no_secret const& why) {
        here_.log().log(severity::error, "", why.what());
        hindered = bad_secret;
    } catch (error const& why) { // the known_hosts file
        here_.log().log(severity::error, "", why.what());
        hindered = some_failed;
    } catch (std::system_error const& stopped) {
        // Ctrl-C: what was not finished is counted; anything else (stdout gone) ends the verb.
        if (!is_cancelled(stopped)) throw;
    }
    co_return sum_up(hindered);
}

awaitable<> fan_out::start(task_group& group, host_errand const& next,
                           earlier_results const* only) {
    targets::cursor walk(next.hosts);
    while (auto target = walk.next()) {
        if (only && !only->wants(*target)) continue;
        auto place = co_await places_.acquire();
        if (totals_.failed + totals_.nonzero >= options_.max_failures) {
            totals_.gave_up = true;
            co_return;
        }
        auto job = next.job(*target);
        group.spawn(one(std::move(*target), std::move(job), std::move(place)));
    }
}

awaitable<> fan_out::one(targets::target target, std::unique_ptr<host_job> job,
                         [[maybe_unused]] limiter::ticket place) {
    auto const began = clock::now();
    host_visit visit{.target = std::move(target)};
    for (;; ++visit.attempts) {
        visit.failed.reset();
        co_await reach(visit, *job);
        bool const again = co_await try_again(visit);
        if (!again) break;
    }
    visit.elapsed = clock::now() - began;
    auto const failed = visit.failed;
    auto const end = job->ended(std::move(visit));
    count(failed, end);
    if (totals_.targets > 1)
        here_.log().progress("hosts", totals_.ok + totals_.failed, totals_.targets);
}

/// One try, from its address to the job's end.
awaitable<> fan_out::reach(host_visit& visit, host_job& job) {
    try {
        auto how = co_await options_for(visit.target);
        if (how.addresses.size() == 1) visit.address = how.addresses.front();
        if (ramp_) co_await ramp_->turn();
        ssh::session host(here_.io().get_executor(), how);
        std::exception_ptr failed;
        try {
            co_await host.connect();
            co_await job.work(host);
        } catch (...) {
            failed = std::current_exception();
        }
        if (host.address()) visit.address = host.address();
        if (failed) std::rethrow_exception(failed);
    } catch (ssh::failure const& reason) {
        visit.failed = reason;
    }
}

awaitable<ssh::options> fan_out::options_for(targets::target target) {
    ssh::options how{.host = {}};
    try {
        how = co_await login_.options_for(target);
    } catch (ssh::failure const&) {
        throw;
    } catch (error const& reason) { // of the known_hosts file
        throw ssh::failure(reason.code(), ssh::phase::host_key, target.to_string(), reason.said());
    }
    if (how.jump) co_return how; // the last hop looks the name up
    asio::error_code is_name;
    auto const address = asio::ip::make_address(how.host, is_name);
    if (!is_name) {
        how.addresses = {address};
        co_return how;
    }
    try {
        how.addresses = co_await resolver_.addresses(how.host);
    } catch (error const& unknown) {
        throw ssh::failure(unknown.code(), ssh::phase::resolve, target.to_string(), unknown.said());
    }
    co_return how;
}

/// True after a pause, when another try is due: twice as long each time, and up to half of it by
/// chance, so that hosts that failed together do not come back together.
awaitable<bool> fan_out::try_again(host_visit const& visit) {
    if (!visit.failed || visit.attempts > options_.retries || !worth_retrying(*visit.failed))
        co_return false;
    auto const doubled = first_pause * (1u << std::min(visit.attempts - 1, 6u));
    auto const most = std::min<std::chrono::milliseconds>(doubled, longest_pause).count();
    std::chrono::milliseconds const pause(
        std::uniform_int_distribution<std::int64_t>(most / 2, most)(chance_));
    here_.log().log(severity::info, "",
                    fmt::format("{}; next try in {} ms", visit.failed->what(), pause.count()));
    co_await sleep_for(pause);
    co_return true;
}

void fan_out::count(std::optional<ssh::failure> const& failed, host_job::outcome end) {
    if (end == host_job::outcome::failed) {
        ++totals_.failed;
        denied_ += failed && failed->code() == ssh::errc::auth_denied;
        unreached_ += failed && failed->at() <= ssh::phase::connect;
    } else {
        ++totals_.ok;
        totals_.nonzero += end == host_job::outcome::nonzero;
    }
}

ssh_totals fan_out::sum_up(int hindered) {
    auto const reached = totals_.ok + totals_.failed - unreached_;
    int code = all_well;
    if (hindered != all_well)
        code = hindered;
    else if (totals_.targets == 0) // --only has found nothing to do again
        code = all_well;
    else if (totals_.failed > 0 && denied_ == totals_.targets)
        code = bad_secret;
    else if (reached == 0)
        code = nothing_reached;
    else if (totals_.failed > 0 || totals_.nonzero > 0)
        code = some_failed;
    totals_.exit_code = here_.outcome(code);
    totals_.interrupted = here_.was_interrupted();
    totals_.elapsed = clock::now() - began_;
    return totals_;
}

} // namespace trawl::cli
