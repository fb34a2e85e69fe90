#pragma once

#include <trawl/targets.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

namespace service {

/// A job that cannot be taken: what is wrong with it, in one line.
struct bad_job : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// {"sweep": {"targets": "10.0.0.0/24", "rate": 1000, "timeout": 1.0, "retries": 1}}
struct sweep_spec {
    trawl::targets::list targets; ///< addresses
    double rate = 1000;           ///< echoes a second
    std::chrono::milliseconds timeout{1000};
    unsigned retries = 1;
};

/// {"ssh": {"targets": "10.0.0.0/24", "command": "uptime", "user": "ops", "key": "id_ed25519",
///          "port": 22, "jobs": 100, "timeout": 10.0}}
struct ssh_spec {
    trawl::targets::list targets;
    std::string command, user;
    std::string key; ///< name of a file in the service's folder of keys
    std::uint16_t port = 22;
    std::size_t jobs = 100; ///< sessions at a time
    std::chrono::milliseconds timeout{10'000};
};

using job_spec = std::variant<sweep_spec, ssh_spec>;

/// What a service does at most for one job.
struct job_limits {
    std::uint64_t targets = 65'536;
    double rate = 10'000;
    std::size_t sessions = 500;
    bool ssh = false; ///< whether there are keys for it
};

/// Reads a job. Throws bad_job for what is no JSON, has a member that is not known, or exceeds a
/// limit.
job_spec parse_job(std::string_view json, job_limits const& limits);

/// "sweep" or "ssh".
std::string_view kind_of(job_spec const& what) noexcept;
trawl::targets::list const& targets_of(job_spec const& what) noexcept;

} // namespace service
