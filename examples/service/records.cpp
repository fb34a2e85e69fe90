#include "records.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <chrono>
#include <cstdint>
#include <ctime>
#include <string>

namespace json = boost::json;

namespace service {
namespace {

/// Boost.JSON's parser refuses what is not UTF-8; its serialiser does not look.
bool is_utf8(std::string_view bytes) {
    json::error_code failed;
    json::parse(json::serialize(json::value(bytes)), failed);
    return !failed;
}

/// RFC 4648 §4.
std::string base64(std::string_view bytes) {
    constexpr char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        auto const at = [&](std::size_t k) -> std::uint32_t {
            return k < bytes.size() ? static_cast<unsigned char>(bytes[k]) : 0;
        };
        auto const three = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
        for (std::size_t k = 0; k < 4; ++k)
            out += i + k <= bytes.size() ? digit[three >> (18 - 6 * k) & 63] : '=';
    }
    return out;
}

json::object host_record(std::string_view verb, std::string_view target) {
    json::object record;
    record["v"] = 1;
    record["type"] = "host";
    record["verb"] = verb;
    record["target"] = target;
    return record;
}

} // namespace

json::value text(std::string_view bytes) {
    if (is_utf8(bytes)) return json::value(bytes);
    json::object coded;
    coded["b64"] = base64(bytes);
    return coded;
}

json::value seconds(std::optional<trawl::duration> time) {
    if (!time) return nullptr;
    return std::chrono::duration<double>(*time).count();
}

std::string date(std::chrono::system_clock::time_point when) {
    auto const seconds = std::chrono::system_clock::to_time_t(when);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    char text[32];
    return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

json::object record_of(trawl::icmp::result const& host) {
    auto record = host_record("ping", host.address.to_string());
    record["address"] = host.address.to_string();
    record["status"] = to_string(host.status);
    record["rtt"] = seconds(host.rtt);
    record["sent"] = host.sent;
    record["received"] = host.received;
    return record;
}

json::object record_of(trawl::targets::target const& host, trawl::ssh::completed const& end) {
    auto record = host_record("ssh", host.to_string());
    record["status"] = end.exit_status ? "ok" : "failed";
    record["exit_status"] = end.exit_status ? json::value(*end.exit_status) : json::value();
    record["exit_signal"] = end.exit_signal;
    record["stdout"] = text(end.out);
    record["stderr"] = text(end.err);
    record["stdout_truncated"] = end.out_truncated;
    record["stderr_truncated"] = end.err_truncated;
    record["error"] = nullptr;
    record["elapsed"] = seconds(end.elapsed);
    return record;
}

json::object record_of(trawl::targets::target const& host, trawl::ssh::failure const& why) {
    auto record = host_record("ssh", host.to_string());
    record["status"] = "failed";
    json::object error;
    error["code"] = why.word();
    error["phase"] = name(why.at());
    error["message"] = text(why.what());
    record["error"] = std::move(error);
    return record;
}

} // namespace service
