#pragma once

#include "cli/sftp_job.hpp"

#include <trawl/sftp.hpp>

#include <string>
#include <vector>

namespace trawl::cli {

/// A name, escaped so that it neither breaks its line nor drives a terminal.
std::string on_one_line(std::string_view name);

/// "-rw-r--r--" of st_mode, as ls(1) shows it.
std::string mode_text(std::uint32_t permissions);

/// The work of `trawl sftp ls`: files that match `remote` (paths and patterns), and what is in the
/// folders among them. `all` outlives it.
sftp_work list_work(sftp_round& all, std::vector<std::string> remote);

} // namespace trawl::cli
