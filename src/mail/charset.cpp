#include "mail/charset.hpp"

#include "mail/characters.hpp"
#include "mail/encoding.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <iconv.h>

namespace trawl::mime::detail {
namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd"; // U+FFFD

/// UTF-8 with U+FFFD for each byte that belongs to no character.
std::string repaired(std::string_view bytes) {
    std::string out;
    while (!bytes.empty()) {
        auto const length = utf8_length(bytes);
        out += length > 0 ? bytes.substr(0, length) : replacement;
        bytes.remove_prefix(std::max<std::size_t>(1, length));
    }
    return out;
}

class converter {
public:
    explicit converter(std::string const& charset)
        : handle_(::iconv_open("UTF-8", charset.c_str())) {}
    converter(converter const&) = delete;
    converter& operator=(converter const&) = delete;
    ~converter() {
        if (known()) ::iconv_close(handle_);
    }
    bool known() const { return handle_ != reinterpret_cast<iconv_t>(-1); }

    std::string operator()(std::string_view bytes) {
        std::string out;
        auto* from = const_cast<char*>(bytes.data()); // iconv does not write there
        auto left = bytes.size();
        std::array<char, 4096> buffer;
        for (;;) {
            auto* to = buffer.data();
            auto room = buffer.size();
            auto const result = ::iconv(handle_, left > 0 ? &from : nullptr, &left, &to, &room);
            auto const failure = result == static_cast<std::size_t>(-1) ? errno : 0;
            out.append(buffer.data(), buffer.size() - room);
            if (failure == E2BIG) continue;
            if (failure != 0) { // EILSEQ, or EINVAL: cut short
                out += replacement;
                if (left > 0) ++from, --left;
                if (failure == EINVAL) left = 0;
            }
            if (failure == 0 && left == 0 && std::exchange(flushed_, true)) return out;
        }
    }

private:
    iconv_t handle_;
    bool flushed_ = false;
};

/// A name that iconv may be asked about: no "//TRANSLIT", no path of a module.
bool is_charset_name(std::string_view name) {
    return name.size() <= 40 && is_token(name, "-_.:+()");
}

} // namespace

std::string canonical_charset(std::string_view name) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> names{{
        {"utf8", "utf-8"},
        {"utf_8", "utf-8"},
        {"unicode-1-1-utf-8", "utf-8"},
        {"ascii", "us-ascii"},
        {"ansi_x3.4-1968", "us-ascii"},
        {"latin1", "iso-8859-1"},
        {"latin-1", "iso-8859-1"},
        {"iso8859-1", "iso-8859-1"},
        {"cp1252", "windows-1252"},
        {"sjis", "shift_jis"},
    }};
    auto const lowered = lower(trimmed(name));
    for (auto const& [written, preferred] : names)
        if (written == lowered) return std::string(preferred);
    return lowered;
}

std::optional<std::string> to_utf8(std::string_view bytes, std::string_view charset) {
    auto const name = canonical_charset(charset);
    if (name == "utf-8") return is_utf8(bytes) ? std::string(bytes) : repaired(bytes);
    if (name == "us-ascii") return as_utf8(bytes);
    if (!is_charset_name(name)) return std::nullopt;
    converter convert(name);
    if (!convert.known()) return std::nullopt;
    return convert(bytes);
}

std::string as_utf8(std::string_view bytes) {
    if (is_utf8(bytes)) return std::string(bytes);
    static constexpr std::string_view assumed = "windows-1252";
    return to_utf8(bytes, assumed).value_or(repaired(bytes));
}

} // namespace trawl::mime::detail
