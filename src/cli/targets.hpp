#pragma once

#include <trawl/targets.hpp>

#include <string>
#include <vector>

namespace trawl::cli {

/// The targets that the words of a command line mean: the grammar of trawl::targets, `@FILE` (one
/// or more targets a line, `#` begins a comment) and `-` (the same from standard input, once).
/// `excludes` are removed and may be files too. Throws error(errc::bad_target) that names the
/// word's number or FILE:LINE:COLUMN, and the system's error for a file that cannot be read. Blocks
/// while it reads.
targets::list read_targets(std::vector<std::string> const& words,
                           std::vector<std::string> const& excludes = {});

} // namespace trawl::cli
