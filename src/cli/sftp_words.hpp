#pragma once

#include "cli/login.hpp"
#include "cli/ssh_fan_out.hpp"

#include <trawl/targets.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace trawl::cli {

/// What the command line said.
struct sftp_words {
    std::vector<std::string> names, excludes; ///< names: sources, and last the destination if any
    login_words login;
    fan_out_options pace;
    bool recursive = false, preserve = false, resume = false, sync = false;
    bool details = false;                 ///< ls -l
    bool remove = false, dry_run = false; ///< of sync
};

/// TARGET:REMOTE, split at the first ':' that is not inside brackets. REMOTE is empty for the
/// login's home.
struct remote_place {
    std::string target, path;
};

/// True when `word` names files of hosts, a ':' outside brackets, and neither '/' nor '.' in
/// front ("./a:b" is local).
bool is_remote(std::string_view word);

/// Throws usage_error when `word` has no such ':' or nothing before it.
remote_place parse_place(std::string_view word);

/// The last part of a path: "c" of "/a/b/c/". Empty, "." or ".." when it has no name of its own.
std::string last_name(std::string_view path);

/// Hosts, and what to copy from or to each of them.
struct sftp_errand {
    targets::list hosts;
    std::vector<std::string> remote; ///< get: paths and patterns; put: the one destination
};

/// What `put` is to do: one errand. Throws usage_error, or error for targets that cannot be read.
sftp_errand put_errand(sftp_words const& said);
/// What is to be read from the first `count` names: an errand for each target expression, in the
/// order of the words.
std::vector<sftp_errand> read_errands(sftp_words const& said, std::size_t count);
/// What `get` is to do: of all but the last name.
std::vector<sftp_errand> get_errands(sftp_words const& said);

} // namespace trawl::cli
