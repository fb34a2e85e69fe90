#pragma once

#include <span>
#include <stdexcept>
#include <string_view>

/// The parsers that read what a stranger wrote, each behind one function that takes any bytes. It
/// checks what must hold whatever comes; libFuzzer (fuzz.cpp) and the suite `fuzz`
/// (test_fuzz.cpp) call the same functions.
namespace trawl::fuzz {

/// Thrown when a property does not hold. Not a trawl::error: those are answers.
struct broken : std::logic_error {
    using std::logic_error::logic_error;
};

struct entry {
    std::string_view name; ///< also the corpus folder and the end of the libFuzzer program's name
    void (*run)(std::string_view bytes);
};

std::span<entry const> entries();

} // namespace trawl::fuzz
