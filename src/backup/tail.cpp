#include "backup/tail.hpp"

#include <charconv>

namespace trawl::backup::detail {

std::optional<tail_name> tail_name::parse(std::string_view member) {
    auto const at = member.rfind(mark);
    if (at == std::string_view::npos || at == 0 || member[at - 1] == '/') return std::nullopt;
    auto const digits = member.substr(at + mark.size());
    tail_name found{std::string(member.substr(0, at)), 0};
    auto const* end = digits.data() + digits.size();
    auto const [stop, failure] = std::from_chars(digits.data(), end, found.offset);
    if (failure != std::errc() || stop != end || found.text() != member) return std::nullopt;
    return found;
}

} // namespace trawl::backup::detail
