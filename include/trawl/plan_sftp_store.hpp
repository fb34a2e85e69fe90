#pragma once

#include <trawl/backup_store.hpp>
#include <trawl/sftp.hpp>

#include <asio/any_io_executor.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

/// Backups on a server: the store of backup_store.hpp over SFTP.
namespace trawl::plan {

/// sftp://[USER@]HOST[:PORT]/PATH; "/~/PATH" begins at the login's home.
struct sftp_place {
    std::string user;                  ///< empty: not said
    std::string host;                  ///< name or address, without brackets
    std::optional<std::uint16_t> port; ///< absent: not said
    std::string path;                  ///< absolute, or relative to the home of the login

    /// The place as it is written above, for messages.
    std::string url() const;
};
/// nullopt for what does not begin with "sftp:". Throws error(bad_target) for a place that is none:
/// no "//", no host, several, no path, a password (which everybody would see).
std::optional<sftp_place> parse_sftp_place(std::string_view text);

/// A folder on a server. Streams: a backup needs no room on this machine, and of an archive no more
/// than 8 MiB are in memory. As safe as the server lets it be:
///
/// - temporary names; then fsync@openssh.com, when the server has it; then a link to the final name
///   (hardlink@openssh.com), which never replaces anything, or a rename; posix-rename@openssh.com
///   for what is to be replaced. Without these extensions two steps take the place of one. SFTP
///   cannot sync a folder: after a power failure of the server the newest names may be missing.
/// - the lock is a file made with SSH_FXF_EXCL that says which process has it. It is left behind
///   when the connection or this process ends before it is removed. A run on the same machine sees
///   that the process is gone and takes it over; for one of another machine it is locked until
///   somebody removes the file.
///
/// The pool's threads wait for the client, so its executor must be that of a loop that runs as long
/// as a verb is under way. Client and session outlive the store and everything made by it.
/// Failures are those of sftp::client.
std::shared_ptr<backup::store> sftp_store(asio::any_io_executor loop, sftp::client& files,
                                          sftp_place const& place);

} // namespace trawl::plan
