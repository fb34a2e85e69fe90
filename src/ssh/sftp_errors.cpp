#include <trawl/sftp.hpp>

namespace trawl::sftp {
namespace {

struct description {
    errc code;
    std::string_view word, text;
};

constexpr description descriptions[] = {
    {errc::end_of_file, "end_of_file", "end of file"},
    {errc::no_such_file, "no_such_file", "no such file"},
    {errc::permission_denied, "permission_denied", "permission denied"},
    {errc::failure, "failure", "the server failed"},
    {errc::bad_message, "bad_message", "the server did not understand"},
    {errc::no_connection, "no_connection", "no connection"},
    {errc::connection_lost, "connection_lost", "connection lost"},
    {errc::unsupported, "unsupported", "the server cannot do this"},
    {errc::protocol, "protocol", "not an SFTP answer"},
    {errc::unsafe_name, "unsafe_name", "unsafe name from the server"},
    {errc::changed, "changed", "the file changed while it was read"},
    {errc::not_regular, "not_regular", "not a regular file"},
    {errc::is_folder, "is_folder", "is a folder"},
    {errc::limit, "limit", "too large"},
    {errc::in_the_way, "in_the_way", "something of another kind is in the way"},
};

description const* find(int value) noexcept {
    for (auto const& d : descriptions)
        if (static_cast<int>(d.code) == value) return &d;
    return nullptr;
}

struct sftp_category final : std::error_category {
    char const* name() const noexcept override { return "trawl.sftp"; }
    std::string message(int value) const override {
        auto const* known = find(value);
        return known ? std::string(known->text) : "unknown status " + std::to_string(value);
    }
};

std::string place(std::string const& peer, std::string_view operation, std::string const& path) {
    auto text = "sftp " + peer + " " + std::string(operation);
    return path.empty() ? text : text + " " + path;
}

} // namespace

std::error_category const& category() noexcept {
    static sftp_category const instance;
    return instance;
}

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

failure::failure(std::error_code code, std::string const& peer, std::string_view operation,
                 std::string path, std::string said)
    : error(code, place(peer, operation, path), std::move(said)), path_(std::move(path)) {}

std::string_view failure::word() const noexcept {
    if (code().category() == category())
        if (auto const* known = find(code().value())) return known->word;
    return code() == trawl::errc::timed_out ? "timed_out" : "system";
}

} // namespace trawl::sftp
