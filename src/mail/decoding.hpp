#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

// What encoding.hpp and header_line.hpp do, undone, and as tolerant as mail is.
namespace trawl::mime::detail {

/// The bytes of base64; what is not of its alphabet is skipped, padding ends it.
std::string base64_decoded(std::string_view text);

/// The bytes of quoted-printable; line ends become CRLF, blanks before them and soft breaks are
/// dropped, and a '=' that begins no escape stays.
std::string quoted_printable_decoded(std::string_view text);

/// The text of a header field's value, folds undone: encoded-words (RFC 2047) of a charset that is
/// known are decoded wherever they stand, 8-bit bytes are read as as_utf8 does. UTF-8 without CR, LF
/// and NUL.
std::string decoded_text(std::string_view value);

/// How long the encoded-word is that begins `text`; 0 when none does.
std::size_t encoded_word_length(std::string_view text);

/// The value of a hexadecimal digit.
std::optional<unsigned> hex_digit(char c);

} // namespace trawl::mime::detail
