#pragma once

#include <optional>
#include <string>
#include <string_view>

// Text of any charset as UTF-8, by the C library's iconv.
namespace trawl::mime::detail {

/// The name that IANA prefers for what people write (`utf8`, `ascii`), in lower case; other names
/// unchanged but for the case.
std::string canonical_charset(std::string_view name);

/// `bytes` as UTF-8, with U+FFFD for what is none in `charset`; nullopt for a charset that nobody
/// here knows. US-ASCII with 8-bit bytes is taken for what it most likely is, see as_utf8.
std::optional<std::string> to_utf8(std::string_view bytes, std::string_view charset);

/// `bytes` if they are UTF-8, else read as Windows-1252, the charset of most mail that does not say
/// which.
std::string as_utf8(std::string_view bytes);

} // namespace trawl::mime::detail
