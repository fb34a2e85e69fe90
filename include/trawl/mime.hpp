#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace trawl::mime {

/// Why a message cannot be built. what() names the value and the offending byte.
enum class errc {
    bad_address = 1,     ///< no mailbox of RFC 5322 §3.4, or one that needs SMTPUTF8
    forbidden_character, ///< CR, LF or NUL where one would forge a header or a command
    not_utf8,            ///< a header value that is not UTF-8
    bad_header,          ///< a header name that is no token, or one that the message writes itself
    no_sender,           ///< From is missing
    no_recipient,        ///< none of To, Cc and Bcc is there
};

/// Category "trawl.mime".
std::error_category const& category() noexcept;
std::error_code make_error_code(errc code) noexcept;

/// A mailbox (RFC 5322 §3.4): a display name in UTF-8, empty when there is none, and an addr-spec
/// in ASCII. A bare local part ("root") is one too: the server that takes the message adds its
/// domain.
struct mailbox {
    std::string name;
    std::string address;

    friend bool operator==(mailbox const&, mailbox const&) = default;
};

/// Reads one mailbox: `a@b.example`, `root`, `Zoë Müller <zoe@b.example>`, `"Ops, night"
/// <ops@b.example>`. Comments are dropped. Throws error(errc::bad_address) with the place and the
/// reason.
mailbox parse_mailbox(std::string_view text);

/// Reads mailboxes with commas between them; empty elements are skipped. Throws as parse_mailbox.
std::vector<mailbox> parse_mailboxes(std::string_view text);

/// Who really sends and who really receives (RFC 5321 §2.3.1): what MAIL and RCPT carry.
struct envelope {
    std::string sender;                  ///< an addr-spec; empty is the null path `<>`
    std::vector<std::string> recipients; ///< addr-specs, without duplicates
};

/// What the way to the server can carry: 8-bit bytes need its 8BITMIME (RFC 6152).
enum class transport { seven_bit, eight_bit };

/// A message under construction (RFC 5322, RFC 2045-2047, RFC 2231).
///
/// Text in any script goes in as UTF-8 and is encoded as its place demands. Date and Message-ID are
/// set when the object is made, so that every serialization of it is the same; a copy keeps them.
/// Whatever would forge a header or an SMTP command throws error at once. A value type: copies
/// share nothing; one object is not for two threads.
///
///     trawl::mime::message letter;
///     letter.from("ops@example.org").to("Zoë <zoe@example.org>");
///     letter.subject("Nachtlauf: fertig").text("ok\n");
class message {
public:
    message();

    /// The author; a second call replaces the first. Also the envelope's sender.
    message& from(std::string_view mailbox);
    /// Adds one or more mailboxes, with commas between them. Bcc is in the envelope only.
    message& to(std::string_view mailboxes);
    message& cc(std::string_view mailboxes);
    message& bcc(std::string_view mailboxes);
    message& reply_to(std::string_view mailboxes);

    message& subject(std::string_view utf8);
    /// Any other unstructured field ("X-Trawl-Plan"). From, To, Content-Type and the others that
    /// the message writes itself throw error(errc::bad_header).
    message& header(std::string_view name, std::string_view utf8);

    /// The body. Lines may end in LF, CRLF or CR; bytes that are not UTF-8 are sent as
    /// `unknown-8bit` (RFC 1428). With both text and html the reader's program chooses
    /// (multipart/alternative).
    message& text(std::string body);
    message& html(std::string body);

    /// Adds the file's content under its last path component. Reads it now and so blocks; throws
    /// error with the system's code when it cannot be read.
    message& attach(std::filesystem::path const& file);
    /// Adds `bytes` under `name` (UTF-8, no path). An empty `type` is guessed from the name's
    /// ending.
    message& attach(std::string bytes, std::string name, std::string type = {});

    message& date(std::chrono::system_clock::time_point when);
    /// Replaces the generated Message-ID; `id` is `left@right` without angle brackets.
    message& message_id(std::string_view id);
    /// `left@right` without angle brackets. The generated right side is the domain of From, and
    /// "localhost" for a bare name.
    std::string message_id() const;

    /// From, and To + Cc + Bcc without duplicates. Throws error(errc::no_sender or no_recipient).
    mime::envelope envelope() const;

    /// The message with CRLF line ends, lines of at most 998 bytes (header lines 78, words that
    /// cannot be split excepted), no Bcc; dots are not stuffed. Throws error(errc::no_sender).
    std::string serialize(transport way = transport::eight_bit) const;

private:
    struct field {
        std::string name, value;
    };
    struct attachment {
        std::string name, type, bytes;
    };

    std::vector<mailbox> from_, to_, cc_, bcc_, reply_to_;
    std::string subject_;
    std::vector<field> fields_;
    std::string text_, html_;
    bool has_text_ = false, has_html_ = false, has_subject_ = false;
    std::vector<attachment> attachments_;
    std::chrono::system_clock::time_point date_;
    std::string token_, id_;
};

} // namespace trawl::mime

template <>
struct std::is_error_code_enum<trawl::mime::errc> : std::true_type {};
