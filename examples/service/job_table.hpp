#pragma once

#include "exchange.hpp"
#include "job.hpp"

#include <boost/json/array.hpp>

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace service {

/// The jobs of a service: those whose results stream to a client, and the detached ones, whose
/// results are kept here until somebody asks.
class job_table {
public:
    struct options {
        std::size_t running = 8;            ///< jobs at a time
        std::size_t finished = 32;          ///< detached ones that are kept; the oldest goes first
        std::size_t kept = 4 * 1024 * 1024; ///< bytes of results of each; the rest is counted only
    };
    struct entry {
        job work;
        std::string results{}; ///< lines, of a detached job
        std::uint64_t dropped = 0;
        bool detached = false;
    };

    job_table(toolkit with, options how) : with_(with), options_(how) {}
    job_table(job_table const&) = delete;
    job_table& operator=(job_table const&) = delete;

    /// The nursery of the detached jobs: until stop(), and until the last of them has ended.
    trawl::awaitable<> run();
    /// Takes no more jobs and cancels those that run.
    void stop(std::string const& why);

    /// Whether another job may begin.
    bool full() const;

    /// Works and streams the lines to the client; one that leaves cancels the job.
    trawl::awaitable<> stream(job_spec what, exchange& to);
    /// Works in the background.
    std::shared_ptr<entry const> detach(job_spec what);

    std::shared_ptr<entry> find(std::string const& id) const;
    /// Cancels one that runs, forgets one that has ended.
    void remove(std::string const& id);
    boost::json::array list() const;

private:
    std::shared_ptr<entry> add(job_spec what);
    trawl::awaitable<> record(std::shared_ptr<entry> one);
    void forget_oldest();

    toolkit with_;
    options options_;
    std::map<std::uint64_t, std::shared_ptr<entry>> entries_;
    std::uint64_t last_ = 0;
    trawl::task_group* group_ = nullptr; // of the detached jobs, between run() and stop()
    trawl::queue<bool> stopped_{1};      // closed by stop()
};

} // namespace service
