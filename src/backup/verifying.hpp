#pragma once

#include "backup/archive.hpp"
#include "backup/hash.hpp"
#include "backup/repository.hpp"

#include <trawl/backup.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace trawl::backup::detail {

/// The check of all backups of a name, as plain blocking steps for the pool: prepare once, then
/// advance until it says false. A dated manifest and the archive that was written with it are
/// looked at together: what the manifest says is in its own archive is what the archive must hold.
class verifying {
public:
    explicit verifying(verify_options o) : options_(std::move(o)) {}

    void prepare(std::stop_token const& stop);
    /// A slice of the work; false when all is done.
    bool advance(std::stop_token const& stop);

    verify_report result() && { return std::move(report_); }
    std::uint64_t bytes_done() const noexcept { return report_.bytes; }
    std::uint64_t bytes_wanted() const noexcept { return bytes_wanted_; }

private:
    void next_manifest(std::stop_token const& stop);
    void check_parents(loaded const& found);
    void open_archive();
    void read_on(std::stop_token const& stop);
    void name_damaged(std::stop_token const& stop);
    void compare_members(tar_reader& reader, std::map<std::string, entry const*>& left,
                         std::stop_token const& stop);
    void check_latest(std::stop_token const& stop);
    void wrong(std::string const& what, std::string const& why) {
        report_.errors.push_back({what, why});
    }

    verify_options options_;
    verify_report report_;
    std::string shown_;
    descriptor folder_;
    std::vector<std::string> files_;       ///< dated manifests
    std::map<std::string, digest> hashes_; ///< of the manifests that are whole
    std::vector<loaded> parents_to_check_; ///< without their entries
    std::uint64_t bytes_wanted_ = 0;
    std::size_t next_ = 0;

    std::optional<loaded> now_; ///< whose archive is being read
    descriptor archive_;
    hasher hash_{hash::sha256};
    std::string buffer_;
};

} // namespace trawl::backup::detail
