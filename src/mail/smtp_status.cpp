#include <trawl/smtp.hpp>

#include <algorithm>

namespace trawl::smtp {
namespace {

struct category_type : std::error_category {
    char const* name() const noexcept override { return "trawl.smtp"; }
    std::string message(int code) const override {
        switch (static_cast<errc>(code)) {
        case errc::bad_reply: return "not an SMTP reply";
        case errc::out_of_step: return "a reply that does not belong here";
        case errc::service_refused: return "the server refuses service";
        case errc::closed: return "the server closed the connection";
        case errc::tls_unavailable: return "TLS is required and not available";
        case errc::injected_reply: return "plain text after the reply to STARTTLS";
        case errc::auth_unavailable: return "no way to log in";
        case errc::auth_needs_tls: return "a password is sent over verified TLS only";
        case errc::auth_denied: return "login denied";
        case errc::auth_unproved: return "the server's part of the login is wrong";
        case errc::bad_value: return "not a value for SMTP";
        }
        return "unknown error";
    }
};

} // namespace

std::string_view to_string(status s) noexcept {
    switch (s) {
    case status::accepted: return "accepted";
    case status::refused: return "refused";
    case status::deferred: return "deferred";
    case status::unknown: return "unknown";
    }
    return "";
}

std::error_category const& category() noexcept {
    static category_type const instance;
    return instance;
}
std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

std::size_t receipt::count(status s) const noexcept {
    return static_cast<std::size_t>(std::count_if(recipients.begin(), recipients.end(),
                                                  [s](auto const& r) { return r.status == s; }));
}

timeouts timeouts::scaled(double factor) {
    timeouts t;
    for (auto* const limit :
         {&t.connect, &t.tls, &t.banner, &t.command, &t.data, &t.block, &t.dot, &t.quit})
        *limit = std::chrono::milliseconds(std::max<std::int64_t>(
            1, static_cast<std::int64_t>(static_cast<double>(limit->count()) * factor)));
    return t;
}

} // namespace trawl::smtp
