#pragma once

#include "backup/entry.hpp"
#include "backup/holes.hpp"

#include <trawl/backup_store.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::backup::detail {

/// Entries and data in, the bytes of a pax tar stream out. libarchive as a codec: no filter, no
/// file of its own. Names do not depend on the process's locale. One thread at a time.
class tar_writer {
public:
    tar_writer();
    ~tar_writer();

    /// Begins a member; entry::size bytes of data follow for a regular file with content. Sockets
    /// have no member: false. Throws std::runtime_error when libarchive cannot encode it.
    ///
    /// `map`: of a sparse file. All of its bytes are to be given all the same; those of holes are
    /// not stored.
    bool begin(entry const& what, std::vector<extent> const* map = nullptr);
    void data(std::string_view bytes);
    /// Ends the archive: two zero blocks.
    void finish();

    /// What has been encoded and not taken yet.
    std::string& pending() noexcept { return pending_; }

private:
    struct state;
    std::string pending_;
    std::unique_ptr<state> state_;
};

/// Reads a tar stream, plain, gzip or zstd. libarchive does not check gzip's
/// CRC: the caller compares hashes.
class tar_reader {
public:
    struct member {
        entry
            what; ///< path and link as in the archive, without trailing slashes and a leading "./"
        bool known = true;   ///< is of a type that an entry can have
        bool sparse = false; ///< has holes: takes less room than its size
    };

    /// `file` outlives the reader, which throws as it does.
    explicit tar_reader(stored_file const& file);
    ~tar_reader();

    /// The next member; nullopt at the end. Throws std::runtime_error with libarchive's words for
    /// damage.
    std::optional<member> next();
    /// The next piece of the member's content, holes as zeros; empty at its end. Valid until the
    /// next call.
    std::string_view data();
    /// Of the archive, up to now.
    std::uint64_t bytes_read() const noexcept;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::backup::detail
