#pragma once

#include <string>
#include <vector>

namespace trawl::cli {

/// Names and addresses in the fewest words that the target grammar has for them, in order of first
/// mention of each kind: node1 node2 node3 10.0.0.1 10.0.0.2 -> "node[1-3],10.0.0.1-2". Numbers
/// keep their zeros: n08 n09 n10 -> "n[08-10]".
std::string fold_names(std::vector<std::string> const& names);

} // namespace trawl::cli
