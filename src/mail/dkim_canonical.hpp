#pragma once

#include "mail/header_fields.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

// What a DKIM signature is made over: RFC 6376 §3.4 and §3.7, "relaxed", without keys.
namespace trawl::dkim::detail {

using sha256_value = std::array<unsigned char, 32>;

class sha256 {
public:
    sha256();
    ~sha256();
    void update(std::string_view bytes);
    sha256_value finish();

private:
    struct state;
    std::unique_ptr<state> state_;
};

/// RFC 6376 §3.4.2: the name in lower case, the value on one line, each run of blanks one blank.
/// Without the CRLF.
std::string relaxed_field(std::string_view name, std::string_view value);

/// A body that comes in chunks, cut anywhere, in canonical form (§3.4.4): each run of blanks one
/// blank, none at a line's end, no empty lines at the end of the body.
class relaxed_body {
public:
    void write(std::string_view chunk, std::string& out);
    /// Ends the last line if it has no end.
    void finish(std::string& out);

private:
    void flush(std::string& out);
    std::size_t line_ends_ = 0; ///< behind what was written; they count if more follows
    bool blank_ = false, cr_ = false, wrote_ = false;
};

/// The header fields that `names` select (§5.4.2): each mention takes the next from the bottom, and
/// nothing when there is no more. Then the signature's own field, with an empty b=, without CRLF.
std::string signed_header(std::vector<mime::detail::raw_field> const& fields,
                          std::vector<std::string> const& names, std::string_view own_value);

} // namespace trawl::dkim::detail
