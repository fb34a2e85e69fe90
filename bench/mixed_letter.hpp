#pragma once

#include <trawl/smtp.hpp>

#include <string>
#include <utility>

// The message that the programs of bench/ send.

namespace bench {

/// A whole message of about `bytes`.
inline trawl::mime::content text_of_letter(std::size_t bytes) {
    std::string text = "From: <bench@example.org>\r\nTo: <bench@example.org>\r\n"
                       "Date: Sat, 01 Jan 2022 00:00:00 +0000\r\n"
                       "Message-Id: <1.2@bench.example.org>\r\nSubject: bench\r\n\r\n";
    while (text.size() < bytes) text += std::string(62, 'X') + "\r\n";
    return text;
}

inline trawl::smtp::outgoing letter_to(std::string recipient, trawl::mime::content text) {
    trawl::smtp::outgoing one;
    one.envelope.sender = "bench@example.org";
    one.envelope.recipients.push_back(std::move(recipient));
    one.content = [text = std::move(text)](trawl::mime::transport) { return text.open(); };
    return one;
}

} // namespace bench
