#include <trawl/error.hpp>

#include <asio/error.hpp>
#include <asio/system_error.hpp>

namespace trawl {
namespace {

class core_errors final : public std::error_category {
public:
    char const* name() const noexcept override { return "trawl"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
        case errc::timed_out: return "timed out";
        case errc::closed: return "closed";
        case errc::bad_target: return "not a target";
        case errc::bad_name: return "not a name";
        case errc::cancelled_job: return "dropped before it began";
        case errc::pool_stopped: return "the pool has stopped";
        }
        return "unknown error " + std::to_string(value);
    }
};

std::string with_words(std::string const& where, std::string const& said, std::error_code code) {
    auto text = where.empty() ? code.message() : where + ": " + code.message();
    if (!said.empty()) text += " (" + said + ")";
    return text;
}

} // namespace

std::error_category const& core_category() noexcept {
    static core_errors const category;
    return category;
}

std::error_code make_error_code(errc code) noexcept {
    return {static_cast<int>(code), core_category()};
}

error::error(std::error_code code, std::string where, std::string said)
    : std::system_error(code), where_(std::move(where)), said_(std::move(said)),
      what_(with_words(where_, said_, code)) {}

bool is_cancelled(std::system_error const& failure) noexcept {
    return failure.code() == asio::error::operation_aborted;
}

bool is_cancelled(std::exception_ptr const& failure) noexcept {
    if (!failure) return false;
    try {
        std::rethrow_exception(failure);
    } catch (std::system_error const& e) {
        return is_cancelled(e);
    } catch (...) {
        return false;
    }
}

std::string describe(std::exception_ptr const& failure) {
    if (!failure) return {};
    try {
        std::rethrow_exception(failure);
    } catch (std::exception const& e) {
        return e.what();
    } catch (...) {
        return "unknown exception";
    }
}

} // namespace trawl
