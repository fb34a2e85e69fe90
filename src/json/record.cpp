#include "json/record.hpp"

#include <boost/json/serialize.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/evp.h>

namespace trawl::json {
namespace {

// Well-formed UTF-8 as in RFC 3629 §4: no overlong forms, no surrogates, nothing past U+10FFFF.
bool is_utf8(std::string_view bytes) {
    auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    auto tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
        return i < bytes.size() && at(i) >= low && at(i) <= high;
    };
    for (std::size_t i = 0; i < bytes.size();) {
        unsigned const lead = at(i);
        if (lead < 0x80)
            i += 1;
        else if (lead >= 0xc2 && lead <= 0xdf && tail(i + 1))
            i += 2;
        else if (lead >= 0xe0 && lead <= 0xef &&
                 tail(i + 1, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf) && tail(i + 2))
            i += 3;
        else if (lead >= 0xf0 && lead <= 0xf4 &&
                 tail(i + 1, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf) &&
                 tail(i + 2) && tail(i + 3))
            i += 4;
        else
            return false;
    }
    return true;
}

std::string base64(std::string_view bytes) {
    std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
    auto const length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                        reinterpret_cast<unsigned char const*>(bytes.data()),
                                        static_cast<int>(bytes.size()));
    out.resize(static_cast<std::size_t>(length));
    return out;
}

} // namespace

boost::json::value text(std::string_view bytes) {
    if (is_utf8(bytes)) return boost::json::string(bytes);
    boost::json::object wrapped;
    wrapped["b64"] = base64(bytes);
    return wrapped;
}

boost::json::value seconds(std::optional<std::chrono::nanoseconds> length) {
    if (!length) return nullptr;
    return std::chrono::duration<double>(*length).count();
}

boost::json::value time(std::chrono::system_clock::time_point when) {
    auto const whole = std::chrono::floor<std::chrono::seconds>(when);
    auto const millis = std::chrono::floor<std::chrono::milliseconds>(when - whole).count();
    auto const utc = fmt::gmtime(std::chrono::system_clock::to_time_t(whole));
    return boost::json::string(fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", utc, millis));
}

record::record(std::string_view type, std::string_view verb) {
    object_["v"] = 1;
    object_["type"] = type;
    object_["verb"] = verb;
}

record& record::field(std::string_view name, boost::json::value value) {
    object_[name] = std::move(value);
    return *this;
}

std::string record::line() const { return boost::json::serialize(object_); }

} // namespace trawl::json
