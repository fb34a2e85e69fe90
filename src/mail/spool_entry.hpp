#pragma once

#include <trawl/smtp.hpp>
#include <trawl/smtp_spool.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// A message of a spool as the bytes of its file, and when it is tried; no I/O.
namespace trawl::smtp::detail {

/// A message that waits.
struct spooled {
    std::int64_t created = 0, next = 0; ///< seconds since 1970
    std::uint32_t attempts = 0;
    std::string message_id, sender;
    smtp::parameters parameters;
    /// Deferred ones wait. One without an answer to a transaction that had begun is unknown.
    std::vector<recipient> recipients;
    std::vector<std::size_t> interrupted; ///< those whose transaction began and has no answer
    std::string text;                     ///< for servers that take all it holds
    std::string seven_bit;                ///< for others; empty: the same

    std::vector<std::size_t> waiting() const;
    bool all_accepted() const noexcept;
    /// The text for a server of that kind.
    std::string const& text_for(mime::transport way) const;
};

/// A message as it enters the spool at `now`: everybody waits, and it is due.
spooled spool_entry_of(outgoing const& one, std::int64_t now);

/// A new file:
///
///     trawl spool 1
///     created 1764257445
///     message-id <...>          and further words of the envelope, each on a line
///     recipient x@d.example     ...
///     text 1234                 bytes
///     seven-bit 0
///     crc32 1a2b3c4d            of all lines above and both texts
///
/// with the texts behind it. Then come lines of what happened, each with its own sum at the end:
///
///     sending 0 1 ...                      recipients, by number
///     answer 0 refused 550 5.1.1 WORDS     - for no enhanced code
///     next 1764257745 1                    when, attempts so far
std::string write_entry(spooled const& one);
std::string sending_line(std::vector<std::size_t> const& recipients);
std::string answer_line(std::size_t number, recipient const& answer);
std::string next_line(std::int64_t when, std::uint32_t attempts);

struct entry_read {
    spooled entry;
    std::size_t whole = 0; ///< bytes; behind them is a line that its writer did not finish
};

/// Reads a file; any bytes may be given. Throws error (std::errc::bad_message), said() telling what
/// is wrong.
entry_read read_entry(std::string_view file);

/// When to try again after `attempts` attempts, the last one at `now`.
std::int64_t next_attempt(schedule const& when, std::uint32_t attempts, std::int64_t now) noexcept;
bool has_expired(schedule const& when, std::int64_t created, std::int64_t now) noexcept;

} // namespace trawl::smtp::detail
