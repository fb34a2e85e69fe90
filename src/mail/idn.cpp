#include "mail/idn.hpp"

#include "mail/address.hpp"
#include "mail/characters.hpp"
#include "mail/encoding.hpp"

#include <trawl/error.hpp>
#include <trawl/mime.hpp>

#include <fmt/format.h>

#include <idn2.h>

#include <algorithm>
#include <memory>

namespace trawl::mime::detail {

std::string to_ascii(std::string_view domain) {
    if (is_ascii(domain)) return std::string(domain);
    constexpr int flags = IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL;
    std::string const terminated(domain);
    char* made = nullptr;
    int const failure = domain.find('\0') == std::string_view::npos
                            ? idn2_to_ascii_8z(terminated.c_str(), &made, flags)
                            : static_cast<int>(IDN2_DISALLOWED);
    std::unique_ptr<char, void (*)(void*)> const owner(made, idn2_free);
    // UTS 46 maps some characters to what no host name may hold (U+2100 to "a/c"); libidn2's rules
    // of STD 3 would drop it silently.
    auto const allowed = [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; };
    std::string_view const result = made ? made : "";
    auto const why = failure != IDN2_OK ? failure : static_cast<int>(IDN2_DISALLOWED);
    if (failure != IDN2_OK || result.empty() || !std::all_of(result.begin(), result.end(), allowed))
        throw error(errc::bad_address, fmt::format("domain \"{}\"", shown(domain)),
                    idn2_strerror(why));
    return std::string(result);
}

std::optional<std::string> ascii_address(std::string_view address) {
    if (is_ascii(address)) return std::string(address);
    auto const at = address.rfind('@');
    if (at == address.npos || !is_ascii(address.substr(0, at))) return std::nullopt;
    try {
        return std::string(address.substr(0, at + 1)) + to_ascii(address.substr(at + 1));
    } catch (error const&) {
        return std::nullopt;
    }
}

} // namespace trawl::mime::detail
