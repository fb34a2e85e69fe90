#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What an SMTP server says, without sockets: replies (RFC 5321 §4.2) and the extensions it offers.
namespace trawl::smtp::detail {

/// A complete reply (RFC 5321 §4.2).
struct reply {
    int code = 0;
    std::string enhanced; ///< "5.1.1" (RFC 3463), when the text begins with one that fits the code
    std::string text;     ///< without code and enhanced code; lines joined by a blank
    std::vector<std::string> lines; ///< each line's text as it came

    int family() const noexcept { return code / 100; }
    /// "550 5.1.1 no such user": for messages.
    std::string words() const;
};

/// Cuts replies out of a stream of bytes and refuses what no server may send.
class reply_parser {
public:
    static constexpr std::size_t max_line = 2048, max_total = 65536, max_lines = 128;

    void feed(std::string_view bytes);
    /// The next complete reply; nullopt when more bytes are needed or the stream is broken.
    std::optional<reply> next();
    /// Why the stream is broken; empty when it is not. Nothing follows a broken reply.
    std::string_view fault() const noexcept { return fault_; }
    /// True when every byte fed was part of a reply that next() has returned.
    bool empty() const noexcept { return at_ == buffer_.size() && lines_.empty(); }

private:
    bool take_line(std::string_view line);
    bool broken(std::string why);

    std::string buffer_, fault_;
    std::size_t at_ = 0, scanned_ = 0, total_ = 0;
    int code_ = 0;
    std::vector<std::string> lines_;
};

/// What a server can do (RFC 1869 and successors).
struct capabilities {
    bool pipelining = false, eight_bit = false, starttls = false, auth_plain = false,
         auth_login = false;
    std::uint64_t size = 0; ///< 0: no limit told
    std::string auth;       ///< the mechanisms as offered

    static capabilities of(reply const& ehlo);
};

} // namespace trawl::smtp::detail
