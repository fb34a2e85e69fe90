#include "cli/ssh_fan_out.hpp"

#include <trawl/task_group.hpp>

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

ssh::failure without_status(targets::target const& target, ssh::completed const& done) {
    auto said = done.exit_signal.empty() ? std::string("the command ended without a status")
                                         : "the command was ended by SIG" + done.exit_signal;
    return {ssh::errc::no_status, ssh::phase::exec, target.to_string(), std::move(said)};
}

} // namespace

fan_out::fan_out(environment& here, ssh_command const& what, fan_out_options how,
                 ssh_writer& writer)
    : here_(here), what_(what), options_(how), writer_(writer), places_(how.jobs),
      resolver_(here.io().get_executor()) {
    if (how.ramp > 0) ramp_.emplace(how.ramp);
}

awaitable<int> fan_out::run(ssh_login& login, targets::list hosts, earlier_results const* only) {
    totals_.targets = only ? only->count(hosts) : hosts.size();
    int hindered = all_well;
    try {
        login_ = &login;
        co_await login.prepare();
        co_await start_all(hosts, only);
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
    co_return summarise(hindered);
}

awaitable<> fan_out::start_all(targets::list const& hosts, earlier_results const* only) {
    auto all = [&](task_group& group) -> awaitable<> {
        targets::cursor walk(hosts);
        while (auto next = walk.next()) {
            if (only && !only->wants(*next)) continue;
            auto place = co_await places_.acquire();
            if (totals_.failed + totals_.nonzero >= options_.max_failures) {
                totals_.gave_up = true;
                break;
            }
            group.spawn(one(std::move(*next), std::move(place)));
        }
    };
    co_await with_group(all);
}

awaitable<> fan_out::one(targets::target target, [[maybe_unused]] limiter::ticket place) {
    auto const began = clock::now();
    ssh_answer answer{.target = std::move(target)};
    for (;; ++answer.attempts) {
        answer.failed.reset();
        co_await reach(answer);
        bool const again = co_await try_again(answer);
        if (!again) break;
    }
    if (!answer.failed && !answer.done->exit_status)
        answer.failed = without_status(answer.target, *answer.done);
    answer.elapsed = clock::now() - began;
    count(answer);
    writer_.host(std::move(answer));
    here_.log().progress("hosts", totals_.ok + totals_.failed, totals_.targets);
}

/// One try, from its address to the command's end.
awaitable<> fan_out::reach(ssh_answer& answer) {
    auto const& target = answer.target;
    try {
        auto how = co_await login_->options_for(target);
        if (!how.jump) how.addresses = co_await addresses_of(target, how.host);
        if (how.addresses.size() == 1) answer.address = how.addresses.front();
        if (ramp_) co_await ramp_->turn();
        co_await attempt(how, answer);
    } catch (ssh::failure const& reason) {
        answer.failed = reason;
    } catch (error const& reason) { // of the known_hosts file
        answer.failed.emplace(reason.code(), ssh::phase::host_key, target.to_string(),
                              reason.said());
    }
}

awaitable<> fan_out::attempt(ssh::options const& how, ssh_answer& answer) {
    ssh::session host(here_.io().get_executor(), how);
    line_sink sink;
    if (writer_.live())
        sink = [this, &answer](ssh::output_stream from, std::string_view lines) {
            writer_.lines(answer.target, from, lines);
        };
    try {
        co_await host.connect();
        answer.done = co_await run_command(host, what_, std::move(sink));
    } catch (...) {
        if (host.address()) answer.address = host.address();
        throw;
    }
    answer.address = host.address();
}

/// `host`: what the target means, by the configuration.
awaitable<std::vector<asio::ip::address>> fan_out::addresses_of(targets::target const& target,
                                                                std::string host) {
    std::vector<asio::ip::address> found;
    asio::error_code is_name;
    auto const address = asio::ip::make_address(host, is_name);
    if (!is_name) {
        found.push_back(address);
        co_return found;
    }
    try {
        found = co_await resolver_.addresses(host);
    } catch (error const& unknown) {
        throw ssh::failure(unknown.code(), ssh::phase::resolve, target.to_string(), unknown.said());
    }
    co_return found;
}

/// True after a pause, when another try is due: twice as long each time, and up to half of it by
/// chance, so that hosts that failed together do not come back together.
awaitable<bool> fan_out::try_again(ssh_answer const& answer) {
    if (!answer.failed || answer.attempts > options_.retries || !worth_retrying(*answer.failed))
        co_return false;
    auto const doubled = first_pause * (1u << std::min(answer.attempts - 1, 6u));
    auto const most = std::min<std::chrono::milliseconds>(doubled, longest_pause).count();
    std::chrono::milliseconds const pause(
        std::uniform_int_distribution<std::int64_t>(most / 2, most)(chance_));
    here_.log().log(severity::info, "",
                    fmt::format("{}; next try in {} ms", answer.failed->what(), pause.count()));
    co_await sleep_for(pause);
    co_return true;
}

void fan_out::count(ssh_answer const& answer) {
    if (answer.failed) {
        ++totals_.failed;
        denied_ += answer.failed->code() == ssh::errc::auth_denied;
        unreached_ += answer.failed->at() <= ssh::phase::connect;
    } else {
        ++totals_.ok;
        totals_.nonzero += !answer.good();
    }
}

int fan_out::summarise(int hindered) {
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
    writer_.finish(totals_);
    return totals_.exit_code;
}

} // namespace trawl::cli
