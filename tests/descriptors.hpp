#pragma once

#include <cstddef>
#include <filesystem>
#include <iterator>

namespace trawl::test {

/// How many this process has, that of the look itself included: for comparing two looks.
inline std::size_t open_descriptors() {
    std::filesystem::directory_iterator const all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

} // namespace trawl::test
