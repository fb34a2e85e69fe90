#include "http_response.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <http_parser.h>

#include <cstdio>

namespace service {

response refusal(int status, std::string_view why) {
    boost::json::object told;
    told["error"] = why;
    response answer;
    answer.status = status;
    answer.body = boost::json::serialize(told) + "\n";
    return answer;
}

std::string head_of(response const& answer, bool kept) {
    std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " " +
                       ::http_status_str(static_cast<::http_status>(answer.status)) + "\r\n";
    text += "Content-Type: " + answer.type + "\r\n";
    text += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
    for (auto const& [name, value] : answer.fields) text += name + ": " + value + "\r\n";
    if (!kept) text += "Connection: close\r\n";
    return text;
}

std::string text_of(response const& answer, bool kept, bool head_only) {
    auto text = head_of(answer, kept);
    text += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n\r\n";
    if (!head_only) text += answer.body;
    return text;
}

std::string chunk(std::string_view bytes) {
    char size[20];
    std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
    return std::string(size).append(bytes).append("\r\n");
}

} // namespace service
