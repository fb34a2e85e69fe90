#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace trawl::backup::detail {

/// Memory that this thread keeps, at least so large, with whatever was left in it; for one user at a
/// time, until its next call. Fresh memory for each block (pages, and zeros) costs a fifth of what
/// compressing fast does. Two uses have two numbers.
template <int Number = 0>
std::span<char> scratch(std::size_t bytes) {
    thread_local std::unique_ptr<char[]> memory;
    thread_local std::size_t size = 0;
    if (size < bytes) {
        memory.reset();
        size = 0;
        memory = std::make_unique_for_overwrite<char[]>(bytes);
        size = bytes;
    }
    return {memory.get(), bytes};
}

} // namespace trawl::backup::detail
