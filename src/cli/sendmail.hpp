#pragma once

#include <string>
#include <vector>

namespace trawl::cli {

/// True when the program was called by the name sendmail, or its verb is that: its options are
/// then sendmail's, and its exit codes those of <sysexits.h>.
bool is_sendmail(std::vector<std::string> const& arguments);

/// Takes a message from standard input as sendmail(8) does and hands it to a smart host.
int run_sendmail(std::vector<std::string> arguments);

} // namespace trawl::cli
