#pragma once

#include "cli/sftp_job.hpp"

#include <string>
#include <vector>

namespace trawl::cli {

/// What `trawl sftp sync` is to do: LOCAL TARGET:REMOTE or the other way round. Throws usage_error.
struct sync_errand {
    bool up = false; ///< from here to the hosts
    sftp_errand where{};
    std::string local{};
};
sync_errand parse_sync(sftp_words const& said);

/// The work on one host. `all` outlives it.
sftp_work sync_work(sftp_round& all, sync_errand const& of);

} // namespace trawl::cli
