#pragma once

#include <trawl/mime_content.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::mime {

enum class transport;

/// A header field with its value as a reader sees it: UTF-8 on one line, encoded-words decoded
/// (RFC 2047). In a list of addresses a display name is in double quotes if it needs them, so that
/// parse_addresses reads the value.
struct field {
    /// As said above; the name as it was written.
    std::string name, value;
    friend bool operator==(field const&, field const&) = default;
};

/// A parameter of Content-Type or Content-Disposition: the name in lower case, the value in UTF-8,
/// RFC 2231 undone.
struct parameter {
    /// As said above.
    std::string name, value;
    friend bool operator==(parameter const&, parameter const&) = default;
};

/// A message or one of its parts (an entity, RFC 2045 §2.4), as a tree with everything decoded.
///
/// `parts` are those of a multipart, or the one message of a message/rfc822. A part without parts
/// has its bytes in `body`, free of the transfer encoding; text has CRLF line ends there and is in
/// the charset that its parameter names: text_of() gives it in UTF-8.
struct part {
    /// In the order of the header, without MIME-Version, Content-Type, Content-Disposition and
    /// Content-Transfer-Encoding.
    std::vector<field> fields;
    std::string type = "text/plain";   ///< in lower case
    std::vector<parameter> parameters; ///< of Content-Type
    std::string disposition;           ///< "attachment", "inline" or empty
    /// Of Content-Disposition.
    std::vector<parameter> disposition_parameters;
    content body;            ///< empty in a part with parts
    std::vector<part> parts; ///< in their order
    /// What was wrong where this was read, in words; empty in what somebody built.
    std::vector<std::string> faults;

    /// Whether the type is multipart/*.
    bool is_multipart() const { return type.starts_with("multipart/"); }
    /// Whether the type is text/*.
    bool is_text() const { return type.starts_with("text/"); }
    /// The first field of that name in any case, or empty.
    std::string_view value(std::string_view field_name) const;
    /// A parameter of Content-Type, or empty.
    std::string_view param(std::string_view name) const;
    /// The name that the sender gives to the file: RFC 2183's filename, else Content-Type's name;
    /// empty when there is none. A stranger wrote it: it may hold '/'.
    std::string_view file_name() const;
};

/// A text's words in UTF-8 with LF line ends, U+FFFD for what its charset does not have. The bytes
/// as they are when nobody knows the charset.
std::string text_of(part const& text);

/// What a message may have before the reader gives up on more of it.
struct limits {
    std::size_t depth = 50;         ///< parts in parts; what lies deeper stays one part of bytes
    std::size_t parts = 10'000;     ///< further ones are left out
    std::size_t header = 1'048'576; ///< bytes of one header; further fields are left out
    std::size_t fields = 2'000;     ///< of one header
};

/// Reads a message (RFC 5322, RFC 2045-2047, RFC 2231) as tolerant as mail is: LF for CRLF, a
/// missing empty line, boundaries that are wrong or never end, 8-bit headers, unknown charsets.
/// Never throws for what is in `message`; `faults` of the parts tell. What is not kept: the text
/// around the parts of a multipart, and with any change of encoding the signatures over a part.
part read(std::string_view message, limits const& most = {});

/// The tree as a message that a source gives in blocks; the parts' encodings are chosen anew.
/// Reading it decodes to the same tree, but for the faults. Throws error(errc::bad_header) for a
/// field, type or parameter name that cannot be written, errc::bad_address for an address that
/// `way` cannot carry. Adds no field but MIME-Version and those of Content-*.
std::unique_ptr<source> open(part const& message, transport way);
/// The same in memory.
std::string write(part const& message, transport way);

} // namespace trawl::mime
