#pragma once

#include <trawl/mime.hpp>

#include <string>
#include <string_view>

namespace trawl::mime::detail {

/// Why `address` is no addr-spec (RFC 5321 §4.1.2) nor a bare local part; empty when it is one. The
/// null path is not.
std::string address_fault(std::string_view address);

/// Throws error(errc::forbidden_character) for CR, LF and NUL, and errc::not_utf8. `what` names the
/// value.
void require_header_text(std::string_view what, std::string_view utf8);

/// `value` for a message: control characters as \xNN, at most 80 bytes.
std::string shown(std::string_view value);

/// Behind the last '@'; empty for a bare local part.
std::string_view domain_of(std::string_view address);

} // namespace trawl::mime::detail
