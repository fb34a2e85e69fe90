#include "cli/shard.hpp"

#include "cli/environment.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

namespace trawl::cli {
namespace {

/// How a job engine tells a process which one of many it is.
struct engine {
    char const* index;              ///< the variable
    std::uint64_t first = 0;        ///< its value in the first process
    char const* first_in = nullptr; ///< a variable that says so
    char const* count_in = nullptr; ///< a variable with the number of processes
    std::string_view unset = "";    ///< the value that means that there is no array
};

constexpr engine engines[] = {
    // sbatch --array=3 has the minimum 3: its count tells that this is not the array of 4 elements.
    {"SLURM_ARRAY_TASK_ID", 0, "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"},
    {"JOB_COMPLETION_INDEX"}, // Kubernetes, completionMode: Indexed
    {"AWS_BATCH_JOB_ARRAY_INDEX"},
    {"BATCH_TASK_INDEX", 0, nullptr, "BATCH_TASK_COUNT"}, // Google Batch
    {"CLOUD_RUN_TASK_INDEX", 0, nullptr, "CLOUD_RUN_TASK_COUNT"},
    {"NOMAD_ALLOC_INDEX"},
    {"OMPI_COMM_WORLD_RANK", 0, nullptr, "OMPI_COMM_WORLD_SIZE"},
    {"PMI_RANK", 0, nullptr, "PMI_SIZE"},
    {"PMIX_RANK"},
    {"SGE_TASK_ID", 1, nullptr, nullptr, "undefined"}, // Grid Engine counts from 1, always
    {"PBS_ARRAY_INDEX"},                               // qsub -J 0-3
    {"PBS_ARRAYID"},                                   // Torque: qsub -t 0-3
    {"LSB_JOBINDEX", 1, nullptr, nullptr, "0"},        // LSF counts from 1; 0 is no array
};

[[noreturn]] void refuse(std::string_view text, std::string const& why) {
    throw usage_error(fmt::format("--shard {}: {}", text, why));
}

std::uint64_t number(std::string_view text, char const* name, std::string const& value) {
    std::uint64_t read = 0;
    auto const end = value.data() + value.size();
    auto const [stop, failure] = std::from_chars(value.data(), end, read);
    if (failure != std::errc() || stop != end)
        refuse(text, fmt::format("{}=\"{}\" is no number", name, value));
    return read;
}

/// The index that `from` tells, counted from 0; nullopt when it tells nothing.
std::optional<std::uint64_t> index_of(engine const& from, std::string_view text,
                                      std::uint64_t count, variables const& look) {
    auto const value = look(from.index);
    if (!value || (!from.unset.empty() && *value == from.unset)) return {};
    auto const index = number(text, from.index, *value);
    auto first = from.first;
    if (from.first_in)
        if (auto const least = look(from.first_in)) first = number(text, from.first_in, *least);
    if (index < first)
        refuse(text, fmt::format("{}={} is less than {}, the first", from.index, index, first));
    if (index - first >= count)
        refuse(text,
               fmt::format("{}={} is shard {}, and {} shards end with {}: let the array begin "
                           "at {} and have {} elements",
                           from.index, index, index - first, count, count - 1, from.first, count));
    if (from.count_in)
        if (auto const size = look(from.count_in))
            if (auto const processes = number(text, from.count_in, *size); processes != count)
                refuse(text,
                       fmt::format("{}={}, not {}; to run some shards again write --shard I/{}",
                                   from.count_in, processes, count, count));
    return index - first;
}

targets::shard from_engine(std::string_view text, std::uint64_t count, variables const& look) {
    std::optional<targets::shard> part;
    char const* told_by = nullptr;
    for (auto const& from : engines) {
        auto const index = index_of(from, text, count, look);
        if (!index) continue;
        if (part && part->index != *index)
            refuse(text, fmt::format("{} says {} and {} says {}: write --shard I/{}", told_by,
                                     part->index, from.index, *index, count));
        part = targets::shard{*index, count};
        told_by = from.index;
    }
    if (part) return *part;
    std::string names;
    for (auto const& from : engines) names.append(names.empty() ? "" : ", ").append(from.index);
    refuse(text, fmt::format("no job engine says which shard this is (none of {} is set): write "
                             "--shard I/{}",
                             names, count));
}

} // namespace

std::optional<std::string> process_variable(char const* name) {
    if (auto const* value = std::getenv(name)) return value;
    return std::nullopt;
}

targets::shard read_shard(std::string_view text, variables const& look) {
    constexpr std::string_view automatic = "auto/";
    if (text.starts_with(automatic)) {
        std::uint64_t count = 0;
        auto const end = text.data() + text.size();
        auto const [stop, failure] = std::from_chars(text.data() + automatic.size(), end, count);
        if (failure == std::errc() && stop == end && count > 0)
            return from_engine(text, count, look);
    } else {
        try {
            return targets::shard::parse(text);
        } catch (error const&) { // said better below
        }
    }
    refuse(text, "a shard is I/N with 0 <= I < N, or auto/N");
}

std::uint64_t seed_of(targets::list const& list) { return list.fingerprint() >> 11; }

} // namespace trawl::cli
