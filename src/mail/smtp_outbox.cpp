#include "mail/smtp_outbox.hpp"

#include "mail/smtp_sasl.hpp"

#include <fmt/format.h>

namespace trawl::smtp::detail {

namespace {

/// Thousands of idle dialogues keep no more than this each.
constexpr std::size_t kept = 512;

/// Where a text was; the next one goes there, whichever dialogue it is of. Most writes end at once,
/// so that one does. (malloc gives so large a piece back to the system when it is freed, and takes
/// it page by page again.)
thread_local std::string spare;
constexpr std::size_t most_spare = 262144;

} // namespace

std::string& outbox::text(std::size_t size) {
    auto& out = bytes();
    auto const wanted = out.size() + size;
    if (wanted > out.capacity() && wanted <= spare.capacity()) {
        spare = out;
        out.swap(spare);
        spare.clear();
    }
    out.reserve(wanted);
    return out;
}

void outbox::end_line() {
    if (trace_) trace_('>', std::string_view(bytes_).substr(line_at_));
    bytes_ += "\r\n";
}

void outbox::secret_line(std::string text, std::string_view instead) {
    auto& out = bytes();
    out.reserve(out.size() + text.size() + 2); // a string that grows leaves its bytes behind
    out += text;
    out += "\r\n";
    secret_ = true;
    wipe(text);
    if (trace_) trace_('>', instead);
}

void outbox::note(std::size_t size) {
    if (trace_) trace_('>', fmt::format("[{} bytes of the message]", size));
}

void outbox::release() {
    if (secret_) wipe(bytes_);
    secret_ = taken_ = false;
    bytes_.clear();
    if (bytes_.capacity() <= kept) return;
    if (bytes_.capacity() > spare.capacity() && bytes_.capacity() <= most_spare) bytes_.swap(spare);
    std::string().swap(bytes_);
}

} // namespace trawl::smtp::detail
