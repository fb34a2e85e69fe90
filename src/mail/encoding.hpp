#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// Bytes on their way into a message: pure functions, no I/O (RFC 2045 §6, RFC 3629).
namespace trawl::mime::detail {

/// Bytes of the UTF-8 character that begins `text`; 0 when none does (RFC 3629: no surrogates,
/// shortest form).
std::size_t utf8_length(std::string_view text) noexcept;
bool is_utf8(std::string_view text) noexcept;
bool is_ascii(std::string_view text) noexcept;

/// Every CRLF, CR and LF as CRLF; a text may come in chunks that are cut anywhere.
class line_ends {
public:
    void write(std::string_view chunk, std::string& out);

private:
    bool after_cr_ = false;
};
std::string with_crlf(std::string_view text);

std::string base64(std::string_view bytes);
/// base64 in lines of 76 with CRLF behind each (RFC 2045 §6.8). A text may come in chunks of
/// `base64_line` times n bytes, but for the last.
void append_base64_lines(std::string& out, std::string_view bytes);
constexpr std::size_t base64_line = 57;
/// How long that becomes.
std::uint64_t base64_size(std::uint64_t bytes) noexcept;

/// Quoted-printable (RFC 2045 §6.7) of text with CRLF line ends; a bare CR or LF is kept as what it
/// is. "." and "From " at a line's begin are encoded too, so that no server on the way changes them.
std::string quoted_printable(std::string_view text);

/// What a body needs to travel.
struct survey {
    std::uint64_t eight_bit = 0;    ///< bytes above 127
    std::uint64_t controls = 0;     ///< NUL, ESC, a bare CR or LF: neither tab nor line end
    std::uint64_t equals = 0;       ///< '='
    std::uint64_t longest_line = 0; ///< without its CRLF
};
survey look_at(std::string_view crlf_text) noexcept;

enum class encoding { seven_bit, eight_bit, quoted_printable, base64 };
std::string_view to_string(encoding e) noexcept;
/// The most readable encoding that is safe; `allow_8bit` if the way carries bytes above 127.
encoding choose(survey const& text, std::uint64_t size, bool allow_8bit) noexcept;

} // namespace trawl::mime::detail
