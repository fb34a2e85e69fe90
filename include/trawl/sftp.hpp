#pragma once

#include <trawl/async.hpp>
#include <trawl/error.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/ssh.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// File transfer over an SSH session: SFTP version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's
/// extensions, many requests in flight.
namespace trawl::sftp {

namespace detail {
class connection;
struct client_access;
} // namespace detail

/// What the server can answer (§7; the numbers are those of the protocol), and what is wrong with
/// an answer. A deadline that passed is trawl::errc::timed_out.
enum class errc {
    end_of_file = 1,
    no_such_file = 2,
    permission_denied = 3,
    failure = 4, ///< anything else, the server's words may tell
    bad_message = 5,
    no_connection = 6,
    connection_lost = 7, ///< also: the server has closed its side
    unsupported = 8,     ///< by this server
    protocol = 100,      ///< the server's bytes are no SFTP
    unsafe_name,         ///< the server names a file that would lie outside its folder
    changed,             ///< the file became shorter while it was read
    not_regular,         ///< no regular file
    is_folder,           ///< a folder, and transfer_options.recursive is not set
    limit,               ///< a folder or tree larger than the bounds in options
    in_the_way,          ///< a folder where sync has a file, or the other way round
};

std::error_category const& category() noexcept; ///< "trawl.sftp"
/// `code` in that category.
std::error_code make_error_code(errc code) noexcept;

/// A failure of one operation: what() reads
/// "sftp 10.0.0.7:22 open /backup/x: permission denied (Permission denied)".
class failure : public error {
public:
    /// `operation`: "open"; `path`: the file on the server; `said`: the server's words.
    failure(std::error_code code, std::string const& peer, std::string_view operation,
            std::string path, std::string said = {});

    /// The file on the server.
    std::string const& path() const noexcept { return path_; }
    /// The code as one word for a record: "permission_denied", "timed_out".
    std::string_view word() const noexcept;

private:
    std::string path_;
};

/// Owner and group by the server's numbers (§5).
struct ownership {
    /// Uid and gid.
    std::uint32_t user = 0, group = 0;
    friend bool operator==(ownership const&, ownership const&) = default;
};

/// Seconds since 1970; the protocol has 32 bits for them.
struct file_times {
    /// Of the last read and the last write.
    std::uint32_t access = 0, modification = 0;
    friend bool operator==(file_times const&, file_times const&) = default;
};

/// What is known of a file, or what to set (§5). Servers may leave any part out.
struct attributes {
    std::optional<std::uint64_t> size{};        ///< bytes
    std::optional<ownership> owner{};           ///< numbers on the server
    std::optional<std::uint32_t> permissions{}; ///< with the file's type, as st_mode of stat(2)
    std::optional<file_times> times{};          ///< to the second

    /// False, as the next two, when the server did not tell permissions.
    bool is_folder() const noexcept { return type() == 0040000; }
    /// A regular file.
    bool is_regular() const noexcept { return type() == 0100000; }
    /// A symbolic link.
    bool is_symlink() const noexcept { return type() == 0120000; }
    friend bool operator==(attributes const&, attributes const&) = default;

private:
    std::uint32_t type() const noexcept { return permissions.value_or(0) & 0170000; }
};

/// A file in a folder. Its name has no '/', and is neither "." nor "..".
struct entry {
    std::string name{}; ///< raw bytes
    /// Of a link itself, not of what it points to; as much as the server tells.
    attributes attrs{};
};

/// As statvfs(3) has it.
struct file_system {
    /// Bytes: the best size of a read, and the unit of the counts.
    std::uint64_t block_size = 0, fragment_size = 0;
    /// In units of fragment_size: all, free, and free for others than root.
    std::uint64_t blocks = 0, free_blocks = 0, available_blocks = 0;
    /// Inodes: all, free, and free for others than root.
    std::uint64_t files = 0, free_files = 0, available_files = 0;
    std::uint64_t longest_name = 0; ///< bytes of a file's name
    bool read_only = false;         ///< nothing can be written
};

/// How a client works.
struct options {
    offload_pool* blocking = nullptr; ///< local files are read and written there; without it on two
                                      ///< threads of the client's own. Not owned
    std::chrono::milliseconds timeout{
        60'000};               ///< the server may be silent for so long; zero: no bound
    std::size_t requests = 64; ///< reads and writes in flight, of all transfers, on each channel
    std::size_t block = 32 * 1024; ///< bytes of one of them; the server's limit may be lower
    /// What one channel may have on its way is less than a distant server could send: get() reads
    /// files of 8 MiB and more over so many channels of the session, where the round trip is
    /// `distant` or more. It takes no more than half of ssh::options.max_channels, and does with
    /// fewer where the server refuses. 1: never over several.
    std::size_t channels = 4;
    std::chrono::milliseconds distant{5}; ///< zero: wherever it is
    std::size_t max_entries = 1'000'000; ///< files of one folder, folders of a tree that is copied,
                                         ///< files of one that sync() looks at; more is a failure
};

/// What a transfer has done so far.
struct transferred {
    std::uint64_t files = 0; ///< whole ones
    std::uint64_t bytes = 0; ///< that went over the connection
    std::uint64_t skipped =
        0; ///< neither file nor folder, or a link to a folder; they are not copied
};

/// How put(), get() and copy() go about it.
struct transfer_options {
    bool recursive = false; ///< folders with all that is in them
    bool preserve = false;  ///< permissions, without set-id bits, and times as the source has them
    bool resume = false;    ///< go on with what an interrupted transfer with `resume` has left
    bool sync =
        false; ///< fsync before a file gets its name (some ms each), as an extension on the server
    std::size_t files_at_once = 64; ///< of a folder, 1 or more
    std::function<void(transferred const&)>
        progress{}; ///< after each piece; must not block or throw
};

/// The files of one host. All functions belong to one executor, that of its session; any number of
/// them may run at once, on a common budget of requests.
///
/// Paths on the server are bytes; relative ones begin at the login's home. Every failure of the
/// server is an sftp::failure that names the path, one of the connection may be an ssh::failure,
/// one of a local file is an error with the system's code. Cancelling any of them leaves client and
/// session usable.
class client {
public:
    /// The other may only be assigned to or destroyed then; not while it works.
    client(client&&) noexcept;
    /// Closes its own channel first.
    client& operator=(client&&) noexcept;
    client(client const&) = delete;
    client& operator=(client const&) = delete;
    ~client(); ///< closes the channel; does not wait

    awaitable<attributes> stat(std::string path);  ///< of what a link points to
    awaitable<attributes> lstat(std::string path); ///< of the link itself
    /// Sets those of `wanted` that are there, of what a link points to (§6.9).
    awaitable<> set_attributes(std::string path, attributes wanted);
    /// In the server's order. Throws errc::unsafe_name for a name that could lead out of the
    /// folder.
    awaitable<std::vector<entry>> listdir(std::string path);
    /// Makes a folder (§6.6); the server's umask applies. One that exists is a failure.
    awaitable<> mkdir(std::string path, std::uint32_t permissions = 0777);
    /// Removes an empty folder.
    awaitable<> rmdir(std::string path);
    awaitable<> remove(std::string path); ///< a file or link
    /// Replaces `to` at once where the server has posix-rename@openssh.com; else fails when it
    /// exists.
    awaitable<> rename(std::string from, std::string to);
    /// Makes `link`, which points to `target`: raw bytes that nobody resolves here.
    awaitable<> symlink(std::string target, std::string link);
    awaitable<> hardlink(std::string existing, std::string link); ///< hardlink@openssh.com
    /// What a link points to, as it was written.
    awaitable<std::string> readlink(std::string path);
    /// The absolute path as the server sees it (§6.11).
    awaitable<std::string> realpath(std::string path);
    awaitable<file_system> statvfs(std::string path); ///< statvfs@openssh.com
    /// Paths that match `pattern` (glob(7): * ? [] in any of its parts; no leading dot), sorted. A
    /// path without them is its own answer. Empty when nothing matches. What matches is kept, not
    /// the folders it is in; one of more than options.max_entries files is errc::limit.
    awaitable<std::vector<std::string>> glob(std::string pattern);

    /// Copies a file, or with `recursive` a folder, to the server under the name `remote`.
    ///
    /// A file is written under a temporary name in the same folder and renamed when it is whole:
    /// the name `remote` stands for the old file or the new one, also when the transfer is
    /// cancelled or fails; the temporary file is then removed, if the connection still allows it
    /// (with `resume` it stays, as ".NAME.trawl-part"). Where the server has no
    /// posix-rename@openssh.com, the old file goes a moment before the new one comes. The first
    /// failed file of a folder ends the transfer of the others.
    awaitable<transferred> put(std::filesystem::path local, std::string remote);
    /// With other options than the defaults.
    awaitable<transferred> put(std::filesystem::path local, std::string remote,
                               transfer_options how);

    /// Copies from the server in the same way: fsync and rename are those of the local file.
    /// Nothing is ever written outside `local`, whatever names the server tells.
    awaitable<transferred> get(std::string remote, std::filesystem::path local);
    /// With other options than the defaults.
    awaitable<transferred> get(std::string remote, std::filesystem::path local,
                               transfer_options how);

    /// True when the server has announced the extension ("posix-rename@openssh.com").
    bool supports(std::string_view extension) const;

private:
    friend awaitable<client> open(ssh::session&, options);
    friend struct detail::client_access;
    explicit client(std::shared_ptr<detail::connection> link);
    std::shared_ptr<detail::connection> link_;
};

/// Starts SFTP on a connected session; takes one of its channels until the client is destroyed.
/// Throws ssh::failure when the server has no SFTP.
awaitable<client> open(ssh::session& on);
/// With other options than the defaults.
awaitable<client> open(ssh::session& on, options how);

/// Copies a file, or with `recursive` a folder, from one server to another (or the same) through
/// this process, as put() does at its target: many requests in flight on both sides, in memory that
/// both options bound, each file whole or not at all. `resume` is errc::unsupported. Both clients
/// belong to one executor and outlive the call.
awaitable<transferred> copy(client& from, std::string path, client& to, std::string remote,
                            transfer_options how);

} // namespace trawl::sftp

template <>
struct std::is_error_code_enum<trawl::sftp::errc> : std::true_type {};
