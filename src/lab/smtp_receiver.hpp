#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::lab {

struct envelope {
    std::string from;            ///< the reverse-path, empty for <>
    std::vector<std::string> to; ///< the recipients that were accepted
};

/// Where a receiver puts messages, a piece at a time. Each function may throw std::system_error:
/// the client then gets 451 and the message is abandoned.
class mail_store {
public:
    virtual ~mail_store() = default;
    virtual void begin(envelope const& from_and_to) = 0;
    virtual void append(std::string_view text) = 0; ///< dots unstuffed, line ends as they came
    virtual std::string commit() = 0;               ///< returns the message's name
    virtual void abandon() noexcept = 0;
};

/// The server's side of an SMTP dialogue (RFC 5321) without I/O: bytes in, replies out, messages
/// into a store.
///
///            EHLO/HELO          MAIL        RCPT+        DATA
///     start -----------> greeted ----> mail -----> rcpt -----> data --CRLF.CRLF--> greeted
///                           ^-----RSET/EHLO-----------'
///
/// Extensions: PIPELINING (2920), SIZE (1870), 8BITMIME (6152), SMTPUTF8 (6531),
/// ENHANCEDSTATUSCODES (2034).
class smtp_receiver {
public:
    struct options {
        std::string name = "lab.localhost";
        std::size_t max_message = std::size_t(64) << 20; ///< bytes, 552 above
        std::size_t max_recipients = 1000;               ///< 452 above
        std::size_t max_text_line =
            998; ///< bytes without CRLF (RFC 5321 §4.5.3.1.6), 554 above; 0: any
        std::size_t max_errors = 20;       ///< in a row, then 421 and the end
        std::string refused = "refused";   ///< recipients that begin so get 550; empty: none
        std::string deferred = "deferred"; ///< recipients that begin so get 451; empty: none
    };

    /// `store` outlives the receiver. The first reply, the 220 greeting, is there at once.
    smtp_receiver(options limits, mail_store& store);
    smtp_receiver(smtp_receiver const&) = delete;
    smtp_receiver& operator=(smtp_receiver const&) = delete;
    /// Abandons a message that was not finished.
    ~smtp_receiver();

    /// Any number of bytes from the client, cut anywhere. Bytes after QUIT are ignored.
    void receive(std::string_view bytes);
    /// The replies since the last call.
    std::string take_replies();
    /// True after QUIT or too many errors: send what take_replies() still holds, then close.
    bool finished() const noexcept { return finished_; }
    std::uint64_t stored() const noexcept { return stored_; }

private:
    enum class phase { start, greeted, mail, rcpt, data };
    enum class at { line_start, dot, dot_cr, text, text_cr }; // where in the text the next byte is

    std::size_t take_command(std::string_view bytes);
    std::size_t take_text(std::string_view bytes);
    void command(std::string_view line);
    void hello(std::string_view argument, bool extended);
    void mail(std::string_view argument);
    void recipient(std::string_view argument);
    void data(std::string_view argument);
    void store_text(std::string_view text);
    void end_of_text();
    void reset();
    void reply(std::string_view line);
    void refuse(std::string_view line); // counts as an error

    options limits_;
    mail_store& store_;
    phase phase_ = phase::start;
    at at_ = at::line_start;
    envelope envelope_;
    std::string line_, replies_;
    std::string failure_; // the reply to the text that is being swallowed
    std::size_t size_ = 0, line_length_ = 0, errors_ = 0;
    std::uint64_t stored_ = 0;
    bool overlong_ = false, storing_ = false, finished_ = false;
};

/// The address in `<...>` of MAIL FROM or RCPT TO (RFC 5321 §4.1.2) at the start of `argument`;
/// what follows it goes to `rest`. False when it is no path. A source route is dropped; a bare
/// local name is an address.
bool parse_path(std::string_view argument, std::string& address, std::string_view& rest);

} // namespace trawl::lab
