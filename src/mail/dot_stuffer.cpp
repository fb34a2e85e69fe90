#include "mail/dot_stuffer.hpp"

#include <cstdint>
#include <cstring>

namespace trawl::smtp::detail {
namespace {

/// A vector of GCC and Clang: SSE2, NEON, or what the machine has instead. A comparison gives -1 for
/// true.
using vector = signed char __attribute__((vector_size(16)));

vector load(char const* from) noexcept {
    vector some;
    std::memcpy(&some, from, sizeof some);
    return some;
}

bool any(vector some) noexcept {
    std::uint64_t halves[2];
    std::memcpy(halves, &some, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

/// How many of `text`'s bytes, whose first is no LF, can go as they are: those before a CR or LF that
/// stands alone, with `dots` also before a dot at a line's begin. Most messages can from end to end.
std::size_t fit_length(std::string_view text, bool dots) noexcept {
    std::size_t at = 0;
    auto const* const bytes = text.data();
    for (; at + sizeof(vector) < text.size(); at += sizeof(vector)) {
        auto const now = load(bytes + at), next = load(bytes + at + 1);
        vector wrong = (now == '\r') ^ (next == '\n');
        if (dots) wrong |= (now == '\n') & (next == '.');
        if (any(wrong)) break;
    }
    for (; at + 1 < text.size(); ++at) {
        char const now = bytes[at], next = bytes[at + 1];
        if ((now == '\r') != (next == '\n') || (dots && now == '\n' && next == '.')) break;
    }
    auto const fit = at + 1 < text.size() ? at + 1 : text.size();
    return fit > 0 && bytes[fit - 1] == '\r' ? fit - 1 : fit; // what follows it decides
}

} // namespace

void dot_stuffer::write(std::string_view chunk, std::string& out) {
    while (!chunk.empty()) {
        if (after_cr_ && chunk.front() == '\n') chunk.remove_prefix(1);
        after_cr_ = false;
        if (chunk.empty()) return;
        if (dots_ && line_start_ && chunk.front() == '.') out += '.';
        auto const fit = chunk.front() == '\n' ? 0 : fit_length(chunk, dots_);
        if (fit > 0) {
            out += chunk.substr(0, fit);
            line_start_ = chunk[fit - 1] == '\n';
            chunk.remove_prefix(fit);
            continue;
        }
        out += "\r\n";
        line_start_ = true;
        after_cr_ = chunk.front() == '\r';
        chunk.remove_prefix(1);
    }
}

void dot_stuffer::finish(std::string& out) {
    if (!line_start_) out += "\r\n";
    if (dots_) out += ".\r\n";
}

bool has_wire_lines(std::string_view text) noexcept {
    if (text.empty()) return true;
    return text.front() != '\n' && text.back() == '\n' && fit_length(text, false) == text.size();
}

bool has_8bit(std::string_view bytes) noexcept {
    constexpr auto size = sizeof(vector);
    vector all{}, more{};
    for (; bytes.size() >= 2 * size; bytes.remove_prefix(2 * size)) // a pair is ready at a time
        all |= load(bytes.data()), more |= load(bytes.data() + size);
    unsigned rest = 0;
    for (char c : bytes) rest |= static_cast<unsigned char>(c);
    return any((all | more) < 0) || rest > 127;
}

} // namespace trawl::smtp::detail
