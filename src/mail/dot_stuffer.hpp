#pragma once

#include <string>
#include <string_view>

namespace trawl::smtp::detail {

/// Makes a message fit for the wire: every line end CRLF, also a bare CR or LF, which others take
/// for the end of a message (CVE-2023-51764 and its kin); and for DATA each dot at a line's begin
/// doubled (RFC 5321 §4.5.2). Chunks may be cut anywhere.
class dot_stuffer {
public:
    /// `dots`: for DATA. BDAT (RFC 3030) counts bytes and needs no doubling.
    explicit dot_stuffer(bool dots = true) : dots_(dots) {}
    void write(std::string_view chunk, std::string& out);
    /// Ends the last line; for DATA appends the final dot.
    void finish(std::string& out);

private:
    bool dots_, line_start_ = true, after_cr_ = false;
};

/// True when every line ends in CRLF and no CR or LF stands elsewhere: BDAT takes it as it is.
bool has_wire_lines(std::string_view text) noexcept;

/// True when a byte above 127 is among `bytes`.
bool has_8bit(std::string_view bytes) noexcept;

} // namespace trawl::smtp::detail
