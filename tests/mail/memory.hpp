#pragma once

#include <fstream>
#include <string>

// What this process holds. Sanitizers hold much more.
namespace trawl::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool memory_is_ours = false;
#else
inline constexpr bool memory_is_ours = true;
#endif

/// kB of "VmHWM" (the peak), "VmRSS" and the like.
inline long memory(std::string const& what) {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (word == what + ":") {
            long size = 0;
            status >> size;
            return size;
        }
    return 0;
}

inline void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5\n"; }

} // namespace trawl::test
