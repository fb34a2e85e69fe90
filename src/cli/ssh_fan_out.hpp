#pragma once

#include "cli/environment.hpp"
#include "cli/ssh_login.hpp"
#include "cli/ssh_only.hpp"
#include "cli/ssh_writer.hpp"

#include <trawl/dns.hpp>
#include <trawl/limiter.hpp>
#include <trawl/ssh.hpp>
#include <trawl/targets.hpp>
#include <trawl/task_group.hpp>

#include <CLI/App.hpp>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace trawl::cli {

/// How many hosts at a time, and what happens when some fail.
struct fan_out_options {
    std::size_t jobs = 64;
    unsigned retries = 0; ///< further connections to a host that could not be reached
    double ramp = 0;      ///< new connections per second; 0: no bound
    std::uint64_t max_failures = std::numeric_limits<std::uint64_t>::max(); ///< then no more starts
};

/// Declares -j --ramp --retries --max-failures.
void add_pace(CLI::App& verb, fan_out_options& into);

/// The way to one host and back.
struct host_visit {
    targets::target target;
    std::optional<asio::ip::address> address{}; ///< that answered, or the only one it has
    std::optional<ssh::failure> failed{};
    duration elapsed{};
    unsigned attempts = 1; ///< connections tried
};

/// What is done on one host.
class host_job {
public:
    enum class outcome { good, nonzero, failed };

    virtual ~host_job() = default;
    /// On a connected session, once at most. An ssh::failure that leaves it is the visit's.
    virtual awaitable<> work(ssh::session& on) = 0;
    /// The visit is over: tells the user.
    virtual outcome ended(host_visit how) = 0;
};

/// Hosts, and the job for each of them.
struct host_errand {
    targets::list hosts;
    std::function<std::unique_ptr<host_job>(targets::target const&)> job;
};

/// Visits many hosts, a number of them at a time. Everything it is given outlives it.
class fan_out {
public:
    fan_out(environment& here, ssh_login& login, fan_out_options how);

    /// Prepares the login and goes round; says what hinders the whole run. Ctrl-C ends it with what
    /// there is. `only`: some of the hosts; may be null.
    awaitable<ssh_totals> run(std::vector<host_errand> errands, earlier_results const* only);

    /// Options for a host, with its addresses. Throws ssh::failure.
    awaitable<ssh::options> options_for(targets::target target);

private:
    awaitable<> start(task_group& group, host_errand const& next, earlier_results const* only);
    awaitable<> one(targets::target target, std::unique_ptr<host_job> job, limiter::ticket place);
    awaitable<> reach(host_visit& visit, host_job& job);
    awaitable<bool> try_again(host_visit const& visit);
    void count(std::optional<ssh::failure> const& failed, host_job::outcome end);
    ssh_totals sum_up(int hindered);

    environment& here_;
    ssh_login& login_;
    fan_out_options options_;
    limiter places_;
    std::optional<pacer> ramp_;
    dns::resolver resolver_;
    std::minstd_rand chance_{std::random_device()()};
    time_point began_ = clock::now();
    ssh_totals totals_;
    std::uint64_t denied_ = 0, unreached_ = 0;
};

} // namespace trawl::cli
