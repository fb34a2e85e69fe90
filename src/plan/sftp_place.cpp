#include <trawl/plan_sftp_store.hpp>

#include <trawl/error.hpp>
#include <trawl/targets.hpp>

namespace trawl::plan {

std::optional<sftp_place> parse_sftp_place(std::string_view text) {
    constexpr std::string_view scheme = "sftp://";
    if (!text.starts_with(scheme)) {
        if (!text.starts_with("sftp:")) return std::nullopt;
        throw error(trawl::errc::bad_target, "sftp:...",
                    "write sftp://HOST/PATH, or ./ before the name of a folder");
    }
    auto const refuse = [&](char const* why) {
        throw error(trawl::errc::bad_target, std::string(text), why);
    };
    auto rest = text.substr(scheme.size());
    sftp_place place;
    auto const slash = rest.find('/');
    if (slash == std::string_view::npos || slash + 1 == rest.size())
        refuse("sftp://HOST/PATH needs a path");
    place.path = rest.substr(slash);
    auto server = rest.substr(0, slash);
    if (auto const at = server.rfind('@'); at != std::string_view::npos) {
        if (server.substr(0, at).find(':') != std::string_view::npos)
            throw error(trawl::errc::bad_target, "sftp://...",
                        "no password in a place: everybody would see it");
        place.user = server.substr(0, at);
        server.remove_prefix(at + 1);
        if (place.user.empty()) refuse("no user before the @");
    }
    auto const hosts = targets::parse(server);
    if (hosts.size() != 1) refuse("sftp://HOST/PATH takes one host");
    auto const host = hosts.at(0);
    place.host = host.host();
    place.port = host.port;
    if (place.path.find('\0') != std::string::npos) refuse("a path has no NUL");
    if (place.path.starts_with("/~/")) place.path.erase(0, 3);
    if (place.path.empty()) place.path = ".";
    while (place.path.size() > 1 && place.path.ends_with('/')) place.path.pop_back();
    return place;
}

std::string sftp_place::url() const {
    std::string text = "sftp://";
    if (!user.empty()) text += user + '@';
    text += host.find(':') == std::string::npos ? host : '[' + host + ']';
    if (port) text += ':' + std::to_string(*port);
    return text + (path.starts_with('/') ? path : "/~/" + path);
}

} // namespace trawl::plan
