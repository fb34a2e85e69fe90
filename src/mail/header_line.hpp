#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// Text on its way into a header (RFC 2047, RFC 2231, RFC 5322 §2.2.3).
namespace trawl::mime::detail {

/// `text` in double quotes with `"` and `\` escaped.
std::string quoted_string(std::string_view text);

/// One header field, folded where it may be (RFC 5322 §2.2.3). Lines have at most 76 bytes, which
/// RFC 2047 asks of those with encoded-words. What cannot be split stays whole.
class header_line {
public:
    explicit header_line(std::string_view name);

    /// Appends `token`, which cannot be split, behind a blank or a fold.
    void word(std::string_view token) { append(" ", token); }
    /// Appends unstructured UTF-8 text; what is not plain ASCII, and a word that is longer than
    /// `longest`, becomes encoded-words (RFC 2047).
    void text(std::string_view utf8, std::size_t longest = line_limit - 1);
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

    static constexpr std::size_t line_limit = 76;

private:
    void append(std::string_view blanks, std::string_view token);
    std::string out_;
    std::size_t column_;
};

} // namespace trawl::mime::detail
