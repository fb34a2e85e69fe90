// A service that has trawl in it, on its own io_context: it watches hosts, runs jobs on demand, and
// is watched itself.
//
//     service [--listen 127.0.0.1:8080] [--watch 10.0.0.0/28] [--every 5] [--keys DIR] [--token-file F]
//
//     curl -N -H content-type:application/json -d '{"sweep":{"targets":"127.0.0.0/28"}}'
//         http://127.0.0.1:8080/jobs
//
// DIR holds private keys and known_hosts, which is obeyed strictly. SIGTERM ends the jobs with a
// summary, then the process; a second one, or 10 seconds, ends it at once.
#include "api.hpp"
#include "http_server.hpp"
#include "log.hpp"
#include "settings.hpp"

#include <trawl/icmp.hpp>
#include <trawl/task_group.hpp>
#include <trawl/watchdog.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <csignal>
#include <exception>
#include <iostream>

using trawl::awaitable;

namespace service {

/// Everything lives in this frame, and every coroutine in its group: nothing outlives its use.
awaitable<> serve(settings const& said, trawl::watchdog const& loop, trawl::offload_pool& blocking,
                  trawl::observer& log) {
    auto executor = co_await asio::this_coro::executor;
    prometheus_observer figures(&log);
    trawl::icmp::pinger::options echoes;
    echoes.watch = &figures;
    trawl::icmp::pinger pinger(executor, echoes);
    trawl::dns::resolver resolver(executor);
    toolkit const tools{pinger, resolver, blocking, figures, said.keys, said.known_hosts(figures)};

    monitor hosts(pinger, said.watched, figures);
    heartbeat beat;
    job_table jobs(tools, said.jobs);
    api::options how;
    how.token = said.token();
    how.limits.ssh = !said.keys.empty();
    api offered({jobs, hosts, beat, loop, figures}, std::move(how));
    auto const answer = [&](exchange& client) { return offered.handle(client); };
    http_server http(executor, said.http, answer, figures);
    std::cout << "listening on http://" << http.where() << std::endl;

    asio::signal_set signals(executor, SIGTERM, SIGINT);
    auto const told = [&]() -> awaitable<> { co_await signals.async_wait(asio::use_awaitable); };
    auto const body = [&](trawl::task_group& group) -> awaitable<> {
        group.spawn(jobs.run());
        group.spawn(http.run());
        group.spawn_background(hosts.run());
        group.spawn_background(beat.run());
        co_await told();
        http.stop();
        jobs.stop("the service stops");
        auto const hurry = [&]() -> awaitable<> {
            co_await trawl::within(std::chrono::seconds(10), told());
            group.cancel();
        };
        group.spawn_background(hurry()); // unless the others end before
    };
    co_await trawl::with_group(body);
}

} // namespace service

int main(int count, char** words) try {
    auto const said = service::settings::read({words + 1, words + count});
    asio::io_context io(1);
    trawl::watchdog loop(io); // runs the loop and times its handlers
    trawl::offload_pool blocking(trawl::offload_pool::options{.threads = 2, .name = "keys"});
    auto const log = service::make_log();
    std::exception_ptr failure;
    asio::co_spawn(io, service::serve(said, loop, blocking, *log),
                   [&](std::exception_ptr e) { failure = e; });
    loop.run();
    if (failure) std::rethrow_exception(failure);
} catch (std::exception const& e) {
    std::cerr << "service: " << e.what() << "\n";
    return 1;
}
