#pragma once

namespace trawl::cli {

/// Gives up every capability of the process for good, once the sockets that need them are open; with
/// `keep_files`, the right to write files of others stays. Nothing happens in a process that has
/// none. Throws std::system_error.
void drop_capabilities(bool keep_files);

} // namespace trawl::cli
