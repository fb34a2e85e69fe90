#pragma once

#include "cli/output.hpp"
#include "cli/portion.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

/// Puts the results of the N shards of a sweep together, or refuses to.
namespace trawl::cli::merge {

/// Why a file, or the set of them, is refused: one line that names the file.
struct refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// up, down, unreachable, unknown.
using counts = std::array<std::uint64_t, 4>;

/// One file that was read to its end and found whole: its last line is the only summary, every
/// target has its host record, and their statuses are those that the summary counts.
struct part {
    std::filesystem::path file;
    portion of;
    std::uint64_t targets = 0;
    counts by_status{};
    double elapsed = 0;     ///< seconds
    std::uint64_t body = 0; ///< bytes before the summary
    struct stat seen {};    ///< as it was when it was read
};

/// Longer lines are refused; a record of `trawl ping` has some 200 bytes.
inline constexpr std::size_t most_line = 1u << 20;

/// Reads and checks one file in constant memory. Throws refused, and error for what the system
/// refuses.
part inspect(std::filesystem::path const& file);

/// Throws refused unless `parts` are all the shards of one sweep, each once. Sorts them by index.
void check_set(std::vector<part>& parts);

/// Writes the parts' records in the order of the shards, then one summary. Throws refused when a
/// file has changed since inspect().
void write(std::vector<part> const& parts, output& to);

} // namespace trawl::cli::merge
