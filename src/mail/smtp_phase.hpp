#pragma once

#include <string>
#include <string_view>
#include <system_error>

namespace trawl::smtp::detail {

/// What a dialogue is waiting for, in the order in which that comes.
enum class phase {
    banner,
    hello,
    starttls,
    handshake,
    auth,
    ready,
    envelope,
    data,
    content,
    dot,
    quit,
    closed
};
std::string_view to_string(phase p) noexcept;

/// Why a dialogue ended.
struct failed {
    std::error_code code; ///< none: it did not fail
    phase where = phase::closed;
    std::string said;
    bool may_quit = false; ///< the server still listens
};

} // namespace trawl::smtp::detail
