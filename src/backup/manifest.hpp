#pragma once

#include "backup/entry.hpp"

#include <trawl/backup.hpp>

#include <cstdint>
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
    std::string manifest; ///< file name
    digest manifest_hash; ///< of the whole file; none for the manifest's own link
};

/// The state of a source at one moment, and where its content is.
///
///     {"format":1,...,"chain":[{...},...]}          header, one line
///     [path,type,mode,uid,gid,size,mtime_ns,ctime_ns,inode,hash,archive,flags]
///     [..., {"to":TARGET,"link":LEADER,"device":N,"attributes":{NAME:VALUE}}]
///     {"deleted":path}                              gone since the backup before
///     {"error":path,"message":text}
///     {"end":true,"lines":N,"sha256":"..."}         of every byte before this line
///
/// Entries are sorted by path_before. A path that is not UTF-8 is {"b64":"..."}.
/// `archive` is an index into the chain, null without content.
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

std::string serialize(manifest const& state);

/// nullopt when a byte is missing, added or changed; `complaint` then says which line and what.
std::optional<manifest> parse_manifest(std::string_view bytes, std::string& complaint);

/// The header alone (no entries), for choosing among many; the rest is not looked at.
std::optional<manifest> parse_header(std::string_view first_line, std::string& complaint);

} // namespace trawl::backup::detail
