#pragma once

#include <trawl/dkim.hpp>
#include <trawl/mime.hpp>
#include <trawl/smtp.hpp>

#include <memory>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trawl::cli {

/// What a letter is made of.
struct letter_parts {
    struct file {
        std::string path, name, type; ///< without a name the path's; without a type found
    };
    std::string from;
    std::vector<std::string> to, cc, bcc, reply_to;
    std::optional<std::string> subject, text, html;
    std::vector<file> attachments;
    std::vector<std::pair<std::string, std::string>> inlines; ///< Content-ID and path
    std::vector<std::pair<std::string, std::string>> headers; ///< name and value
};

using dkim_key = std::shared_ptr<dkim::signer const>;

/// Throws error for what cannot be in a message or cannot be read.
smtp::outgoing compose(letter_parts const& parts, dkim_key const& signer);

/// A letter from a line of JSON: {"from", "to", "cc", "bcc", "reply_to", "subject", "text", "html",
/// "attachments", "inline", "headers"}, of which `defaults` has what the line has not. Throws error,
/// or std::runtime_error with the reason for what is no such line.
letter_parts parse_letter(std::string_view json, letter_parts const& defaults);

/// A message as it stands in a file, to be sent as it is but for Bcc. `from` and `to` are what the
/// command line says; where it says nothing the header's Sender or From, and To, Cc and Bcc count.
smtp::outgoing forward(std::string_view bytes, std::string const& from,
                       std::vector<std::string> const& to, dkim_key const& signer);

/// The message for a reader's eyes, with LF line ends.
std::string shown_text(smtp::outgoing const& one);
/// The same a piece at a time, so that a message of any size costs no memory.
void show_text(smtp::outgoing const& one, std::function<void(std::string_view)> const& put);

/// "ID=FILE" and "NAME: VALUE" of the command line. Throw usage_error.
std::pair<std::string, std::string> parse_inline(std::string const& text);
std::pair<std::string, std::string> parse_header(std::string const& text);

/// All that is left to read, and a whole file. Throw error. Block.
std::string read_all(int descriptor, std::string const& name);
std::string read_file(std::string const& path);

} // namespace trawl::cli
