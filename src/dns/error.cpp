#include <trawl/dns.hpp>

namespace trawl::dns {

namespace {

class dns_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "trawl.dns"; }
    std::string message(int code) const override {
        switch (static_cast<errc>(code)) {
        case errc::not_found: return "name not found";
        case errc::timed_out: return "no answer from the name server";
        case errc::refused: return "the name server refused";
        case errc::server_failure: return "the name server failed";
        case errc::bad_name: return "not a name";
        case errc::bad_answer: return "the answer cannot be understood";
        case errc::no_server: return "no name server could be reached";
        case errc::bad_server: return "not an ADDR or ADDR:PORT";
        case errc::closed: return "the resolver was closed";
        }
        return "unknown error";
    }
};

} // namespace

std::error_category const& category() noexcept {
    static dns_category const instance;
    return instance;
}

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

} // namespace trawl::dns
