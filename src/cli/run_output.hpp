#pragma once

#include "cli/environment.hpp"

#include <trawl/plan.hpp>

namespace trawl::cli {

/// Writes the results of a plan to stdout as they come, as text or as JSON.
class run_output final : public plan::listener {
public:
    explicit run_output(environment& here) : here_(here) {}

    void host(plan::host_result const& result) override;
    void archive(std::string const& name, backup::report const& made) override;
    void archive_failed(std::string const& name, std::string const& why) override;
    void mailed(smtp::receipt const& sent) override;

private:
    environment& here_;
};

/// The exit code that `totals` deserve.
int exit_code_of(plan::summary const& totals);

/// Runs `what` to its end or to Ctrl-C, writes results and summary, and returns the exit code.
awaitable<int> run_plan(environment& here, plan::job what);

} // namespace trawl::cli
