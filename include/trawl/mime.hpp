#pragma once

#include <trawl/mime_content.hpp>
#include <trawl/mime_part.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace trawl::dkim {
class signer;
}

namespace trawl::mime {

/// Why a message cannot be built. what() names the value and the offending byte.
enum class errc {
    bad_address = 1,     ///< no mailbox of RFC 5322 §3.4, or one that needs SMTPUTF8
    forbidden_character, ///< CR, LF or NUL where one would forge a header or a command
    not_utf8,            ///< a header value that is not UTF-8
    bad_header,          ///< a header name that is no token, or one that the message writes itself
    no_sender,           ///< From is missing
    no_recipient,        ///< none of To, Cc and Bcc is there
    changed,             ///< an attached file is another one than it was when it was attached
};

/// Category "trawl.mime".
std::error_category const& category() noexcept;
/// `code` in that category.
std::error_code make_error_code(errc code) noexcept;

/// A mailbox (RFC 5322 §3.4): a display name in UTF-8, empty when there is none, and an addr-spec,
/// which only SMTPUTF8 carries when it is not ASCII (RFC 6531). A bare local part ("root") is one
/// too: the server that takes the message adds its domain.
struct mailbox {
    std::string name;    ///< the display name, decoded
    std::string address; ///< the addr-spec: "a@b.example"

    friend bool operator==(mailbox const&, mailbox const&) = default;
};

/// Mailboxes under one name (RFC 5322 §3.4): `Team: a@b.example, c@d.example;`. May be empty.
struct group {
    std::string name;             ///< the display name, decoded
    std::vector<mailbox> members; ///< in their order

    friend bool operator==(group const&, group const&) = default;
};

/// An element of a list of addresses.
using address = std::variant<mailbox, group>;

/// Reads one mailbox: `a@b.example`, `root`, `Zoë Müller <zoe@b.example>`, `"Ops, night"
/// <ops@b.example>`. Comments are dropped. Throws error(errc::bad_address) with the place and the
/// reason.
mailbox parse_mailbox(std::string_view text);

/// Reads mailboxes and groups with commas between them; empty elements are skipped. Throws as
/// parse_mailbox.
std::vector<address> parse_addresses(std::string_view text);

/// The mailboxes of a list, those of its groups among them.
std::vector<mailbox> mailboxes_of(std::vector<address> const& list);
/// mailboxes_of(parse_addresses(text)).
std::vector<mailbox> parse_mailboxes(std::string_view text);

/// What parse_mailbox and parse_addresses read back.
std::string to_string(mailbox const& box);
std::string to_string(std::vector<address> const& list);

/// Who really sends and who really receives (RFC 5321 §2.3.1): what MAIL and RCPT carry.
struct envelope {
    std::string sender;                  ///< an addr-spec; empty is the null path `<>`
    std::vector<std::string> recipients; ///< addr-specs, without duplicates
};

/// What the way to the server can carry.
enum class transport {
    seven_bit, ///< ASCII
    eight_bit, ///< 8-bit bytes in bodies: the server has 8BITMIME (RFC 6152)
    utf8,      ///< and addresses in UTF-8: it has SMTPUTF8 (RFC 6531)
};

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

    /// The author; a second call replaces the first. Also the envelope's sender, if there is no
    /// other.
    message& from(std::string_view mailbox);
    /// Who sends on the author's behalf (RFC 5322 §3.6.2); the envelope's sender.
    message& sender(std::string_view mailbox);
    /// Adds mailboxes and groups, with commas between them. Bcc is in the envelope only; a message
    /// with nothing but Bcc says `To: undisclosed-recipients:;`.
    message& to(std::string_view addresses);
    /// As to().
    message& cc(std::string_view addresses);
    /// As to().
    message& bcc(std::string_view addresses);
    /// Where answers go (RFC 5322 §3.6.2); as to(), and not in the envelope.
    message& reply_to(std::string_view addresses);

    /// Replaces the subject: UTF-8 on one line.
    message& subject(std::string_view utf8);
    /// The messages that this one answers, and the thread it belongs to (RFC 5322 §3.6.4): adds
    /// `left@right` without angle brackets. Throws error(errc::bad_header) for what is none.
    message& in_reply_to(std::string_view id);
    /// As in_reply_to(), for the field References.
    message& references(std::string_view id);
    /// Any other field ("X-Trawl-Plan", "List-Unsubscribe"). From, To, Content-Type and the others
    /// that the message writes itself throw error(errc::bad_header).
    message& header(std::string_view name, std::string_view utf8);

    /// The body. Lines may end in LF, CRLF or CR; bytes that are not UTF-8 are sent as
    /// `unknown-8bit` (RFC 1428). With both text and html the reader's program chooses
    /// (multipart/alternative).
    message& text(std::string body);
    /// The body as HTML; as text().
    message& html(std::string body);
    /// A picture or the like for html to show as `<img src="cid:ID">` (multipart/related, RFC 2387,
    /// RFC 2392); `id` is `left@right`. `name` and `type` as in attach().
    message& embed(content bytes, std::string id, std::string name, std::string type = {});

    /// Adds the file under its last path component; content::file says when it is read and what it
    /// throws.
    message& attach(std::filesystem::path const& file);
    /// Adds `bytes` under `name` (UTF-8, no path). An empty `type` is found from the name's ending,
    /// else from what the bytes begin with where trawl is built with libmagic. An attachment
    /// arrives byte for byte, but for one message/rfc822, which is a message and gets CRLF line
    /// ends.
    message& attach(content bytes, std::string name, std::string type = {});
    /// Adds another message (message/rfc822), as it is now.
    message& attach(message const& nested);

    /// Replaces the date; it is written in UTC, to the second.
    message& date(std::chrono::system_clock::time_point when);
    /// Replaces the generated Message-ID; `id` is `left@right` without angle brackets.
    message& message_id(std::string_view id);
    /// `left@right` without angle brackets. The generated right side is the domain of From, and
    /// "localhost" for a bare name.
    std::string message_id() const;

    /// Signs the message when it is read (dkim.hpp); more than one may. Shared: it must not change.
    message& sign(std::shared_ptr<dkim::signer const> key);

    /// Sender or else From, and To + Cc + Bcc without duplicates. Throws error(errc::no_sender or
    /// no_recipient).
    mime::envelope envelope() const;
    /// An address has a local part that is not ASCII, or a domain that has no A-labels (IDNA 2008):
    /// only transport::utf8 carries the message. Other domains in UTF-8 are written as A-labels
    /// elsewhere.
    bool needs_utf8() const;

    /// The message as a tree, header and all (mime_part.hpp); no Bcc. Throws error(errc::no_sender).
    part tree() const;

    /// The message with CRLF line ends, lines of at most 998 bytes (header lines 78, words that
    /// cannot be split excepted), no Bcc; dots are not stuffed. A source of blocks: an attached file
    /// of any size costs no memory. It does not refer to this object. Throws error(errc::no_sender),
    /// errc::bad_address when needs_utf8() and `way` is another, and as the contents do.
    std::unique_ptr<source> open(transport way = transport::eight_bit) const;
    /// The same in memory.
    std::string serialize(transport way = transport::eight_bit) const;

private:
    part body() const;

    std::vector<address> from_, sender_, to_, cc_, bcc_, reply_to_;
    std::string subject_;
    std::vector<std::string> in_reply_to_, references_;
    std::vector<field> fields_;
    std::string text_, html_;
    bool has_text_ = false, has_html_ = false, has_subject_ = false;
    std::vector<part> embedded_, attachments_;
    std::chrono::system_clock::time_point date_;
    std::string token_, id_;
    std::vector<std::shared_ptr<dkim::signer const>> signers_;
};

} // namespace trawl::mime

template <>
struct std::is_error_code_enum<trawl::mime::errc> : std::true_type {};
