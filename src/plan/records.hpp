#pragma once

#include "json/record.hpp"

#include <trawl/plan.hpp>

namespace trawl::plan {

/// The records of `trawl run --json` (DESIGN: "The command line").
json::record to_record(host_result const& result);
json::record to_record(std::string const& name, backup::report const& made);
/// An archive that could not be made: kind and file are null.
json::record to_record(std::string const& name, std::string const& why);
json::record to_record(smtp::receipt const& sent, smtp::recipient const& one);
/// Without its last field, `exit`.
json::record to_record(summary const& totals);

} // namespace trawl::plan
