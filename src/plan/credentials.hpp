#pragma once

#include <trawl/plan.hpp>

#include <memory>
#include <string>

namespace trawl::plan {

/// What every SSH session of a run shares.
struct credentials {
    std::string user;
    ssh::private_key identity;
    std::shared_ptr<ssh::secret const> password;
    std::shared_ptr<ssh::host_keys> known;
};

/// Reads key, password and known_hosts. Blocks: for the pool.
credentials load_credentials(ssh_section const& from, observer* log);

} // namespace trawl::plan
