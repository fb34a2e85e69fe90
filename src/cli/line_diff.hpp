#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::cli {

/// The lines of `from` that `to` lacks, behind '-', and those it has instead, behind '+', in order:
/// as few as possible. nullopt when the texts differ in too much to find out quickly (0.5 ms).
std::optional<std::vector<std::string>> line_diff(std::vector<std::string_view> const& from,
                                                  std::vector<std::string_view> const& to);

} // namespace trawl::cli
