// libFuzzer's side: one program for each entry, which TRAWL_FUZZ_ENTRY names.
#include "entries.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    static auto const* const chosen = [] {
        for (auto const& e : trawl::fuzz::entries())
            if (e.name == TRAWL_FUZZ_ENTRY) return &e;
        std::abort();
    }();
    chosen->run({reinterpret_cast<char const*>(data), size});
    return 0;
}
