#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trawl::mime::detail {

/// The ASCII form of a domain in UTF-8 for DNS and for servers without SMTPUTF8: A-labels of
/// IDNA 2008 after UTS 46 (RFC 5891 §5). One that is ASCII already is returned as it is. Throws
/// error(errc::bad_address) for a domain that cannot be in DNS.
std::string to_ascii(std::string_view domain);

/// `address` in ASCII, its domain by to_ascii(); nullopt when its local part is not ASCII or its
/// domain cannot be in DNS.
std::optional<std::string> ascii_address(std::string_view address);

} // namespace trawl::mime::detail
