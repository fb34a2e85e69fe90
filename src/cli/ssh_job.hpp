#pragma once

#include "cli/ssh_command.hpp"
#include "cli/ssh_fan_out.hpp"
#include "cli/ssh_writer.hpp"

#include <memory>

namespace trawl::cli {

/// Runs `what` on a host and hands its answer to `writer`. Both outlive the job.
std::unique_ptr<host_job> make_command_job(targets::target const& at, ssh_command const& what,
                                           ssh_writer& writer);

} // namespace trawl::cli
