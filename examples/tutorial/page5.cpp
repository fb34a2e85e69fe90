// page5 TARGETS USER KEY KNOWN_HOSTS PORT COMMAND SMTP_PORT TO SOURCE BACKUPS: a night every minute,
// until SIGTERM.
#include "night.hpp"
#include "run.hpp"

#include <trawl/watchdog.hpp>

#include <asio/signal_set.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <csignal>

using namespace std::chrono_literals;

/// Writes what the library reports to stderr.
struct console : trawl::observer {
    void log(trawl::severity how, std::string_view where, std::string_view text) override {
        if (how >= trawl::severity::info) std::cerr << where << ": " << text << "\n";
    }
    void metric(std::string_view name, double value) override {
        std::cerr << name << " " << value << "\n";
    }
};

/// Night after night. One that fails, or takes too long, does not end the service.
awaitable<> nights(plan const& p, helpers with) {
    for (;;) {
        std::string failed;
        try {
            auto const receipt = co_await trawl::within(50s, night(p, with));
            if (!receipt)
                failed = "it took too long and was stopped";
            else if (!receipt->all_accepted())
                failed = "not everybody gets the report";
            else
                std::cout << "the report is on its way" << std::endl;
        } catch (trawl::error const& e) {
            if (trawl::is_cancelled(e)) throw;
            failed = e.what();
        }
        if (!failed.empty()) with.watch.log(trawl::severity::error, "night", failed);
        co_await trawl::sleep_for(1min);
    }
}

/// Serves until SIGTERM or Ctrl-C, then ends what is under way and returns.
awaitable<> serve(plan const& p, helpers with) {
    auto executor = co_await asio::this_coro::executor;
    asio::signal_set signals(executor, SIGTERM, SIGINT);
    auto const body = [&](trawl::task_group& group) -> awaitable<> {
        group.spawn_background(nights(p, with));
        co_await signals.async_wait(asio::use_awaitable);
    };
    co_await trawl::with_group(body);
}

int main(int count, char** words) try {
    plan const p(count, words, 10);
    asio::io_context io(1);
    trawl::watchdog loop(io);
    trawl::offload_pool cpu;
    trawl::offload_pool blocking(trawl::offload_pool::options{.threads = 1, .name = "files"});
    console watch;
    std::exception_ptr failure;
    asio::co_spawn(io, serve(p, {cpu, blocking, watch}),
                   [&](std::exception_ptr e) { failure = e; });
    loop.run(); // io.run(), with a clock beside it
    loop.publish(watch);
    if (failure) std::rethrow_exception(failure);
} catch (std::exception const& e) {
    std::cerr << "page5: " << e.what() << "\n";
    return 1;
}
