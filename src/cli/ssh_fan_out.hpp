#pragma once

#include "cli/environment.hpp"
#include "cli/ssh_command.hpp"
#include "cli/ssh_login.hpp"
#include "cli/ssh_only.hpp"
#include "cli/ssh_writer.hpp"

#include <trawl/dns.hpp>
#include <trawl/limiter.hpp>
#include <trawl/targets.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <random>

namespace trawl::cli {

/// How many hosts at a time, and what happens when some fail.
struct fan_out_options {
    std::size_t jobs = 64;
    unsigned retries = 0; ///< further connections to a host that could not be reached
    double ramp = 0;      ///< new connections per second; 0: no bound
    std::uint64_t max_failures = std::numeric_limits<std::uint64_t>::max(); ///< then no more starts
};

/// Runs one command on many hosts. Everything it is given outlives it.
class fan_out {
public:
    fan_out(environment& here, ssh_command const& what, fan_out_options how, ssh_writer& writer);

    /// Returns the exit code of the verb.
    awaitable<int> run(ssh_login& login, targets::list hosts, earlier_results const* only);

private:
    awaitable<> start_all(targets::list const& hosts, earlier_results const* only);
    awaitable<> one(targets::target target, limiter::ticket place);
    awaitable<> reach(ssh_answer& answer);
    awaitable<> attempt(ssh::options const& how, ssh_answer& answer);
    awaitable<std::vector<asio::ip::address>> addresses_of(targets::target const& target,
                                                           std::string host);
    awaitable<bool> try_again(ssh_answer const& answer);
    void count(ssh_answer const& answer);
    int summarise(int hindered);

    environment& here_;
    ssh_command const& what_;
    fan_out_options options_;
    ssh_writer& writer_;
    ssh_login* login_ = nullptr;
    limiter places_;
    std::optional<pacer> ramp_;
    dns::resolver resolver_;
    std::minstd_rand chance_{std::random_device()()};
    time_point began_ = clock::now();
    ssh_totals totals_;
    std::uint64_t denied_ = 0, unreached_ = 0;
};

} // namespace trawl::cli
