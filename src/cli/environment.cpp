#include "cli/environment.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/signal_set.hpp>

#include <fmt/format.h>

#include <csignal>
#include <unistd.h>

namespace trawl::cli {
namespace {

/// One line for stderr and the exit code of what left a verb's body.
int report(console& to, std::exception_ptr const& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (usage_error const& e) {
        to.log(severity::error, "", e.what());
        return usage;
    } catch (std::system_error const& e) {
        if (e.code() == std::errc::broken_pipe)
            return some_failed; // who reads the results has gone
        to.log(severity::error, "", e.what());
        return e.code() == errc::bad_target ? usage : some_failed;
    } catch (std::exception const& e) {
        to.log(severity::error, "", e.what());
        return some_failed;
    }
}

std::string milliseconds(duration d) {
    return fmt::format("{:.3f}", std::chrono::duration<double, std::milli>(d).count());
}

} // namespace

environment::environment(settings words) : words_(words), console_(words.verbosity, words.quiet) {}
environment::~environment() = default;

offload_pool& environment::cpu() {
    if (!cpu_) cpu_ = std::make_unique<offload_pool>(offload_pool::options{0, "cpu", &console_});
    return *cpu_;
}

offload_pool& environment::blocking() {
    if (!blocking_)
        blocking_ = std::make_unique<offload_pool>(offload_pool::options{2, "blocking", &console_});
    return *blocking_;
}

void environment::lend_terminal(std::function<void()> give_back) {
    clear_progress();
    console_.hold();
    give_back_ = std::move(give_back);
}

void environment::take_back_terminal() {
    give_back_ = {};
    console_.let_go();
}

/// Results that were gathered before a failure are results too.
void environment::flush_results() {
    try {
        out().flush();
    } catch (...) {
        report(console_, std::current_exception());
    }
}

int environment::run(awaitable<int> body) {
    asio::cancellation_signal stop;
    asio::signal_set signals(io_, SIGINT, SIGTERM);
    int code = some_failed;
    auto ended = [&](std::exception_ptr failure, int value) {
        signals.cancel();
        console_.clear_progress();
        if (failure) flush_results();
        if (!failure)
            code = value;
        else if (interrupted_ && is_cancelled(failure))
            code = interrupted;
        else
            code = report(console_, failure);
    };
    std::function<void(std::error_code, int)> on_signal = [&](std::error_code failure, int) {
        if (failure) return;
        if (std::exchange(interrupted_, true)) {
            signals.clear(); // a third time kills, should no one take the results
            if (give_back_) give_back_();
            flush_results();
            ::_exit(interrupted);
        }
        console_.log(severity::warning, "", "stopping; once more to leave at once");
        signals.async_wait(on_signal);
        stop.emit(asio::cancellation_type::terminal);
    };
    signals.async_wait(on_signal);
    asio::co_spawn(io_, std::move(body), asio::bind_cancellation_slot(stop.slot(), ended));
    watch_.run();
    if (words_.stats) {
        auto const seen = loop();
        console_.log(
            severity::error, "loop",
            fmt::format("hold p50 {} p99 {} p99.9 {} max {} ms, lag p50 {} p99 {} max {} ms",
                        milliseconds(seen.hold.p50), milliseconds(seen.hold.p99),
                        milliseconds(seen.hold.p999), milliseconds(seen.hold.max),
                        milliseconds(seen.lag.p50), milliseconds(seen.lag.p99),
                        milliseconds(seen.lag.max)));
    }
    return code;
}

} // namespace trawl::cli
