#pragma once

#include "cli/environment.hpp"
#include "cli/ping_writer.hpp"

#include <string>
#include <vector>

namespace trawl::cli {

/// A writer's text on this process's stdout and stderr.
class console_sink : public text_sink {
public:
    explicit console_sink(environment& env) : env_(env) {}
    void out(std::string_view text) override;
    void err(std::string_view text) override;

private:
    environment& env_;
};

/// Runs fping's command line as fping 5.1 would; its exit code.
int run_fping(std::vector<std::string> const& words);

} // namespace trawl::cli
