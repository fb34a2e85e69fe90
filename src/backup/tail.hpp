#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trawl::backup::detail {

/// The name of a member that holds only what was appended to a file: "PATH.trawl-tail@OFFSET". Who
/// extracts with tar alone gets it beside the file as it was before, and sees what it is.
struct tail_name {
    std::string path;         ///< of the file
    std::uint64_t offset = 0; ///< where in it the member's bytes belong: its size before

    std::string text() const { return path + mark.data() + std::to_string(offset); }
    /// nullopt for any other name.
    static std::optional<tail_name> parse(std::string_view member);

    static constexpr std::string_view mark = ".trawl-tail@";
};

/// The extended attribute that such a member has, as a file of that name from elsewhere has not.
inline constexpr char const* tail_attribute = "user.trawl.tail";

} // namespace trawl::backup::detail
