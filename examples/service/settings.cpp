#include "settings.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

namespace service {
namespace {

constexpr std::uint64_t most_watched = 4096; // each has 26 lines in /metrics

/// ADDRESS:PORT, an IPv6 address in brackets.
asio::ip::tcp::endpoint endpoint_of(std::string const& text) {
    auto const colon = text.rfind(':');
    auto host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    std::error_code failed;
    auto const address = asio::ip::make_address(host, failed);
    std::uint16_t port = 0;
    auto const* const end = text.data() + text.size();
    if (failed || colon == text.npos ||
        std::from_chars(text.data() + colon + 1, end, port).ptr != end || colon + 1 == text.size())
        throw std::runtime_error("--listen takes ADDRESS:PORT, not " + text);
    return {address, port};
}

double number(std::string const& name, std::string const& text, double least, double most) {
    double found = 0;
    auto const* const end = text.data() + text.size();
    auto const read = std::from_chars(text.data(), end, found);
    if (read.ec != std::errc() || read.ptr != end || !(found >= least && found <= most))
        throw std::runtime_error(name + " takes a number of seconds from " + std::to_string(least) +
                                 " to " + std::to_string(most) + ", not " + text);
    return found;
}

std::chrono::milliseconds seconds(std::string const& name, std::string const& text) {
    return std::chrono::milliseconds(std::llround(number(name, text, 0.1, 86'400) * 1000));
}

} // namespace

settings settings::read(std::vector<std::string> const& words) {
    settings said;
    said.http.at = {asio::ip::address_v4::loopback(), 8080};
    for (std::size_t i = 0; i < words.size(); i += 2) {
        auto const& name = words[i];
        if (i + 1 == words.size())
            throw std::runtime_error(name + " needs a value, or is not known");
        auto const& value = words[i + 1];
        if (name == "--listen")
            said.http.at = endpoint_of(value);
        else if (name == "--watch")
            said.watched.targets.add(value);
        else if (name == "--every")
            said.watched.every = seconds(name, value);
        else if (name == "--idle")
            said.http.connection.idle = seconds(name, value);
        else if (name == "--keys")
            said.keys = value;
        else if (name == "--token-file")
            said.token_file = value;
        else
            throw std::runtime_error("there is no option " + name);
    }
    auto& waits = said.http.connection;
    waits.read = std::min(waits.read, waits.idle);
    if (said.watched.targets.has_names() || said.watched.targets.size() > most_watched)
        throw std::runtime_error("--watch takes up to " + std::to_string(most_watched) +
                                 " addresses");
    if (!said.http.at.address().is_loopback() && said.token_file.empty())
        throw std::runtime_error("--listen beyond loopback needs --token-file");
    return said;
}

trawl::net::secret settings::token() const {
    if (token_file.empty()) return {};
    return trawl::net::read_secret_file(token_file);
}

std::shared_ptr<trawl::ssh::host_keys> settings::known_hosts(trawl::observer& log) const {
    trawl::ssh::host_keys::options record;
    if (!keys.empty()) record.file = keys / "known_hosts";
    record.log = &log;
    return std::make_shared<trawl::ssh::host_keys>(record);
}

} // namespace service
