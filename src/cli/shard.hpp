#pragma once

#include <trawl/targets.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace trawl::cli {

/// Looks a variable of the environment up; nullopt when it is not set.
using variables = std::function<std::optional<std::string>(char const* name)>;
/// getenv(3).
std::optional<std::string> process_variable(char const* name);

/// The value of --shard: "I/N", 0 <= I < N, or "auto/N", where the job engine that started this
/// process says I and nothing else: the variables of Slurm arrays, Kubernetes indexed jobs, AWS,
/// Google and Nomad batches, MPI ranks, Grid Engine, PBS and LSF arrays.
///
/// N is always written out: an array whose size changed would otherwise sweep other parts without a
/// word. Where the engine tells the size of the array it must be N. Throws usage_error with one
/// line when no variable is set, several disagree, one is no number, or its index is not below N.
targets::shard read_shard(std::string_view text, variables const& look = process_variable);

/// The seed of a shuffled order when none was given: machines with the same list agree on it
/// without talking. Below 2^53, so that every reader of JSON keeps all of it.
std::uint64_t seed_of(targets::list const& list);

} // namespace trawl::cli
