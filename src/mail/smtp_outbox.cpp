#include "mail/smtp_outbox.hpp"

#include "mail/smtp_sasl.hpp"

#include <fmt/format.h>

namespace trawl::smtp::detail {

/// Thousands of idle dialogues keep no more than this each.
constexpr std::size_t kept = 512;

void outbox::line(std::string_view text) {
    auto& out = this->text();
    out += text;
    out += "\r\n";
    if (trace_) trace_('>', text);
}

void outbox::secret_line(std::string text, std::string_view instead) {
    auto& out = this->text();
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
    if (bytes_.capacity() > kept)
        std::string().swap(bytes_);
    else
        bytes_.clear();
}

} // namespace trawl::smtp::detail
