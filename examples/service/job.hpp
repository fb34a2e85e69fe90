#pragma once

#include "job_spec.hpp"

#include <trawl/dns.hpp>
#include <trawl/icmp.hpp>
#include <trawl/observer.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/queue.hpp>
#include <trawl/ssh.hpp>
#include <trawl/task_group.hpp>

#include <boost/json/object.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace service {

/// The engines that all jobs share; they outlive the jobs.
struct toolkit {
    trawl::icmp::pinger& pinger;
    trawl::dns::resolver& resolver;
    trawl::offload_pool& blocking; ///< keys are read there
    trawl::observer& watch;
    std::filesystem::path keys;                   ///< folder; empty: no SSH
    std::shared_ptr<trawl::ssh::host_keys> known; ///< strict: a host that is not in it is refused
};

using line_queue = trawl::queue<std::string>;

/// A sweep or an SSH run. Whoever takes its lines paces it.
class job {
public:
    enum class state { running, done, failed, cancelled };

    job(std::uint64_t id, job_spec what) : id_(id), what_(std::move(what)) {}
    job(job const&) = delete;
    job& operator=(job const&) = delete;

    std::uint64_t id() const noexcept { return id_; }
    job::state now() const noexcept { return state_; }

    /// Works, pushes a line for each result and a summary, and closes the queue. A failure is in
    /// the summary. Cancelling ends the sweep or the sessions, without a summary.
    trawl::awaitable<> run(toolkit with, line_queue& lines);

    /// All lines have been taken: from now on it is what its summary says.
    void settle() noexcept {
        if (state_ == state::running) state_ = end_;
    }

    /// Ends it from outside; its summary says why.
    void cancel(std::string why);

    /// id, kind, status, targets, counts by status, error, started, elapsed.
    boost::json::object description() const;

private:
    using emit = std::function<trawl::awaitable<>(boost::json::object)>;
    trawl::awaitable<> work(toolkit with, emit out);
    boost::json::object summary() const;

    std::uint64_t id_;
    job_spec what_;
    state state_ = state::running, end_ = state::running;
    std::string why_;
    std::map<std::string, std::uint64_t, std::less<>> counts_;
    trawl::task_group* group_ = nullptr; // while it works
    std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
    trawl::time_point from_ = trawl::clock::now(), until_{};
};

/// The two kinds of work: a record for each target, in the order of the answers.
trawl::awaitable<> work_on(sweep_spec const& what, toolkit const& with,
                           std::function<trawl::awaitable<>(boost::json::object)> out);
trawl::awaitable<> work_on(ssh_spec const& what, toolkit const& with,
                           std::function<trawl::awaitable<>(boost::json::object)> out);

} // namespace service
