#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// Text on its way into a message: pure functions, no I/O (RFC 2045, RFC 2047, RFC 2231, RFC 5322
// §2.2.3).
namespace trawl::mime::detail {

/// Bytes of the UTF-8 character that begins `text`; 0 when none does (RFC 3629: no surrogates,
/// shortest form).
std::size_t utf8_length(std::string_view text) noexcept;
bool is_utf8(std::string_view text) noexcept;

/// Every CRLF, CR and LF as CRLF.
std::string with_crlf(std::string_view text);

std::string base64(std::string_view bytes);
/// base64 in lines of 76 with CRLF behind each (RFC 2045 §6.8).
std::string base64_lines(std::string_view bytes);

/// Quoted-printable of text with CRLF line ends (RFC 2045 §6.7). "." and "From " at a line's begin
/// are encoded too, so that no server on the way changes them.
std::string quoted_printable(std::string_view text);

/// What a body needs to travel.
struct survey {
    std::size_t eight_bit = 0;    ///< bytes above 127
    std::size_t controls = 0;     ///< NUL, ESC, ...: neither tab nor line end
    std::size_t equals = 0;       ///< '='
    std::size_t longest_line = 0; ///< without its CRLF
};
survey look_at(std::string_view crlf_text) noexcept;

enum class encoding { seven_bit, eight_bit, quoted_printable, base64 };
std::string_view to_string(encoding e) noexcept;
/// The most readable encoding that is safe; `allow_8bit` if the way carries bytes above 127.
encoding choose(survey const& text, std::size_t size, bool allow_8bit) noexcept;
std::string encoded(std::string_view crlf_text, encoding e);

/// `text` in double quotes with `"` and `\` escaped.
std::string quoted_string(std::string_view text);

/// One header field, folded where it may be (RFC 5322 §2.2.3). Lines have at most 76 bytes, which
/// RFC 2047 asks of those with encoded-words. What cannot be split stays whole.
class header_line {
public:
    explicit header_line(std::string_view name);

    /// Appends `token`, which cannot be split, behind a blank or a fold.
    void word(std::string_view token) { append(" ", token); }
    /// Appends unstructured UTF-8 text; what is not plain ASCII becomes encoded-words (RFC 2047).
    void text(std::string_view utf8);
    /// Appends a display name: atoms, a quoted-string or encoded-words.
    void phrase(std::string_view utf8);
    /// Appends `text` as encoded-words of at most 75 bytes, cut between characters.
    void encoded_words(std::string_view utf8);
    /// Appends without a blank ("," behind a mailbox).
    void glue(std::string_view token);
    /// Appends `; name="value"`, or in the form of RFC 2231 when it is not ASCII or too long for a
    /// line.
    void parameter(std::string_view name, std::string_view utf8);

    /// The field with its CRLF.
    std::string str() const { return out_ + "\r\n"; }

private:
    void append(std::string_view blanks, std::string_view token);
    std::string out_;
    std::size_t column_;
};

} // namespace trawl::mime::detail
