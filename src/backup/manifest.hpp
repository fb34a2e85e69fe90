#pragma once

#include "backup/entry.hpp"
#include "backup/hash.hpp"

#include <trawl/backup.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::backup::detail {

/// One backup of a chain: a full or an increment on the one before it.
struct chain_link {
    kind made = kind::full;
    std::int64_t created_ns = 0; ///< since 1970, UTC
    std::string archive;         ///< file name in the folder of the backups
    std::uint64_t bytes = 0;
    digest archive_hash;
    std::string manifest;              ///< file name
    digest manifest_hash;              ///< of the whole file; none for the manifest's own link
    std::uint64_t block_bytes = 0;     ///< plain bytes of each block but the last
    std::vector<std::uint32_t> blocks; ///< compressed bytes of each, in order

    /// At most so many bytes are in the plain tar stream.
    std::uint64_t plain_bytes() const noexcept { return block_bytes * blocks.size(); }
};

/// The state of a source at one moment, and where its content is.
///
///     {"format":1,...,"chain":[{...},...]}          header, one line
///     {"blocks":[N,...],"block_bytes":N}            one for each link of the chain
///     [path,type,mode,uid,gid,size,mtime_ns,ctime_ns,inode,hash,archive,offset,flags]
///     [..., {"to":TARGET,"link":LEADER,"device":N,"stored":N,"attributes":[[NAME,VALUE]],
///            "parts":[[archive,offset,bytes,hash],...]}]
///     {"deleted":path}                              gone since the backup before
///     {"error":path,"message":text}
///     {"end":true,"lines":N,"sha256":"..."}         of every byte before this line
///
/// Entries are sorted by path_before. A path that is not UTF-8 is {"b64":"..."}.
/// `archive` is an index into the chain, `offset` where the content begins in its plain tar stream;
/// both null without content. An archive is a row of blocks that can be inflated one by one: `blocks`
/// has their compressed sizes (the first one stands behind gzip's 10-byte header).
///
/// A sparse file is `stored` as GNU's format 1.0 has it, a map and the data between the holes, and
/// its hash is of these bytes: nobody has to read or hash gigabytes of zeros.
///
/// A file that grew may lie in `parts`, the tails of later archives behind what an older one has:
/// each has a hash of its own, `hash` is of their concatenation, and `archive` and `offset` are
/// those of the last.
struct manifest {
    std::string name;
    std::string root;              ///< the source's absolute path
    hash algorithm = hash::sha256; ///< of the entries; archives and manifests have SHA-256
    std::int64_t started_ns = 0;   ///< when the walk began, by the clock that stamps files
    std::vector<chain_link> chain; ///< from the full to this backup
    std::vector<entry> entries;
    std::vector<std::string> deleted;
    std::vector<problem> errors;

    chain_link const& self() const noexcept { return chain.back(); }
    entry const* find(std::string_view path) const noexcept;
};

/// Calls take(PIECE) for the text in pieces of some hundred KiB: all of it takes as much memory as
/// the state itself.
void serialize(manifest const& state, std::function<void(std::string_view)> const& take);
std::string serialize(manifest const& state);
/// The last line, behind `lines` others whose SHA-256 is `sum`.
std::string end_line(std::uint64_t lines, digest const& sum);

/// Takes a manifest in pieces of any size.
class manifest_parser {
public:
    void feed(std::string_view bytes);
    /// nullopt when a byte is missing, added or changed; `complaint` then says which line and what.
    /// Once, at the end.
    std::optional<manifest> finish(std::string& complaint);
    /// Of all that was fed; once, at the end.
    digest hash_of_all() { return sum_.finish(); }

private:
    void take_line(std::string_view line);
    void take_json(std::string_view line);

    manifest state_;
    std::size_t lines_ = 0;
    std::string carried_;      ///< the begin of a line
    hasher sum_{hash::sha256}; ///< of the lines up to here
    bool ended_ = false;
    std::string complaint_;
};
/// The same at once.
std::optional<manifest> parse_manifest(std::string_view bytes, std::string& complaint);

/// The header alone (no entries), for choosing among many; the rest is not looked at.
std::optional<manifest> parse_header(std::string_view first_line, std::string& complaint);

/// The header and the lists of blocks: a manifest without entries. `rest` becomes what follows them
/// in `bytes`. nullopt as above.
std::optional<manifest> parse_head(std::string_view bytes, std::string_view& rest,
                                   std::string& complaint);

/// Looks an entry up without parsing the others: `rest` are the lines behind the head, found by
/// halving, as they are sorted. nullopt when it is not there (empty complaint) or a line on the way
/// is damaged. The checksum of the file is not looked at: the entry's own hash tells what its
/// content should be.
std::optional<entry> find_entry(std::string_view rest, manifest const& head, std::string_view path,
                                std::string& complaint);

} // namespace trawl::backup::detail
