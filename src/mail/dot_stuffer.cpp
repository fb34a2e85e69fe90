#include "mail/dot_stuffer.hpp"

#include <cstdint>
#include <cstring>

namespace trawl::smtp::detail {

void dot_stuffer::write(std::string_view chunk, std::string& out) {
    while (!chunk.empty()) {
        if (after_cr_ && chunk.front() == '\n') chunk.remove_prefix(1);
        after_cr_ = false;
        if (chunk.empty()) return;
        if (dots_ && line_start_ && chunk.front() == '.') out += '.';
        // memchr twice is several times faster than find_first_of.
        auto const* const lf =
            static_cast<char const*>(std::memchr(chunk.data(), '\n', chunk.size()));
        auto end = lf ? static_cast<std::size_t>(lf - chunk.data()) : chunk.size();
        if (auto const* const cr = static_cast<char const*>(std::memchr(chunk.data(), '\r', end)))
            end = static_cast<std::size_t>(cr - chunk.data());
        line_start_ = end < chunk.size();
        if (line_start_ && chunk.substr(end, 2) == "\r\n") { // as it should be: one copy
            out += chunk.substr(0, end + 2);
            chunk.remove_prefix(end + 2);
            continue;
        }
        out += chunk.substr(0, end);
        if (!line_start_) return;
        out += "\r\n";
        after_cr_ = chunk[end] == '\r';
        chunk.remove_prefix(end + 1);
    }
}

void dot_stuffer::finish(std::string& out) {
    if (!line_start_) out += "\r\n";
    if (dots_) out += ".\r\n";
}

bool has_8bit(std::string_view bytes) noexcept {
    std::uint64_t all = 0;
    while (bytes.size() >= sizeof all) {
        std::uint64_t word;
        std::memcpy(&word, bytes.data(), sizeof word);
        all |= word;
        bytes.remove_prefix(sizeof word);
    }
    for (char c : bytes) all |= static_cast<unsigned char>(c);
    return all & 0x8080808080808080;
}

} // namespace trawl::smtp::detail
