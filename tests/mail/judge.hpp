#pragma once

#include <array>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

namespace trawl::test {

/// What a shell command writes to standard output.
inline std::string output_of(std::string const& command) {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> const pipe(popen(command.c_str(), "r"), pclose);
    if (!pipe) throw std::runtime_error("popen");
    std::string said;
    std::array<char, 4096> block;
    while (auto const size = std::fread(block.data(), 1, block.size(), pipe.get()))
        said.append(block.data(), size);
    return said;
}

} // namespace trawl::test
