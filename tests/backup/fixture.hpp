#pragma once

#include "test.hpp"

#include <trawl/backup.hpp>
#include <trawl/backup_extract.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// Folders to try backups on, and a look at them that misses nothing a restore should bring back.
namespace trawl::test {

enum class medium { disk, memory };

/// A folder of its own under /tmp (or in memory), removed at the end.
class scratch {
public:
    explicit scratch(medium on = medium::memory);
    scratch(scratch const&) = delete;
    ~scratch();
    std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
    std::filesystem::path const& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
};

void put(std::filesystem::path const& file, std::string_view content);
std::string get(std::filesystem::path const& file);
/// Bytes that do not compress, the same for the same seed.
std::string noise(std::size_t size, unsigned seed = 1);
void set_mtime(std::filesystem::path const& file, std::int64_t ns);

/// Files, folders, links, odd names, holes, times, modes: what a backup may meet.
void make_hard_tree(std::filesystem::path const& root);
/// A plain tree of `files` small files in some folders.
void make_plain_tree(std::filesystem::path const& root, unsigned files, unsigned seed = 1);

/// One line for each object: type, mode, owner, size, time to the nanosecond, content, links,
/// attributes.
using facts = std::map<std::string, std::string>;
facts look_at(std::filesystem::path const& root);
/// The paths that differ, each with both lines; empty when equal.
std::string difference(facts const& expected, facts const& found);

/// Noon of a day, local time. 2026-11-23 is a Monday.
std::chrono::system_clock::time_point noon(int year, int month, int day);

backup::report back_up(backup::options configuration, std::size_t threads = 2);
backup::restore_report put_back(backup::restore_options configuration, std::size_t threads = 2);
backup::verify_report verify(std::filesystem::path const& archives, std::size_t threads = 2);
backup::extract_report extract(std::vector<std::filesystem::path> archives,
                               std::filesystem::path const& target);
/// Options for `source` into `destination` on a Tuesday.
backup::options from_to(std::filesystem::path const& source,
                        std::filesystem::path const& destination);
backup::restore_options restoring(std::filesystem::path const& archives,
                                  std::filesystem::path const& target);

/// Runs a command of the shell with the words quoted; its exit status.
int command(std::vector<std::string> const& words);
/// The names in a folder, sorted.
std::vector<std::string> names(std::filesystem::path const& folder);

/// The error_code that `body()` throws as trawl::error; default when it throws none.
template <class Body>
std::error_code thrown(Body body) {
    try {
        body();
    } catch (std::system_error const& failure) {
        return failure.code();
    }
    return {};
}

} // namespace trawl::test
