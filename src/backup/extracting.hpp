#pragma once

#include "backup/archive.hpp"
#include "backup/placing.hpp"
#include "backup/tail.hpp"

#include <trawl/backup_extract.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::backup::detail {

/// An extraction as plain blocking steps for the pool: prepare once, then advance, a member at a
/// time, until it says false.
class extracting {
public:
    explicit extracting(extract_options o) : options_(std::move(o)) {}

    void prepare(std::stop_token const& stop);
    bool advance(std::stop_token const& stop);

    extract_report result() &&;
    std::uint64_t bytes_done() const noexcept { return bytes_done_; }
    std::uint64_t bytes_wanted() const noexcept { return bytes_wanted_; }

private:
    std::unique_ptr<stored_file> open(std::filesystem::path const& archive) const;
    bool next_archive();
    void put(tar_reader::member const& found, std::stop_token const& stop);
    bool put_file(entry const& what, std::stop_token const& stop);
    bool put_tail(entry const& what, tail_name const& tail, std::stop_token const& stop);
    void put_data(placer::partial& into, entry const& what, std::uint64_t at,
                  std::stop_token const& stop);
    bool make_parents(std::string_view path);
    bool has_room(tar_reader::member const& found);
    void finish_folders();
    void refuse(std::string const& path, std::string const& why) {
        report_.errors.push_back({path, why});
    }

    extract_options options_;
    extract_report report_;
    descriptor target_;
    std::vector<std::unique_ptr<stored_file>>
        files_; ///< of the archives, open before anything is made
    std::size_t next_ = 0;
    std::optional<tar_reader> reader_;
    std::optional<placer> into_;
    std::vector<entry> folders_; ///< whose metadata comes last
    std::optional<std::string> parent_;
    std::uint64_t bytes_done_ = 0, bytes_wanted_ = 0;
};

} // namespace trawl::backup::detail
