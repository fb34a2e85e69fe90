#include "ssh/config_words.hpp"

#include <trawl/ssh_config.hpp>

namespace trawl::ssh {
namespace {

std::optional<jump_host> parse_hop(std::string_view text) {
    constexpr std::string_view scheme = "ssh://";
    if (text.starts_with(scheme)) text.remove_prefix(scheme.size());
    jump_host hop;
    if (auto const at = text.rfind('@'); at != text.npos) {
        if (at == 0) return {};
        hop.user = text.substr(0, at);
        text.remove_prefix(at + 1);
    }
    bool const brackets = text.starts_with('[');
    auto const close = brackets ? text.find(']') : text.npos;
    if (brackets && close == text.npos) return {};
    hop.host = brackets ? text.substr(1, close - 1) : text;
    auto const colon = brackets ? close + 1 : text.find(':');
    bool const bare_v6 = !brackets && text.find(':') != text.rfind(':');
    if (!bare_v6 && colon < text.size()) {
        auto const port = detail::parse_number(text.substr(colon + 1), 65535);
        if (text[colon] != ':' || !port || *port == 0) return {};
        hop.port = static_cast<std::uint16_t>(*port);
        if (!brackets) hop.host = text.substr(0, colon);
    }
    if (hop.host.empty()) return {};
    return hop;
}

} // namespace

std::optional<std::vector<jump_host>> parse_jump(std::string_view text) {
    std::vector<jump_host> hops;
    if (detail::lower(text) == "none") return hops;
    for (bool more = true; more;) {
        auto const comma = text.find(',');
        auto hop = parse_hop(text.substr(0, comma));
        if (!hop) return {};
        hops.push_back(std::move(*hop));
        more = comma != text.npos;
        if (more) text.remove_prefix(comma + 1);
    }
    return hops;
}

} // namespace trawl::ssh
