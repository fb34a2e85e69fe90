#pragma once

#include <trawl/async.hpp>
#include <trawl/detail/job.hpp>
#include <trawl/observer.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <type_traits>

namespace trawl {

/// Threads for work that burns CPU or blocks in the kernel. A job is a plain function; its result
/// or exception comes home to the executor of the coroutine that awaits it. Coroutines never run on
/// the pool. Its threads are 10 nicer than the one that made it (nice(2)): a loop that shares their
/// cores comes first.
///
///     offload_pool cpu(offload_pool::options{.threads = 2});
///     auto lane = cpu.make_strand();
///     auto work = [data = std::move(data)](std::stop_token) { return sha256(data); };
///     auto digest = co_await cpu.run(lane, std::move(work)); // g++ 12: name the closure first
///
/// Destroy the pool before the io_context whose coroutines use it: the destructor lets running jobs
/// end, drops queued ones and joins the threads.
class offload_pool {
public:
    /// What a pool is made with.
    struct options {
        std::size_t threads = 0;    ///< 0: one for each processor
        std::string name = "trawl"; ///< thread name, at most 15 bytes (pthread_setname_np)
        observer* watch =
            nullptr; ///< trawl_pool_NAME_queued, _busy_seconds, after each job; not owned
    };
    /// What it has done since it was made, and what it does now.
    struct statistics {
        std::size_t threads = 0;     ///< of the pool
        std::size_t queued = 0;      ///< handed in, not begun
        std::size_t running = 0;     ///< begun, not ended
        std::uint64_t completed = 0; ///< ended, by a result or an exception
        duration busy{};             ///< time spent in jobs, summed over the threads
        std::size_t most_queued = 0; ///< the largest `queued` there has been
    };

    /// Jobs of one strand run one after the other in the order they were handed in, on whichever
    /// thread is free.
    class strand {
    public:
        strand(strand const&) = default;            ///< the same strand
        strand& operator=(strand const&) = default; ///< the same strand

    private:
        friend class offload_pool;
        struct state;
        explicit strand(std::shared_ptr<state> s) : state_(std::move(s)) {}
        std::shared_ptr<state> state_;
    };

    offload_pool(); ///< with one thread for each processor
    /// Starts the threads. Throws std::system_error when the system gives none.
    explicit offload_pool(options configuration);
    offload_pool(offload_pool const&) = delete;
    offload_pool& operator=(offload_pool const&) = delete;
    ~offload_pool(); ///< as said above; blocks until running jobs have ended

    /// A new strand, in no order to others. It may outlive the pool, of no use then.
    strand make_strand();

    /// Runs `work(std::stop_token)` or `work()` on the strand. Cancelling requests stop through the
    /// token, which the job may poll, and still waits for a job that has begun, so that what it
    /// refers to stays alive; a job that has not begun is dropped. Either way a cancelled run
    /// throws operation_aborted.
    template <class Work>
    auto run(strand const& lane, Work work) -> awaitable<detail::job_result<Work>> {
        detail::typed_job<Work> job(std::move(work));
        co_await submit(&lane, job);
        co_return job.take();
    }
    /// Runs `work` on any free thread, in no order to other jobs.
    template <class Work>
    auto run(Work work) -> awaitable<detail::job_result<Work>> {
        detail::typed_job<Work> job(std::move(work));
        co_await submit(nullptr, job);
        co_return job.take();
    }

    /// The figures of this moment; from any thread.
    statistics stats() const;

private:
    struct state;
    awaitable<> submit(strand const* lane, detail::job& job);
    std::unique_ptr<state> state_;
};

} // namespace trawl
