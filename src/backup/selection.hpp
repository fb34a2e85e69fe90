#pragma once

#include "backup/manifest.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace trawl::backup::detail {

enum class choice : char {
    no,
    ancestor, ///< a folder on the way to what was chosen
    yes,
};

/// What `paths` choose of a state (none: everything), a choice for each entry, sorted as they are.
/// A path is relative to the source or absolute beneath it, "./" and a trailing slash are ignored;
/// what it names is chosen with all beneath. One that names nothing is a pattern: "*", "?" and
/// "[...]" within a component, "**" for any number of components. Sans I/O.
struct selection {
    std::vector<choice> choices;
    std::vector<std::string> unknown; ///< paths that choose nothing, as they were given
};
selection select(manifest const& state, std::vector<std::string> const& paths);

/// `path` as manifests write it.
std::string relative_to(std::string_view root, std::string path);

/// `path` agrees with a pattern as above.
bool matches(std::string_view pattern, std::string_view path);

} // namespace trawl::backup::detail
