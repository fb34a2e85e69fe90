#pragma once

#include <trawl/sftp.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

/// Parts of a file on a server, for who has no whole local file to copy.
namespace trawl::sftp {

/// A file that the server holds open. Belongs to the executor of its client, which outlives it;
/// any number of reads and writes may run at once, on the client's budget of requests. Failures are
/// those of client.
class file {
public:
    file(file&&) noexcept;            ///< the other may only be destroyed or assigned to
    file& operator=(file&&) noexcept; ///< closes its own first, as the destructor does
    file(file const&) = delete;
    file& operator=(file const&) = delete;
    ~file(); ///< closes; does not wait

    std::uint64_t size() const noexcept; ///< as it was when it was opened
    /// Up to `most` bytes at `offset`, fewer only behind size(). errc::changed when the file has
    /// become shorter. All of them are in memory at a time.
    awaitable<std::string> read(std::uint64_t offset, std::size_t most);
    /// Returns when the server has taken all of it. Cancelled, any part may have been written.
    awaitable<> write(std::uint64_t offset, std::string bytes);
    /// To the server's disk (fsync@openssh.com); does nothing where the server has no such
    /// extension.
    awaitable<> sync();

private:
    struct state;
    friend awaitable<file> open_to_read(client& of, std::string path);
    friend awaitable<file> create_new(client& of, std::string path, std::uint32_t permissions);
    explicit file(std::unique_ptr<state> opened);
    std::unique_ptr<state> state_;
};

/// Opens a file that is there.
awaitable<file> open_to_read(client& of, std::string path);
/// Makes a file to write to. One that is there stays, and is a failure (§6.3, SSH_FXF_EXCL).
awaitable<file> create_new(client& of, std::string path, std::uint32_t permissions);

} // namespace trawl::sftp
