#pragma once

#include <trawl/backup.hpp>
#include <trawl/backup_store.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

/// What is left when the manifests are lost: the archives alone, as tar would extract them.
namespace trawl::backup {

/// Of extract().
struct extract_options {
    std::vector<std::filesystem::path> archives; ///< .tar, .tar.gz or .tar.zst, or one of
                                                 ///< these encrypted, from old to new
    std::filesystem::path target;                ///< new or existing
    std::shared_ptr<store_key const> key;        ///< to encrypted ones
    observer* watch = nullptr; ///< progress in "bytes" of the archives, warnings; not owned
};

/// What extract() has put in place.
struct extract_report {
    std::uint64_t entries = 0;   ///< members put in place
    std::uint64_t bytes = 0;     ///< content written
    bool corrupt = false;        ///< an archive is damaged (errc::corrupt, exit 13)
    std::vector<problem> errors; ///< members that were refused or could not be made, damage
    std::vector<problem> notes;  ///< no failure: what only root can set and was left out
};

/// Extracts one archive after the other, whoever wrote them: files, folders, links, devices, times,
/// modes, attributes, ACLs, as root owners. The last member of a name counts. What was deleted
/// between two backups comes back, for only manifests know of it: use restore() when there is one.
///
/// What an append_delta backup has of a file that grew is put behind what an earlier archive has
/// brought of it, else named as an error.
///
/// Nothing is made outside `target`: a name that is absolute or has "..", a way through a symbolic
/// link, a hard link to such a place, or content larger than the room there is (a bomb) is refused
/// and named, and all other members are extracted. Zeros are written as holes. Damage costs what is
/// behind it in its archive.
///
/// Throws error: no_key, wrong_key, the system's code for an archive that cannot be opened or a target that cannot be
/// written. Cancelling leaves whole files.
awaitable<extract_report> extract(offload_pool& cpu, extract_options configuration);

} // namespace trawl::backup
