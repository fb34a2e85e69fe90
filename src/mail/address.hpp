#pragma once

#include <trawl/mime.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::mime::detail {

/// Why `address` is no addr-spec (RFC 5321 §4.1.2) nor a bare local part; empty when it is one. The
/// null path is not. `utf8`: one of RFC 6531 will do, which only SMTPUTF8 carries; a bare local part
/// is ASCII all the same.
std::string address_fault(std::string_view address, bool utf8 = false);

/// The list that `text` is (RFC 5322 §3.4); nullopt if it is none, or an empty one.
std::optional<std::vector<address>> find_addresses(std::string_view text);

/// The list that a stranger's unfolded header value is, display names decoded (RFC 2047).
std::optional<std::vector<address>> read_addresses(std::string_view value);

/// Throws error(errc::forbidden_character) for CR, LF and NUL, and errc::not_utf8. `what` names the
/// value.
void require_header_text(std::string_view what, std::string_view utf8);

/// `value` for a message: control characters as \xNN, at most 80 bytes.
std::string shown(std::string_view value);

/// Behind the last '@'; empty for a bare local part.
std::string_view domain_of(std::string_view address);

} // namespace trawl::mime::detail
