#pragma once

#include <trawl/backup.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace trawl::backup::detail {

/// Compresses `plain` into raw deflate blocks that end as zlib's Z_FULL_FLUSH leaves them: on a
/// byte, none of them final, so that whatever begins with an empty window may follow (RFC 1951).
/// Thread-safe. Not more bytes than stored blocks would take.
std::string deflate_block(std::string_view plain, level effort);

/// Where in a raw deflate stream its final block begins and where that ends, in bits; nullopt when
/// the stream is not sound or not at its end. Walks the symbols and produces nothing.
struct final_block {
    std::size_t begin = 0, end = 0;
};
std::optional<final_block> find_final_block(std::string_view stream);

} // namespace trawl::backup::detail
