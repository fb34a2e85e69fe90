#pragma once

#include "http_server.hpp"
#include "job_table.hpp"
#include "monitor.hpp"

#include <trawl/net.hpp>
#include <trawl/observer.hpp>
#include <trawl/ssh.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace service {

/// What the command line says.
struct settings {
    http_server::options http{};
    job_table::options jobs{};
    monitor::options watched{};
    std::filesystem::path keys{};       ///< private keys and known_hosts; empty: no SSH
    std::filesystem::path token_file{}; ///< empty: no token

    /// Throws std::runtime_error for what it does not know. Without a token it listens on loopback
    /// only.
    static settings read(std::vector<std::string> const& words);

    trawl::net::secret token() const;
    std::shared_ptr<trawl::ssh::host_keys> known_hosts(trawl::observer& log) const;
};

} // namespace service
