#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace service {

/// An answer that is whole in memory.
struct response {
    int status = 200;
    std::string type = "application/json";
    std::string body = {};
    std::vector<std::pair<std::string, std::string>> fields = {};
};

/// {"error": why} with that status.
response refusal(int status, std::string_view why);

/// The head of an answer, without Content-Length and Transfer-Encoding; `kept`: the connection goes
/// on behind it.
std::string head_of(response const& answer, bool kept);
/// All of it, or of HEAD the head alone, whose length is that of the body it stands for.
std::string text_of(response const& answer, bool kept, bool head_only);

/// A chunk of the chunked coding (RFC 9112 §7.1); empty: the last one.
std::string chunk(std::string_view bytes);

} // namespace service
