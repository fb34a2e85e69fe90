#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trawl::ssh::detail {

/// RFC 4648 §4, with padding.
std::string to_base64(std::string_view bytes);
/// Refuses anything but whole groups of the standard alphabet with correct padding.
std::optional<std::string> from_base64(std::string_view text);

/// "SHA256:" and the base64 of the digest without padding.
std::string sha256_fingerprint(std::string_view blob);

} // namespace trawl::ssh::detail
