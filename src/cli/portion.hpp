#pragma once

#include "json/record.hpp"

#include <trawl/targets.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace trawl::cli {

/// Which part of which sweep: what a summary and a state file say, so that parts of different
/// sweeps are never mixed.
///
///     "shard":{"index":0,"count":4},"seed":1234,"list":"9f86d081884c7d65"
struct portion {
    std::uint64_t list = 0;            ///< targets::list::fingerprint()
    std::optional<std::uint64_t> seed; ///< of the shuffled order; absent as listed
    targets::shard part;

    portion() = default;
    portion(targets::list const& of, targets::order const& how)
        : list(of.fingerprint()), seed(how.seed), part(how.part) {}

    /// Adds the three fields.
    void describe(json::record& made) const;
    /// Reads them; nullopt when one is missing or is not what describe() writes.
    static std::optional<portion> read(boost::json::object const& from);

    /// What differs in `other`, in words ("seed 7 instead of 5"); empty when nothing does but the
    /// shard's index.
    std::string unlike_sweep(portion const& other) const;
};

/// A whole number of a record, whichever of its types JSON has chosen; nullopt when it is absent,
/// negative or no whole number.
std::optional<std::uint64_t> whole_number(boost::json::object const& from, std::string_view name);

} // namespace trawl::cli
