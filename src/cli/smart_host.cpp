#include "cli/smart_host.hpp"

#include "cli/mail_letter.hpp"

#include <trawl/error.hpp>

#include <toml++/toml.h>

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace trawl::cli {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(std::string const& file, toml::source_region const& at,
                       std::string_view what) {
    throw std::runtime_error(
        fmt::format("{}:{}:{}: {}", file, at.begin.line, at.begin.column, what));
}

/// Files are named from the configuration's folder.
smart_host read(std::string const& file) {
    smart_host made;
    auto& to = made.server;
    struct {
        char const* key;
        std::string* into;
        bool path;
    } const texts[]{
        {"server", &to.server, false},
        {"tls", &to.tls, false},
        {"ca_file", &to.ca_file, true},
        {"certificate", &to.certificate, true},
        {"key", &to.key, true},
        {"user", &to.user, false},
        {"password_file", &to.password_file, true},
        {"token_file", &to.token_file, true},
        {"auth", &to.mechanism, false},
        {"helo", &to.helo, false},
        {"domain", &made.domain, false},
    };
    try {
        auto const table = toml::parse(read_file(file), file);
        for (auto const& [key, node] : table) {
            auto const name = key.str();
            bool known = false, good = true;
            for (auto const& [text, into, path] : texts) {
                if (name != text) continue;
                auto const value = node.value<std::string>();
                known = true, good = node.is_string();
                if (good) *into = path ? (fs::path(file).parent_path() / *value).string() : *value;
            }
            if (name == "timeout") {
                auto const value = node.value<double>();
                known = true, good = value && *value > 0;
                if (good) to.timeout = *value;
            } else if (name == "lmtp") {
                known = true, good = node.is_boolean();
                if (good) to.lmtp = *node.value<bool>();
            } else if (name == "pins") {
                known = true, good = node.is_array();
                if (good)
                    for (auto const& one : *node.as_array())
                        if (auto const pin = one.value<std::string>()) to.pins.push_back(*pin);
                good = good && to.pins.size() == node.as_array()->size();
            }
            if (!known) fail(file, node.source(), fmt::format("no key {} is known", name));
            if (!good) fail(file, node.source(), fmt::format("{} has no such value", name));
        }
    } catch (toml::parse_error const& e) {
        fail(file, e.source(), e.description());
    }
    return made;
}

} // namespace

smart_host find_smart_host(std::string const& file) {
    if (!file.empty()) return read(file);
    smart_host made;
    if (auto const* const server = std::getenv("TRAWL_SMTP_SERVER"); server && *server) {
        made.server.server = server;
        return made;
    }
    auto const* const settings = std::getenv("XDG_CONFIG_HOME");
    auto const* const home = std::getenv("HOME");
    fs::path const own = settings && *settings ? fs::path(settings)
                         : home                ? fs::path(home) / ".config"
                                               : fs::path();
    for (auto const& candidate :
         {own / "trawl/sendmail.toml", fs::path("/etc/trawl/sendmail.toml")}) {
        std::error_code failure;
        if (fs::exists(candidate, failure)) return read(candidate.string());
    }
    return made;
}

} // namespace trawl::cli
