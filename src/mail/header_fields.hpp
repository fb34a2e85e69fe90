#pragma once

#include <trawl/mime_part.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

// A message's header as it stands in its bytes (RFC 5322 §2.2).
namespace trawl::mime::detail {

/// A field as it was read: `value` is what follows the colon, with its folds but without the last
/// line end.
struct raw_field {
    std::string_view name, value;
};

/// Cuts lines off a text; a line ends in LF or CRLF.
class line_cutter {
public:
    explicit line_cutter(std::string_view text) : text_(text) {}
    struct line {
        std::string_view text;     ///< without its end
        std::size_t begin, behind; ///< places in the text; `behind` its end
    };
    bool at_end() const noexcept { return at_ == text_.size(); }
    std::size_t place() const noexcept { return at_; }
    line peek() const noexcept;
    void skip(line const& l) noexcept { at_ = l.behind; }
    std::string_view between(std::size_t begin, std::size_t end) const noexcept {
        return text_.substr(begin, end - begin);
    }

private:
    std::string_view text_;
    std::size_t at_ = 0;
};

/// The header at a text's begin.
struct raw_header {
    std::vector<raw_field> fields;
    bool ended = false;     ///< by an empty line, or by the end of the text
    bool truncated = false; ///< there was more than `most` bytes or `most_fields`; it is left out
};
/// Reads the header from `lines` and leaves it at the body: behind the empty line, or at the first
/// line that can be no field. An mbox line ("From ") at the begin is skipped.
raw_header read_header(line_cutter& lines, std::size_t most, std::size_t most_fields);

/// `value` on one line and without blanks around it (RFC 5322 §2.2.3).
std::string unfolded(std::string_view value);

/// What a field's value is made of.
enum class field_kind {
    text,      ///< unstructured: may become encoded-words anywhere
    addresses, ///< RFC 5322 §3.4
    opaque,    ///< tokens that must not be cut or encoded as long as they are ASCII
};
field_kind kind_of(std::string_view name);

/// A structured value with its parameters (RFC 2045 §5.1), RFC 2231 and RFC 2047 decoded.
struct parametrized {
    std::string value; ///< in lower case
    std::vector<parameter> parameters;
};
parametrized read_parameters(std::string_view unfolded_value);

} // namespace trawl::mime::detail
