#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// What an SMTP server says, without sockets: replies (RFC 5321 §4.2) and the extensions it offers.
namespace trawl::smtp::detail {

/// A complete reply (RFC 5321 §4.2).
struct reply {
    int code = 0;
    std::string enhanced; ///< "5.1.1" (RFC 3463), when the text begins with one that fits the code
    std::string text;     ///< without code and enhanced code; lines joined by a blank
    std::string lines;    ///< each line's text as it came, with LF between them

    int family() const noexcept { return code / 100; }
    /// "550 5.1.1 no such user": for messages.
    std::string words() const;
};

/// Cuts replies out of a stream of bytes and refuses what no server may send.
class reply_parser {
public:
    static constexpr std::size_t max_line = 2048, max_total = 65536, max_lines = 128;

    void feed(std::string_view bytes);
    /// The next complete reply, valid until the next call; nullptr when more bytes are needed or the
    /// stream is broken.
    reply const* next();
    /// Why the stream is broken; empty when it is not. Nothing follows a broken reply.
    std::string_view fault() const noexcept { return fault_; }
    /// True when every byte fed was part of a reply that next() has returned.
    bool empty() const noexcept { return at_ == buffer_.size() && count_ == 0; }

private:
    void begin_reply();
    bool take_line(std::string_view line);
    bool broken(std::string why);

    std::string buffer_, fault_;
    std::size_t at_ = 0, scanned_ = 0, total_ = 0, count_ = 0;
    reply reply_; ///< the lines so far, `count_` of them
};

/// What a server can do, as its answer to EHLO or LHLO says (RFC 5321 §4.1.1.1).
struct capabilities {
    bool pipelining = false;  ///< RFC 2920
    bool chunking = false;    ///< RFC 3030
    bool eight_bit = false;   ///< RFC 6152
    bool utf8 = false;        ///< RFC 6531
    bool dsn = false;         ///< RFC 3461
    bool require_tls = false; ///< RFC 8689
    bool starttls = false;    ///< RFC 3207
    bool sizes = false;       ///< RFC 1870: MAIL may say SIZE
    std::uint64_t size = 0;   ///< and the most it takes; 0: no limit told
    std::string auth;         ///< RFC 4954: the mechanisms in upper case, with blanks between them
    std::uint64_t mail_max = 0, rcpt_max = 0, rcpt_domain_max = 0; ///< RFC 9422; 0: no limit told

    static capabilities of(reply const& hello);
    bool has_auth(std::string_view mechanism) const noexcept;
};

} // namespace trawl::smtp::detail
