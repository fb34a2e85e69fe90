#pragma once

#include <trawl/mime.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace trawl::cli {

/// A message as somebody else has written it: its header's fields and its body, byte for byte.
struct raw_mail {
    struct field {
        std::string name;
        std::string lines; ///< all of it, with name and line ends
    };

    /// A first line "From ..." of an mbox is dropped. Text that begins with no field is all body.
    static raw_mail read(std::string_view bytes);

    bool has(std::string_view name) const;
    void erase(std::string_view name);
    /// Puts a field before the others. Its value needs neither folding nor encoding.
    void prepend(std::string_view name, std::string_view value);

    /// The mailboxes in all fields of that name. Throws error(mime::errc::bad_address) where there
    /// is something else.
    std::vector<mime::mailbox> mailboxes(std::string_view name) const;
    /// A field's value in UTF-8; empty when there is none.
    std::string value(std::string_view name) const;

    std::string bytes() const;

    std::vector<field> header;
    std::string body; ///< with the empty line before it
};

} // namespace trawl::cli
