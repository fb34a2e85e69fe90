#include <trawl/offload_pool.hpp>

#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <asio/system_error.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_awaitable.hpp>

#include <atomic>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace trawl {

namespace {

/// Strands may outlive the pool, and refer to its threads' context to the end.
class context : public asio::thread_pool {
public:
    using asio::thread_pool::thread_pool;
    /// Destroys what has not begun, and with it the coroutines that wait for it; these may hold
    /// strands.
    void drop_queued() { shutdown(); }
};

} // namespace

struct offload_pool::strand::state {
    std::shared_ptr<context> threads; // longer than the lane
    asio::strand<asio::thread_pool::executor_type> lane;
};

struct offload_pool::state {
    explicit state(options o)
        : name(std::move(o.name)), watch(o.watch),
          size(o.threads ? o.threads : std::max(1u, std::thread::hardware_concurrency())),
          threads(std::make_shared<context>(size)) {}

    void begin() {
        --queued;
        ++running;
    }
    void end(duration spent) {
        busy_ns += std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count();
        --running;
        ++completed;
    }
    void add() {
        auto const now = ++queued;
        for (auto most = most_queued.load();
             now > most && !most_queued.compare_exchange_weak(most, now);) {
        }
    }

    std::string name;
    observer* watch;
    std::size_t size;
    std::atomic<std::size_t> queued{0}, running{0}, most_queued{0};
    std::atomic<std::uint64_t> completed{0};
    std::atomic<std::int64_t> busy_ns{0};
    std::shared_ptr<context> threads; // they use what stands above
};

namespace {

using home_handler =
    asio::async_result<asio::use_awaitable_t<asio::any_io_executor>, void(bool)>::handler_type;

/// Signals of the process belong to the loop's thread: pool threads are born with all of them
/// blocked.
class signals_blocked {
public:
    signals_blocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_;
};

/// The threads of a pool burn whatever CPU there is, while a loop asks for a little at once: where
/// they share a core the loop comes first. Beside a loop that is always busy 7 leaves a thread a
/// sixth of the core; 10 would be a tenth, and a backup beside a sweep, sessions and mails less than
/// half of its fair share (bench-mixed).
void stand_back() {
    thread_local bool done = false;
    if (std::exchange(done, true)) return;
    auto const self = static_cast<id_t>(::gettid());
    ::setpriority(PRIO_PROCESS, self, ::getpriority(PRIO_PROCESS, self) + 7);
}

} // namespace

offload_pool::offload_pool() : offload_pool(options()) {}

offload_pool::offload_pool(options configuration) {
    signals_blocked during_the_start;
    state_ = std::make_unique<state>(std::move(configuration));
}

offload_pool::~offload_pool() {
    state_->threads->stop();
    state_->threads->join();
    state_->threads->drop_queued();
}

offload_pool::strand offload_pool::make_strand() {
    auto const& threads = state_->threads;
    return strand(std::make_shared<strand::state>(
        strand::state{threads, asio::make_strand(threads->get_executor())}));
}

awaitable<> offload_pool::submit(strand const* lane, detail::job& job) {
    auto& pool = *state_;
    std::stop_source stop;
    auto start = [&pool, &job, &stop, lane](home_handler handler) {
        auto slot = asio::get_associated_cancellation_slot(handler);
        if (slot.is_connected())
            slot.assign([&stop](asio::cancellation_type) { stop.request_stop(); });
        auto work = [&pool, &job, token = stop.get_token(),
                     handler = std::move(handler)]() mutable {
            stand_back();
            bool const wanted = !token.stop_requested();
            pool.begin();
            auto const began = clock::now();
            if (wanted) job.execute(std::move(token));
            pool.end(clock::now() - began);
            auto home = asio::get_associated_executor(handler);
            asio::post(home, [wanted, handler = std::move(handler)]() mutable {
                std::move(handler)(wanted);
            });
        };
        pool.add();
        if (lane)
            asio::post(lane->state_->lane, std::move(work));
        else
            asio::post(*pool.threads, std::move(work));
    };
    co_await asio::async_initiate<asio::use_awaitable_t<> const, void(bool)>(std::move(start),
                                                                             asio::use_awaitable);
    if (pool.watch) {
        auto const seen = stats();
        pool.watch->metric("trawl_pool_" + pool.name + "_queued", static_cast<double>(seen.queued));
        pool.watch->metric("trawl_pool_" + pool.name + "_busy_seconds_total",
                           std::chrono::duration<double>(seen.busy).count());
    }
    if (stop.stop_requested()) throw asio::system_error(asio::error::operation_aborted);
}

offload_pool::statistics offload_pool::stats() const {
    statistics s;
    s.threads = state_->size;
    s.queued = state_->queued;
    s.running = state_->running;
    s.completed = state_->completed;
    s.busy = std::chrono::nanoseconds(state_->busy_ns);
    s.most_queued = state_->most_queued;
    return s;
}

} // namespace trawl
