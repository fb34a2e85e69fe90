#pragma once

#include "cli/environment.hpp"
#include "cli/ssh_fan_out.hpp"

#include <CLI/App.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace trawl::cli {

/// What the command line says of ports: -L -R -D -N.
struct forward_words {
    std::vector<std::string> local, remote, dynamic;
    bool alone = false; ///< no command

    bool any() const noexcept { return !local.empty() || !remote.empty() || !dynamic.empty(); }
};

void add_forwards(CLI::App& verb, forward_words& into);

/// One of them.
struct forward_rule {
    enum class kind { local, remote, dynamic } way;
    std::string bind; ///< empty: the loopback; "*": all addresses
    std::uint16_t port = 0;
    std::string host; ///< not of a dynamic one
    std::uint16_t host_port = 0;
};

/// Throws usage_error that names the word.
std::vector<forward_rule> parse_forwards(forward_words const& all);

/// Opens the ports on a session and then does `inner`, or with `alone` only what is forwarded, until
/// the session ends. `inner` tells what became of it. `here` outlives the job.
std::unique_ptr<host_job> make_forward_job(environment& here, std::vector<forward_rule> rules,
                                           bool alone, std::unique_ptr<host_job> inner);

} // namespace trawl::cli
