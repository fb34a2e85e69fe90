#pragma once

#include "mail/smtp_reply.hpp"

#include <trawl/error.hpp>
#include <trawl/smtp.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::smtp::detail {

/// A message's header, with any line ends.
std::string_view header_of(std::string_view message);

/// A message on its way, and what became of it.
struct job {
    /// Messages that are not longer are in memory as a whole.
    static constexpr std::size_t most_held = 65536;

    /// Opens the message for a server. Throws as what.content.
    void open(capabilities const& can);
    /// Gives its memory back.
    void forget_text() noexcept;

    smtp::outgoing what;
    std::string_view text; ///< the message, its begin at least, as it was given; see forget_text()
    bool held = true;      ///< `text` is all of it
    std::unique_ptr<mime::source> source; ///< what follows it if not
    std::optional<std::uint64_t> size;    ///< of all of it, when that is known
    bool eight_bit = false, utf8 = false; ///< it has, or may have, such bytes; in its header
    std::vector<recipient> answers;       ///< in the envelope's order
    std::vector<bool> decided;            ///< the answer is final
    std::size_t open_rounds = 0;          ///< transactions that have not ended
    std::size_t attempts = 0; ///< connections that were lost before anything was delivered

private:
    void read_begin();
    std::string bytes_; ///< where `text` is, if it is not in memory of the source's
};
using job_ptr = std::shared_ptr<job>;

/// Gives everybody who has none yet this answer, which was made here; `why` decides between refused
/// and deferred.
void settle_unread(job& one, error const& why);

/// Append to `line` the commands that begin its transaction, with what both it and the server want.
void write_mail(std::string& line, job const& one, capabilities const& can);
void write_recipient(std::string& line, job const& one, std::string_view address,
                     capabilities const& can);

/// `address` cannot be written in ASCII.
bool needs_utf8(std::string_view address);

} // namespace trawl::smtp::detail
