#include <trawl/net.hpp>

namespace trawl::net {

namespace {

class net_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "trawl.net"; }
    std::string message(int code) const override {
        switch (static_cast<errc>(code)) {
        case errc::no_address: return "no address to connect to";
        case errc::empty_secret: return "the first line is empty";
        case errc::secret_too_long: return "the first line is too long for a secret";
        }
        return "unknown error";
    }
};

} // namespace

std::error_category const& category() noexcept {
    static net_category const instance;
    return instance;
}

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

} // namespace trawl::net
