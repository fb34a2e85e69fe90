#pragma once

#include <sstream>
#include <string>
#include <vector>

namespace trawl::test {

/// The lines of `text`, without their ends.
inline std::vector<std::string> lines(std::string const& text) {
    std::vector<std::string> all;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
}

} // namespace trawl::test
