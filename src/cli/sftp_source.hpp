#pragma once

#include "cli/sftp_job.hpp"

#include <trawl/mutex.hpp>

#include <exception>
#include <optional>

namespace trawl::cli {

/// The host whose files `trawl sftp copy` reads: connected when the first target needs it, and one
/// session for all of them.
class sftp_source {
public:
    /// Throws usage_error unless the errand is one host's. `all` outlives it.
    sftp_source(sftp_round& all, std::vector<sftp_errand> const& said);

    /// The client lives until leave(). Throws what the first try has thrown.
    awaitable<sftp::client*> files();
    std::vector<std::string> const& paths() const noexcept { return paths_; }
    void leave() noexcept;

private:
    awaitable<> connect();

    sftp_round& all_;
    targets::target at_;
    std::vector<std::string> paths_;
    mutex connecting_;
    std::exception_ptr failed_;
    std::optional<ssh::session> session_;
    std::optional<sftp::client> files_; // before the session it ends
};

} // namespace trawl::cli
